"""Where single weights went: their last value given the first, and the matrix as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from initlab.studies.contract import Results
from initlab.studies.staying_near_the_start.followed import rows_of
from initlab.studies.staying_near_the_start.grid import data_of, of_width
from initlab.studies.staying_near_the_start.settings import CLIPPED, Settings
from initlab.sweep import Run

#: Cells along each side of the plane of first and last weight.
CELLS = 40


def conditional(results: Results[Settings], runs: Sequence[Run]) -> pd.DataFrame:
    """The distribution of the final weight given the initial one, between the hidden layers.

    Args:
        results: of the chapter.
        runs: that were watched with `bins`.

    Returns:
        A row per run (`key`) and `bin`, ordered by key; the other columns as
        `initlab.measure.displacement.conditional` has them.
    """
    rows = rows_of(results, runs)
    rows = rows[(rows.layer == 2) & (rows["index"] >= 0) & (rows.index_2 < 0)]
    rows = rows.rename(columns={"index": "bin"})
    return rows.pivot(index=["key", "bin"], columns="statistic", values="value").reset_index()


def bands(field: pd.DataFrame) -> pd.DataFrame:
    """Means over runs of what `conditional` gives, a row per bin, in the order of `start`."""
    return field.groupby("bin").mean(numeric_only=True).sort_values("start").reset_index()


def slopes(field: pd.DataFrame) -> pd.DataFrame:
    """Slopes of the last weight on the first: a row per network.

    If all weights had grown by one factor all of these would be that factor.

    Args:
        field: as `conditional` gives it.

    Returns:
        Columns `mode`, `median` and `mean`, over all bins; `inner` and `outer`, of the median over
        the half of the bins whose first weights are small and over the half where they are large.
    """
    found = []
    for _, own in field.groupby("key"):
        size = own.start.abs()
        inner = size <= size.median()
        mean = own.start + own["mean"]
        found.append(
            {
                "mode": _slope(own.start, own["mode"]),
                "median": _slope(own.start, own.p50),
                "mean": _slope(own.start, mean),
                "inner": _slope(own.start[inner], own.p50[inner]),
                "outer": _slope(own.start[~inner], own.p50[~inner]),
            }
        )
    return pd.DataFrame(found)


def _slope(x: pd.Series, y: pd.Series) -> float:
    return float(np.polyfit(x, y, 1)[0])


def plane(results: Results[Settings]) -> tuple[np.ndarray, float, float]:
    """Counts of the links of one network in the plane of first and last weight.

    Returns:
        Counts (CELLS, CELLS), the first axis the first weight, from −a to a and from −b to b; and
        a and b.
    """
    [run, *_] = of_width(results.grid[CLIPPED], results.settings.stable)
    rows = rows_of(results, [run])
    reach = rows[rows.statistic.str.startswith("reach_")].set_index("statistic").value
    table = np.zeros((CELLS, CELLS))
    cells = rows[rows.statistic == "cell"]
    table[cells["index"], cells.index_2] = cells.value
    return table, float(reach["reach_start"]), float(reach["reach_end"])


def slices(table: np.ndarray, a: float, b: float) -> pd.DataFrame:
    """Three slices of the plane: columns `slice`, `start`, `from`, `to` and `links`."""
    edges, starts = np.linspace(-b, b, CELLS + 1), np.linspace(-a, a, CELLS + 1)
    chosen = (("lowest", 1), ("middle", CELLS // 2 - 1), ("highest", CELLS - 2))
    return pd.concat(
        pd.DataFrame(
            {
                "slice": name,
                "start": (starts[row] + starts[row + 1]) / 2,
                "from": edges[:-1],
                "to": edges[1:],
                "links": table[row],
            }
        )
        for name, row in chosen
    )


def snapshots(results: Results[Settings], run: Run) -> Iterator[tuple[float, np.ndarray]]:
    """Pictures of the matrix between the hidden layers: at the start, at the end, three between.

    Args:
        results: of the chapter.
        run: that was watched with a `side`.

    Yields:
        The epoch and mean |w| over boxes, (side, side).
    """
    rows = rows_of(results, [run])
    rows = rows[rows.statistic == "picture"].sort_values(["index", "index_2"])
    steps = sorted(rows.step.unique())
    for step in sorted({steps[max(i, -len(steps))] for i in (0, -7, -5, -3, -1)}):
        cells = rows[rows.step == step].value.to_numpy()
        side = round(len(cells) ** 0.5)
        yield step / results.settings.per_epoch(data_of(run)), cells.reshape(side, side)
