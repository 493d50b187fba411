"""Estimates from what was recorded of many networks: their moments."""

from __future__ import annotations

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
