"""What became of each run: its best losses and when, and whether and when it diverged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from initlab.studies.contract import Results
from initlab.studies.staying_near_the_start.followed import followed
from initlab.studies.staying_near_the_start.grid import data_of, width_of
from initlab.studies.staying_near_the_start.settings import Settings
from initlab.sweep import Run, key

#: A run has diverged if its training accuracy is below this share of its best for good.
FALLEN = 0.9
#: It is for good if it is so from here to the end, as a share of the epochs.
LATEST = 0.9
#: Growth is looked at over so large a factor of time on either side of a crossing.
AROUND = 1.1


@lru_cache(maxsize=16)
def fates(results: Results[Settings], sweep: str) -> pd.DataFrame:
    """`fate` of every run of a sweep: one row per run, in the sweep's order."""
    return fate(results, results.grid[sweep])


def fate(results: Results[Settings], runs: Sequence[Run]) -> pd.DataFrame:
    """Best losses of each run and when, and whether and when it diverged.

    A run has diverged if its training accuracy falls below `FALLEN` times its best so far and stays
    there to the end, over the last tenth of the epochs at least. The clip, which limits the loss,
    does not touch that. A run that ended before its time has no finite loss any more, and has
    diverged where it ended.

    Returns:
        Columns `key`, `data`, `width`, `seed`; `diverged`; `divergence`, in epochs, or nan;
        `min_train`, `t_train`, `min_test`, `t_test`, the least losses and their epochs;
        `best`, the best training accuracy; and at the end `train`, `test`, `right` and
        `test_right`: losses and accuracies.
    """
    frames = []
    for name in dict.fromkeys(map(data_of, runs)):
        own = [r for r in runs if data_of(r) == name]
        tables = {
            what: followed(results, own, what)
            for what in ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
        }
        for run in own:
            series = {what: table[key(run)].dropna() for what, table in tables.items()}
            frames.append(_fate(run, series))
    return pd.DataFrame(frames)


def _fate(run: Run, series: dict[str, pd.Series]) -> dict[str, object]:
    assert run.budget is not None and run.data is not None
    right = series["train_accuracy"]
    divergence = fall(right, run.budget.epochs)
    train, test = (series[f"{part}_loss"].replace(np.inf, np.nan) for part in ("train", "test"))
    return {
        "key": key(run),
        "data": run.data.name,
        "width": width_of(run),
        "seed": run.seed,
        "diverged": divergence is not None,
        "divergence": np.nan if divergence is None else divergence,
        "min_train": train.min(),
        "t_train": train.idxmin(),
        "min_test": test.min(),
        "t_test": test.idxmin(),
        "best": right.max(),
        "train": train.ffill().iloc[-1],
        "test": test.ffill().iloc[-1],
        "right": right.iloc[-1],
        "test_right": series["test_accuracy"].iloc[-1],
    }


def fall(right: pd.Series, epochs: float) -> float | None:
    """The epoch from which on an accuracy is below `FALLEN` times its best so far, or None.

    Args:
        right: the accuracy, indexed by epochs.
        epochs: of the budget.
    """
    if right.index[-1] < epochs:
        return float(right.index[-1])
    low = (right < FALLEN * right.cummax()).to_numpy()
    for_good = np.cumprod(low[::-1])[::-1].astype(bool)
    if not for_good.any():
        return None
    first = float(right.index[for_good.argmax()])
    return first if first <= LATEST * epochs else None


def growth(
    results: Results[Settings], told: pd.DataFrame, runs: Sequence[Run], side: int
) -> np.ndarray:
    """How fast the displacement grew just before or just after a crossing: d log Δ / d log t, (n,).

    Args:
        results: of the chapter.
        told: rows of networks, with `key` and the epoch of a `divergence`, their own or another's.
        runs: those networks, and others.
        side: −1, from 1/`AROUND` of that epoch to it; 1, from it to `AROUND` times as late.
    """
    spread = followed(results, runs, "delta_std", 2)
    found = []
    for row in told.itertuples():
        s = spread[row.key].dropna()
        s = s[s.index > 0]
        ends = np.log(row.divergence) + np.sort([0.0, side * np.log(AROUND)])
        low, high = np.interp(ends, np.log(s.index.to_numpy()), np.log(s.to_numpy()))
        found.append((high - low) / np.log(AROUND))
    return np.array(found)


def shares(results: Results[Settings], *sweeps: str) -> pd.DataFrame:
    """Networks that diverged, of how many: a row per sweep, a column per width, as text."""
    found = {}
    for name in sweeps:
        told = fates(results, name).groupby("width").diverged
        found[name] = told.sum().astype(str) + " of " + told.count().astype(str)
    return pd.DataFrame(found).T


def aligned(
    results: Results[Settings], runs: Sequence[Run], statistic: str, layer: int = -1
) -> pd.DataFrame:
    """A statistic of the networks that diverged, by epochs over that of the divergence.

    Returns:
        A column for each run, named by its key; a row for each of the looks around the crossing,
        indexed by epoch over epoch of divergence; each as a share of its value at 0.8.
    """
    told = fate(results, runs)
    table = followed(results, runs, statistic, layer)
    at = np.round(np.geomspace(0.6, 1.5, 47), 4)
    found = {}
    for row in told[told.diverged].itertuples():
        series = table[row.key].dropna()
        series = series[series.index > 0]
        moment = np.log(series.index.to_numpy() / row.divergence)
        known = np.interp(np.log(at), moment, np.log(series.to_numpy()), right=np.nan)
        before = np.interp(np.log(0.8), moment, np.log(series.to_numpy()))
        found[str(row.key)] = np.exp(known - before)
    return pd.DataFrame(found, index=pd.Index(at, name="time"))
