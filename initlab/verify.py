"""Recorded results are checked, not trusted: compute a random sample again and compare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isclose, isfinite

import numpy as np
import pandas as pd

from initlab.store import RECORDED, Store
from initlab.sweep import execute, from_json

#: Relative differences that another processor's rounding may cause. What is measured at
#: initialization follows from the drawn weights alone; a training amplifies rounding.
AT_START, AFTER_TRAINING = 1e-3, 0.25
#: Steps of training until when that holds. Rounding grows without end, so that of a longer run only
#: what was seen up to there is compared.
LONG = 5_000
INDEX = ["network", "layer", "step", "statistic"]


@dataclass(frozen=True)
class Verified:
    """One run computed again: how many values were compared, and those that differ."""

    key: str
    run: str
    values: int
    differences: tuple[str, ...]


def same(recorded: float, again: float, tolerance: float) -> bool:
    """Equal to a relative tolerance; two values that are no finite numbers count as equal.

    >>> same(1.0, 1.0005, 1e-3), same(1.0, 1.01, 1e-3), same(float("nan"), float("inf"), 1e-3)
    (True, False, True)
    """
    if not isfinite(recorded) or not isfinite(again):
        return isfinite(recorded) == isfinite(again)
    return isclose(recorded, again, rel_tol=tolerance, abs_tol=1e-300)


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
    [(key, _, _, rows)] = execute([run])
    again = pd.DataFrame(rows, columns=[*INDEX, "value"]).set_index(INDEX).value
    known = recorded.set_index(INDEX).value
    if max(_steps(known).max(), _steps(again).max()) > LONG:
        known, again = (v[_steps(v).between(0, LONG)] for v in (known, again))
    tolerance = AT_START if run.budget is None else AFTER_TRAINING
    # What a network has none of is left out, or not a number beside networks that have it.
    missing = known.dropna().index.symmetric_difference(again.dropna().index)
    differences = [
        f"{i} is missing on one side"
        for i in missing
        if i not in known.index or i not in again.index
    ]
    for where in known.index.intersection(again.index):
        old, new = float(known[where]), float(again[where])
        if not same(old, new, tolerance):
            differences.append(
                f"network {where[0]}, layer {where[1]}, step {where[2]}, {where[3]}: "
                f"{old:.6g} recorded, {new:.6g} now"
            )
    return Verified(key, text, len(known), tuple(differences))


def _steps(values: pd.Series) -> pd.Series:
    """The training step of each value."""
    return values.index.get_level_values("step").to_series(index=values.index)
