"""What was measured of single runs, and one statistic of several during training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from initlab.studies.contract import Results
from initlab.studies.staying_near_the_start.grid import data_of, of_width, width_of
from initlab.studies.staying_near_the_start.settings import Settings
from initlab.sweep import Run, key

_COLUMNS = ["key", "layer", "step", "statistic", "index", "index_2", "value"]


@lru_cache(maxsize=4)
def _by_run(results: Results[Settings]) -> dict[str, pd.DataFrame]:
    """The rows of each run by its key: found once, because every figure asks for them."""
    return {str(k): rows for k, rows in results.frame[_COLUMNS].groupby("key")}


@lru_cache(maxsize=4)
def _by_statistic(results: Results[Settings]) -> dict[tuple[str, int], pd.DataFrame]:
    """The looks of all runs by statistic and layer."""
    rows = results.frame[_COLUMNS]
    rows = rows[(rows.step >= 0) & (rows["index"] < 0)]
    named = rows.groupby(["statistic", "layer"])[["key", "step", "value"]]
    return {(str(name), int(layer)): own for (name, layer), own in named}  # type: ignore[misc]


def rows_of(results: Results[Settings], runs: Sequence[Run]) -> pd.DataFrame:
    """All that was measured of some runs: see `initlab.sweep.run`."""
    found = _by_run(results)
    return pd.concat([found[key(run)] for run in runs])


def followed(
    results: Results[Settings],
    runs: Sequence[Run],
    statistic: str,
    layer: int = -1,
    begin: float = 0.0,
) -> pd.DataFrame:
    """One statistic during training.

    Args:
        results: of the chapter.
        runs: on one data set.
        statistic: such as "train_loss".
        layer: of the statistic, from 1; −1 for the whole network.
        begin: the epoch of the first look that is wanted.

    Returns:
        A column for each run, named by its key, and a row for each look, indexed by its epoch.
    """
    rows = _by_statistic(results)[statistic, layer]
    rows = rows[rows.key.isin({key(run) for run in runs})]
    table = rows.pivot(index="step", columns="key", values="value")
    table.index = table.index / results.settings.per_epoch(data_of(runs[0]))
    return table.rename_axis("epoch").loc[begin:]


def last(results: Results[Settings], runs: Sequence[Run], statistic: str, layer: int) -> np.ndarray:
    """A statistic of each run at its last look, in the order of the runs, (n,)."""
    table = followed(results, runs, statistic, layer).ffill().iloc[-1]
    return table[[key(r) for r in runs]].to_numpy()


def late(
    results: Results[Settings], runs: Sequence[Run], statistic: str, layer: int = -1
) -> np.ndarray:
    """Mean of a statistic over the looks of the last tenth of each run's epochs, (n,).

    Of a run that ended before its time it is the last value.
    """
    table = followed(results, runs, statistic, layer).ffill()
    found = []
    for run in runs:
        assert run.budget is not None
        own = table[key(run)].loc[: run.budget.epochs]
        found.append(own[own.index >= 0.9 * run.budget.epochs].mean())
    return np.array(found)


def typical(
    results: Results[Settings], runs: Sequence[Run], statistic: str = "train_loss", layer: int = -1
) -> pd.DataFrame:
    """One run of each width during training, that of median best training accuracy.

    Returns:
        Columns `epoch` (from 0.5), `value` and `width`.
    """
    best = followed(results, runs, "train_accuracy").max()
    table = followed(results, runs, statistic, layer, begin=0.5)
    frames = []
    for w in sorted({width_of(r) for r in runs}):
        own = best[[key(r) for r in of_width(runs, w)]].sort_values()
        series = table[own.index[len(own) // 2]].dropna().rename("value")
        frames.append(series.reset_index().assign(width=w))
    return pd.concat(frames)


def median(table: pd.DataFrame, *, positive: bool = True) -> pd.DataFrame:
    """The median over runs at each look: columns `epoch` and `value`.

    Args:
        table: as `followed` gives it.
        positive: leave out what has no place on a logarithmic axis.
    """
    centre = table.median(axis=1).rename("value").reset_index()
    return centre[centre.value > 0] if positive else centre
