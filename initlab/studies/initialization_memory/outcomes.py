"""What the networks of the chapter did: accuracies by scale and seed, and curves of single runs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import pandas as pd

from initlab.measure import memory
from initlab.spec import key
from initlab.studies.contract import Results
from initlab.studies.initialization_memory.grid import CURVES, Group
from initlab.studies.initialization_memory.settings import Settings
from initlab.sweep import Run


class Outcomes:
    """Results looked up by run. Tables have a row for each scale and a column for each seed.

    Args:
        results: of the chapter's grid.
    """

    def __init__(self, results: Results[Settings]) -> None:
        """Sort the rows by run, and select the moment of each."""
        rows = results.frame[["key", "layer", "step", "statistic", "index", "value"]]
        self._rows = {str(k): of_run for k, of_run in rows.groupby("key")}
        curves = rows[rows.statistic.isin(CURVES) & (rows.step >= 0)]
        self._selected = {
            str(k): float(memory.selected(of_run, results.settings.fitted).test_accuracy)
            for k, of_run in curves.groupby("key")
        }

    def rows(self, run: Run, statistic: str) -> pd.DataFrame:
        """Rows of one statistic of a run: layer, step, index, value."""
        found = self._rows[key(run)]
        return found[found.statistic == statistic]

    def series(self, run: Run, statistic: str) -> pd.Series:
        """One statistic of a run by step, from the first step on."""
        found = self.rows(run, statistic)
        return found[found.step > 0].set_index("step").value

    def norms(self, run: Run) -> pd.DataFrame:
        """Norms of a run's weights: a row for each step, a column for each layer."""
        return self.rows(run, "norm").pivot(index="step", columns="layer", values="value")

    def selected(self, group: Group) -> pd.DataFrame:
        """Test accuracy in % of the predictors that validation selects; nan for a network that
        fits too little of its training set at every moment.
        """
        return _table(
            {a: [100 * self._selected[key(run)] for run in runs] for a, runs in group.items()}
        )

    def counted(self, group: Group) -> pd.DataFrame:
        """The same of the scales that count, those of which all networks interpolate."""
        return self.selected(group).dropna()

    def at_last(self, group: Group, statistic: str = "test_accuracy") -> pd.DataFrame:
        """An accuracy in % at the last step, of all networks."""
        return _table(
            {
                a: [100 * float(self.series(run, statistic).iloc[-1]) for run in runs]
                for a, runs in group.items()
            }
        )

    def interpolate(self, group: Group) -> pd.DataFrame:
        """Whether a network fits its training set at some moment."""
        return self.selected(group).notna()

    def curve(self, group: Group, statistic: str) -> Iterator[tuple[float, pd.DataFrame]]:
        """One statistic of each scale's networks on the way: (scale, rows of step and value)."""
        for a, runs in group.items():
            series = [self.series(run, statistic).reset_index() for run in runs]
            yield a, pd.concat(series, ignore_index=True)


def _table(by_scale: dict[float, list[float]]) -> pd.DataFrame:
    return pd.DataFrame.from_dict(by_scale, orient="index").rename_axis("scale")


@lru_cache(maxsize=1)
def outcomes(results: Results[Settings]) -> Outcomes:
    """The outcomes of results, kept for as long as the same results are asked for."""
    return Outcomes(results)
