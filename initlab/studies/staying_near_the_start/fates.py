"""What became of each run: its best losses and when, and whether and when it diverged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import log

import numpy as np
import pandas as pd

from initlab.studies.contract import Results
from initlab.studies.staying_near_the_start.followed import followed
from initlab.studies.staying_near_the_start.grid import data_of, width_of
from initlab.studies.staying_near_the_start.settings import CLIPPED, UNCLIPPED, Settings
from initlab.sweep import Run, key

#: So many looks at the end must see a loss above the line, for a peak at the end may heal.
LOOKS = 3


@lru_cache(maxsize=16)
def fates(results: Results[Settings], sweep: str) -> pd.DataFrame:
    """`fate` of every run of a sweep: one row per run, in the sweep's order."""
    return fate(results, results.grid[sweep])


def fate(results: Results[Settings], runs: Sequence[Run]) -> pd.DataFrame:
    """Best losses of each run and when, and whether and when it diverged.

    A run has diverged if its training loss was once below half of ln C, the loss of a guess among C
    classes, and rose above that for good: at the first look from which on it is never again below.
    Three looks at least must see it there. A run that ended before its time has no finite loss any
    more, and has diverged where it ended.

    Returns:
        Columns `key`, `data`, `width`, `seed`; `diverged`; `divergence`, in epochs, or nan;
        `min_train`, `t_train`, `min_test`, `t_test`, the least losses and their epochs;
        `end_train`, `end_test`, the losses at the end; `late_train`, at nine tenths of the epochs;
        `above`, whether the training loss is above the line at the last look.
    """
    frames = []
    for name in dict.fromkeys(map(data_of, runs)):
        own = [r for r in runs if data_of(r) == name]
        tables = [followed(results, own, f"{part}_loss") for part in ("train", "test")]
        for run in own:
            train, test = (t[key(run)].replace(np.inf, np.nan).dropna() for t in tables)
            frames.append(_fate(run, train, test))
    return pd.DataFrame(frames)


def _fate(run: Run, train: pd.Series, test: pd.Series) -> dict[str, object]:
    assert run.budget is not None and run.data is not None and run.data.outputs is not None
    epochs = run.budget.epochs
    above = (train >= log(run.data.outputs) / 2).to_numpy()
    for_good = np.cumprod(above[::-1])[::-1].astype(bool)
    early = train.index[-1] < epochs
    diverged = bool((for_good.sum() >= LOOKS or early) and not above.all())
    first = int(for_good.argmax()) if for_good[-1] else -1
    return {
        "key": key(run),
        "data": run.data.name,
        "width": width_of(run),
        "seed": run.seed,
        "diverged": diverged,
        "divergence": train.index[first] if diverged else np.nan,
        "min_train": train.min(),
        "t_train": train.idxmin(),
        "min_test": test.min(),
        "t_test": test.idxmin(),
        "end_train": train.iloc[-1],
        "end_test": test.iloc[-1],
        "late_train": train[train.index <= 0.9 * epochs].iloc[-1],
        "above": bool(above[-1]),
    }


def jump(series: pd.Series) -> float:
    """The epoch, from the first on, at which log(series) grew most per factor of time.

    Args:
        series: positive numbers, indexed by epochs.

    Returns:
        The middle, on a logarithmic scale, of an interval between two looks; nan if there are no
        two.
    """
    s = series[(series.index >= 1) & (series > 0)].dropna()
    if len(s) < 2:
        return float("nan")
    epochs = s.index.to_numpy()
    i = int((np.diff(np.log(s)) / np.diff(np.log(epochs))).argmax())
    return float(np.sqrt(epochs[i] * epochs[i + 1]))


def jumps(results: Results[Settings], sweep: str) -> pd.DataFrame:
    """When loss and displacement of each diverged run of a sweep grew most steeply.

    Returns:
        The rows of `fates` that diverged, with `loss_jump` and `delta_jump`, in epochs.
    """
    rows = fates(results, sweep)
    rows = rows[rows.diverged]
    runs = results.grid[sweep]
    train = followed(results, runs, "train_loss")
    delta = followed(results, runs, "delta_std", 2)
    return rows.assign(
        loss_jump=[jump(train[k]) for k in rows.key],
        delta_jump=[jump(delta[k]) for k in rows.key],
    )


def pairs(results: Results[Settings]) -> pd.DataFrame:
    """Clipped and unclipped twins: `fates` of both, the columns of the latter with `_free`."""
    clipped, unclipped = fates(results, CLIPPED), fates(results, UNCLIPPED)
    return clipped.merge(unclipped, on=["width", "seed"], suffixes=("", "_free"))


def shares(results: Results[Settings], *sweeps: str) -> pd.DataFrame:
    """Share of runs that diverged: a row per sweep, a column per width."""
    named = {name: fates(results, name) for name in sweeps}
    found = {name: told.groupby("width").diverged.mean() for name, told in named.items()}
    return pd.DataFrame(found).T
