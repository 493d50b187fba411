"""Recorded results are checked, not trusted: compute a random sample again and compare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from initlab.spec import key
from initlab.store import RECORDED, Store
from initlab.sweep import Run, execute, from_json

#: Relative differences that another processor's rounding may cause. What is measured at
#: initialization follows from the drawn weights alone; a training amplifies rounding.
AT_START, AFTER_TRAINING = 1e-3, 0.25
#: Where a training differs by more, it is computed as often again, each time from a start that
#: differs in its last digit.
CONTROLS = 3
#: The values of one statistic at one step (its layers, its samples) may in the mean be as many
#: times as far apart as those of the farthest control, of which those that differ count as far as
#: can be; and that may have begun as many times earlier.
MORE, EARLIER = 2.0, 4.0
INDEX = ["network", "layer", "step", "statistic"]
MOMENT = ["network", "statistic", "step"]


@dataclass(frozen=True)
class Verified:
    """One run computed again: how many values were compared, those that differ, and how many more
    differ no more than rounding makes them.
    """

    key: str
    run: str
    values: int
    differences: tuple[str, ...]
    rounding: int = 0


def relative_difference(recorded: ArrayLike, again: ArrayLike) -> NDArray[np.float64]:
    """Relative differences: of the larger value, 1 where only one of two is a finite number, and 0
    where neither is.

    >>> nothing, infinite = float("nan"), float("inf")
    >>> relative_difference([2.0, 0.0, nothing, 1.0], [1.0, 0.0, infinite, nothing]).tolist()
    [0.5, 0.0, 0.0, 1.0]
    """
    a, b = np.asarray(recorded, dtype=float), np.asarray(again, dtype=float)
    finite = np.isfinite(a) & np.isfinite(b)
    with np.errstate(invalid="ignore", divide="ignore"):
        larger = np.maximum(np.abs(a), np.abs(b))
        relative = np.where(larger > 0, np.abs(a / larger - b / larger), 0.0)
    return np.where(finite, relative, np.isfinite(a) != np.isfinite(b))


def verify(
    sample: int = 10, seconds: float = 60.0, seed: int | None = None, store: Store | None = None
) -> Iterator[Verified]:
    """Compute up to `sample` randomly chosen recorded runs again, as long as their recorded cost
    stays within `seconds` altogether.
    """
    frame = (Store(RECORDED) if store is None else store).frame()
    first = frame.drop_duplicates("key").sort_values("key")
    shuffled = first.sample(frac=1.0, random_state=np.random.default_rng(seed))
    spent, chosen = 0.0, 0
    for row in shuffled.itertuples():
        if chosen == sample:
            return
        if spent + row.seconds > seconds:
            continue
        spent, chosen = spent + row.seconds, chosen + 1
        yield _again(row.run, frame[frame.key == row.key])


def _again(text: str, recorded: pd.DataFrame) -> Verified:
    run = from_json(text)
    known, again = recorded.set_index(INDEX).value, _computed(run)
    trains = run.budget is not None
    away = _away(known, again)
    parted = away > (AFTER_TRAINING if trains else AT_START)
    rounding = pd.Series(False, parted.index)
    if trains and parted.any():
        controls = [_away(again, _computed(run, seed)) for seed in range(CONTROLS)]
        controls = [c.where(c <= AFTER_TRAINING, 1.0) for c in controls]
        rounding = parted & _rounding(away, controls)
    differences = [_told(where, known, again) for where in parted.index[parted & ~rounding]]
    return Verified(key(run), text, len(known), tuple(differences), int(rounding.sum()))


def _computed(run: Run, nudge: int | None = None) -> pd.Series:
    [(_, _, _, rows)] = execute([run], nudge=nudge)
    return pd.DataFrame(rows, columns=[*INDEX, "value"]).set_index(INDEX).value


def _away(one: pd.Series, other: pd.Series) -> pd.Series:
    """How far apart values are; 1 for those that are missing on one side.

    What a network has none of is left out, or not a number beside networks that have it.
    """
    index = one.index.union(other.index)
    a, b = one.reindex(index), other.reindex(index)
    missing = a.isna() & np.isinf(b) & ~index.isin(one.index)
    missing |= b.isna() & np.isinf(a) & ~index.isin(other.index)
    return pd.Series(relative_difference(a, b), index).mask(missing, 1.0)


def _rounding(away: pd.Series, controls: list[pd.Series]) -> NDArray[np.bool_]:
    """Where values are no farther apart than rounding alone may take them."""
    by_control = pd.concat([c.groupby(level=MOMENT).mean() for c in controls], axis=1)
    wide, found = by_control.max(axis=1).unstack("step"), away.groupby(level=MOMENT).mean()

    def time(step: pd.Index) -> pd.Index:
        return step.where(step >= 0, np.inf)  # -1: the end, whenever that was

    steps = found.index.unique("step")
    allowed = {
        step: MORE * wide.loc[:, time(wide.columns) <= EARLIER * t].max(axis=1)
        for step, t in zip(steps, time(steps), strict=True)
    }
    limits = pd.concat(allowed, names=["step"]).reorder_levels(MOMENT)
    excused = found <= limits.reindex(found.index, fill_value=0.0)
    moments = away.index.droplevel("layer").reorder_levels(MOMENT)
    return excused.reindex(moments).to_numpy()


def _told(where: tuple[object, ...], known: pd.Series, again: pd.Series) -> str:
    """One difference in words."""
    if where not in known.index or where not in again.index:
        return f"{where} is missing on one side"
    network, layer, step, statistic = where
    return (
        f"network {network}, layer {layer}, step {step}, {statistic}: "
        f"{known[where]:.6g} recorded, {again[where]:.6g} now"
    )
