"""How trainings ended: epochs to the goal, tuned over learning rates, cell by cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import inf, nan, sqrt
from typing import Any

import numpy as np
import pandas as pd

from initlab import claims
from initlab.claims import Estimate
from initlab.spec import key
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.sweep import Run

_COLUMNS = ["epochs", "reached", "test_accuracy"]
_BEST = ["best_test_accuracy", "best_val_accuracy"]


@lru_cache(maxsize=4)
def _table(results: Results[Settings]) -> pd.DataFrame:
    """One row per training of the chapter, by its key."""
    rows = results.frame[results.frame.statistic.isin([*_COLUMNS, *_BEST])]
    return rows.pivot_table(index="key", columns="statistic", values="value", aggfunc="first")


def ends(results: Results[Settings], runs: Sequence[Run], more: Sequence[str] = ()) -> pd.DataFrame:
    """Trainings, one row each, in the order of `runs`.

    Args:
        results: of the chapter.
        runs: trainings of it.
        more: columns of trainings whose moment was selected on validation images.

    Returns:
        Columns `key`, `epochs` to the goal (the whole budget where it was not reached), `reached`
        (0 or 1), `test_accuracy`, `rate` and `seed`.
    """
    frame = _table(results).loc[[key(run) for run in runs], [*_COLUMNS, *more]]
    return frame.assign(
        rate=[run.optimizer.lr for run in runs], seed=[run.seed for run in runs]
    ).reset_index()


def chosen(results: Results[Settings], runs: Sequence[Run]) -> pd.Series:
    """Mean epochs by rate, over the seeds that choose; the whole budget where a goal was missed.

    Where there are no such seeds, all choose.
    """
    frame = ends(results, runs)
    tunes = frame.seed.isin(results.settings.tuning_seeds)
    return (frame[tunes] if tunes.any() else frame).groupby("rate").epochs.mean()


def tuned(results: Results[Settings], runs: Sequence[Run]) -> pd.DataFrame:
    """The trainings that are judged, in the order of their seeds, at the rate that others chose.

    Where there is one rate alone it was chosen before.
    """
    frame = ends(results, runs)
    one = frame.rate.nunique() == 1
    best = frame.rate.iloc[0] if one else chosen(results, runs).idxmin()
    judged = ~frame.seed.isin(results.settings.tuning_seeds)
    return frame[judged & (frame.rate == best)].sort_values("seed")


def quickest(results: Results[Settings], cells: Iterable[Sequence[Run]]) -> Sequence[Run]:
    """Of several cells that with the fewest mean epochs at its best rate, by the choosing seeds."""
    return min(cells, key=lambda cell: chosen(results, cell).min())


def times(results: Results[Settings], runs: Sequence[Run]) -> np.ndarray:
    """Epochs at the tuned rate, one per seed."""
    return tuned(results, runs).epochs.to_numpy(float)


def fewer(results: Results[Settings], quick: Sequence[Run], slow: Sequence[Run]) -> Estimate:
    """Epochs of `quick` minus those of `slow`, at tuned rates, paired by seed.

    Times end at the budget that both share; seeds of which neither got there are left out.
    """
    horizon = float(quick[0].budget.epochs) if quick[0].budget else nan
    return claims.restricted_difference(
        times(results, quick), times(results, slow), horizon, pairs=True
    )


def times_as_long(
    results: Results[Settings], slow: Sequence[Run], quick: Sequence[Run]
) -> Estimate:
    """Mean epochs of `slow` over those of `quick`, at tuned rates, paired by seed."""
    return claims.ratio(times(results, slow), times(results, quick), pairs=True)


def mean_with_ends(sample: Iterable[float]) -> dict[str, float]:
    """Mean and 95 % interval by Student's t, as the columns `mean`, `low` and `high`."""
    x = np.asarray(list(sample), dtype=float)
    low, high = claims.mean(x).interval() if len(x) > 1 else (nan, nan)
    return {"mean": float(x.mean()), "low": low, "high": high}


def summary(
    results: Results[Settings], groups: Mapping[Any, Sequence[Run]], names: Sequence[str]
) -> pd.DataFrame:
    """One row per group of runs, at its tuned rate.

    Args:
        results: of the chapter.
        groups: runs of one cell, by a name or a tuple of names.
        names: columns that take the name.

    Returns:
        Beside these `mean` epochs, `low` and `high` ends of its 95 % interval, the share that
        `reached` the goal, the tuned `rate`, `n` and the `budget` in epochs.
    """
    rows = []
    for name, runs in groups.items():
        x = tuned(results, runs)
        budget = runs[0].budget.epochs if runs[0].budget else inf
        told = mean_with_ends(x.epochs)
        # Whatever the spread, a mean of times up to the budget lies between 0 and the budget.
        told |= {"low": max(told["low"], 0.0), "high": min(told["high"], budget)}
        rows.append(
            dict(zip(names, name if isinstance(name, tuple) else (name,), strict=True))
            | told
            | {
                "reached": x.reached.mean(),
                "rate": x.rate.iloc[0],
                "n": len(x),
                "budget": budget,
            }
        )
    return pd.DataFrame(rows)


def by_rule(runs: Iterable[Run]) -> dict[object, list[Run]]:
    """Runs grouped by where they start."""
    groups: dict[object, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.init, []).append(run)
    return groups


def factor_of(run: Run) -> float:
    """The factor on He's standard deviation from which a run starts."""
    return sqrt(run.init.scale / 2)  # type: ignore[union-attr]


def by_scale(runs: Iterable[Run]) -> dict[float, list[Run]]:
    """Runs grouped by that factor, rounded to four digits."""
    groups: dict[float, list[Run]] = {}
    for run in runs:
        groups.setdefault(round(factor_of(run), 4), []).append(run)
    return groups
