"""Estimates from what was recorded of many networks: moments, and the largest of several."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

from scipy import stats

from initlab import claims
from initlab.claims import Estimate
from initlab.claims.estimates import Interval


def from_moments(value: float, error: float, n: int) -> Estimate:
    """A mean of which only the standard error was kept, with Student's t.

    Args:
        value: the mean over replicates.
        error: its standard error.
        n: number of replicates.
    """
    if n < 2 or not error >= 0:
        return claims.unknown(value, n)

    def at(two_sided: float) -> Interval:
        reach = float(stats.t.ppf(1 - two_sided / 2, n - 1)) * error
        return value - reach, value + reach

    return Estimate(value, n, at)


def largest_distance(estimates: Sequence[Estimate], target: float = 0.0) -> Estimate:
    """The largest |estimate − target| of several, with Bonferroni's simultaneous interval.

    Args:
        estimates: one or more; they may depend on each other.
        target: what they are compared with.
    """
    known = [e for e in estimates if e.value == e.value]
    if not known:
        return claims.unknown(nan)
    value = max(abs(e.value - target) for e in known)

    def at(error: float) -> Interval:
        ends = [e.interval(error / len(known)) for e in known]
        nearest = [max(low - target, target - high, 0.0) for low, high in ends]
        farthest = [max(target - low, high - target) for low, high in ends]
        return max(nearest), max(farthest)

    return Estimate(value, min(e.n for e in known), at)
