"""Results as tidy frames: one row per network, its cell's axes as columns."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd

from initlab.spec import key
from initlab.studies.contract import Results
from initlab.studies.when_reinitialization_works.grid import AXES, Cell, Table, plan, validated
from initlab.studies.when_reinitialization_works.network import AGAIN, STANDARD, Trial
from initlab.studies.when_reinitialization_works.settings import Settings

#: An accuracy that networks are judged by; each network has one of them.
JUDGED = ("test_accuracy", "val_accuracy")
#: Columns that name a comparison.
COMPARED = ["data", "setting", "noise"]


@lru_cache(maxsize=2)
def chosen(results: Results[Settings]) -> dict[Cell, tuple[Trial, float]]:
    """The best trial of each cell on validation samples, and its mean accuracy there."""
    return validated(results.settings, _last(results, "val_accuracy"))


@lru_cache(maxsize=2)
def planned(results: Results[Settings]) -> dict[str, Table]:
    """The runs of every sweep, by cell."""
    trials = {cell: trial for cell, (trial, _) in chosen(results).items()}
    return plan(results.settings, trials)


@lru_cache(maxsize=16)
def _last(results: Results[Settings], statistic: str) -> pd.Series:
    """A statistic's value after training, or its last on the way, by the keys of the runs."""
    wanted = JUDGED if statistic == "accuracy" else (statistic,)
    rows = results.frame.loc[results.frame.statistic.isin(wanted), ["key", "step", "value"]]
    # What is measured after training has the step −1.
    rows = rows.assign(late=rows.step.where(rows.step >= 0, rows.step.max() + 1))
    rows = rows.sort_values("late", kind="stable").drop_duplicates("key", keep="last")
    return rows.set_index("key").value


@lru_cache(maxsize=16)
def _cells(results: Results[Settings], sweep: str) -> pd.DataFrame:
    """The networks of a sweep: its axes, `replicate` and `key`."""
    rows = [
        (*cell, i, key(run))
        for cell, group in planned(results)[sweep].items()
        for i, run in enumerate(group)
    ]
    return pd.DataFrame(rows, columns=[*AXES[sweep], "replicate", "key"])


def networks(
    results: Results[Settings], sweep: str, statistic: str = "accuracy", scale: float = 100.0
) -> pd.DataFrame:
    """One row per network of a sweep.

    Args:
        results: of the chapter's grid.
        sweep: its name.
        statistic: after training, or the last on the way; "accuracy" is that on the test set, or
            of networks that do not read it on validation samples.
        scale: by which it is multiplied; 100 makes percent of shares.

    Returns:
        Columns of the sweep's axes, `replicate` (networks of the same number share their first
        weights where they share a model), `key`, and `value`; rows cell by cell.
    """
    frame = _cells(results, sweep)
    return frame.assign(value=scale * frame.key.map(_last(results, statistic)))


def minus(frame: pd.DataFrame, axis: str, other: object) -> pd.DataFrame:
    """Each network's value minus that of its twin, which differs from it in one axis only.

    Args:
        frame: as `networks` gives it.
        axis: the column in which they differ.
        other: the twin's value of it.

    Returns:
        The rows that are not twins themselves.

    >>> frame = pd.DataFrame(dict(m=["a", "b"], replicate=[0, 0], value=[1.0, 3.0]))
    >>> minus(frame, "m", "a").value.tolist()
    [2.0]
    """
    shared = [c for c in frame.columns if c not in (axis, "key", "value")]
    twins = frame[frame[axis] == other][[*shared, "value"]]
    rest = frame[frame[axis] != other].merge(twins, on=shared, suffixes=("", "_twin"))
    return rest.assign(value=rest.value - rest.value_twin).drop(columns="value_twin")


def gains(results: Results[Settings], sweep: str) -> pd.DataFrame:
    """By how many points each network of a method is above its standard twin; as `networks`."""
    return minus(networks(results, sweep), "method", STANDARD)


def best(results: Results[Settings], data: str, setting: str, noise: float) -> str:
    """The method of re-initialization that was best on the validation samples."""
    found = chosen(results)
    return max(AGAIN, key=lambda method: found[data, setting, noise, method][1])


def select(frame: pd.DataFrame, **axes: object) -> pd.DataFrame:
    """The rows of a frame in which the named columns have these values."""
    keep = pd.Series(True, frame.index)
    for name, value in axes.items():
        keep &= frame[name] == value
    return frame[keep]
