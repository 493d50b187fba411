"""Estimates: a number, how many replicates it rests on, and an interval at any level.

A replicate is one independent draw of everything that is random: weights, order of the batches,
subset, noise. Values that share a draw are not replicates of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import exp, inf, isnan, log, nan, sqrt
from typing import TypeAlias

import numpy as np
from scipy import stats

Sample: TypeAlias = "Sequence[float] | np.ndarray"
Interval: TypeAlias = tuple[float, float]
#: An interval of a given two-sided error, such as 0.05.
IntervalAt: TypeAlias = Callable[[float], Interval]

#: Two-sided error of the intervals that are printed.
ERROR = 0.05
#: With fewer replicates, intervals by resampling and of censored times do not cover what they say.
FEWEST = 8
#: What is known of a number where there are too few replicates for an interval.
UNKNOWN: Interval = (-inf, inf)


def _unknown(error: float) -> Interval:
    return UNKNOWN


@dataclass(frozen=True)
class Estimate:
    """A number with its uncertainty.

    Args:
        value: the point estimate; nan where there is none.
        n: number of replicates.
        at: the interval of a two-sided error, or None for a number without sampling error.
    """

    value: float
    n: int
    at: IntervalAt | None = field(default=_unknown, compare=False)

    @property
    def exact(self) -> bool:
        """Whether the number has no sampling error."""
        return self.at is None

    def interval(self, error: float = ERROR) -> Interval:
        """The interval that holds the true number with probability 1 − `error`.

        Args:
            error: two-sided, between 0 and 1.

        Returns:
            Its ends; both are the value for an exact number, and infinite where nothing is known.
        """
        if self.at is None:
            return self.value, self.value
        if isnan(self.value):
            return UNKNOWN
        low, high = self.at(error)
        return (-inf if isnan(low) else float(low)), (inf if isnan(high) else float(high))


def exact(value: float) -> Estimate:
    """A number that follows from a formula or a count and has no sampling error."""
    return Estimate(float(value), 0, None)


def unknown(value: float = nan, n: int = 0) -> Estimate:
    """A number of whose uncertainty nothing is known: no criterion is met or refuted by it."""
    return Estimate(float(value), n)


def sample(values: Sample) -> np.ndarray:
    """One number per replicate, (n,) float64; raises `ValueError` for another shape and none."""
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or x.size == 0:
        raise ValueError(f"a sample is a list of one number per replicate, not of shape {x.shape}")
    return x


def _student(
    value: float, se: float, df: float, n: int, back: Callable[[float], float] | None = None
) -> Estimate:
    """An estimate by Student's t, on the scale from which `back` leads to the value's."""
    if n < 2 or isnan(se):
        return unknown(back(value) if back else value, n)

    def at(error: float) -> Interval:
        reach = float(stats.t.ppf(1 - error / 2, df)) * se
        ends = value - reach, value + reach
        return ends if back is None else (back(ends[0]), back(ends[1]))

    return Estimate(back(value) if back else value, n, at)


def mean(values: Sample) -> Estimate:
    """Mean over replicates, with Student's t.

    Args:
        values: one number per replicate, (n,).

    Raises:
        ValueError: for an empty sample.

    >>> [round(end, 2) for end in mean([1.0, 2.0, 3.0]).interval()]
    [-0.48, 4.48]
    """
    x = sample(values)
    se = x.std(ddof=1) / sqrt(x.size) if x.size > 1 else nan
    return _student(float(x.mean()), float(se), x.size - 1, x.size)


def paired(first: Sample, second: Sample) -> Estimate:
    """Mean of `first` − `second` over pairs that share their draws, with Student's t.

    Raises:
        ValueError: for samples of different sizes.
    """
    x, y = sample(first), sample(second)
    if x.size != y.size:
        raise ValueError(
            f"pairs need as many of the one as of the other, not {x.size} and {y.size}"
        )
    return mean(x - y)


def _welch(variances: Sequence[float], sizes: Sequence[int]) -> tuple[float, float]:
    """Standard error of a sum of independent estimates of these variances, and its freedom."""
    total = sum(variances)
    parts = sum(v * v / (n - 1) for v, n in zip(variances, sizes, strict=True) if n > 1)
    return sqrt(total), (total * total / parts if parts > 0 else min(sizes) - 1)


def difference(first: Sample, second: Sample) -> Estimate:
    """Mean of `first` minus mean of `second`, independent samples, with Welch's t."""
    x, y = sample(first), sample(second)
    value, n = float(x.mean() - y.mean()), min(x.size, y.size)
    if n < 2:
        return unknown(value, n)
    se, df = _welch([x.var(ddof=1) / x.size, y.var(ddof=1) / y.size], [x.size, y.size])
    return _student(value, se, df, n)


def ratio(first: Sample, second: Sample, *, pairs: bool = False) -> Estimate:
    """Mean of `first` over mean of `second`, on the logarithmic scale, with Student's t.

    Args:
        first: positive numbers, one per replicate.
        second: the same of what it is compared with.
        pairs: whether the i-th numbers of both share their draws.

    Raises:
        ValueError: for means that are not positive, and pairs of different sizes.
    """
    x, y = sample(first), sample(second)
    if x.mean() <= 0 or y.mean() <= 0:
        raise ValueError(f"a ratio needs positive means, not {x.mean():.4g} and {y.mean():.4g}")
    value, n = log(x.mean() / y.mean()), min(x.size, y.size)
    if n < 2:
        return unknown(exp(value), n)
    if pairs:
        if x.size != y.size:
            raise ValueError(f"pairs need as many of each, not {x.size} and {y.size}")
        # The first term of Taylor's series of log(mean x) − log(mean y), replicate by replicate.
        terms = x / x.mean() - y / y.mean()
        return _student(value, float(terms.std(ddof=1)) / sqrt(n), n - 1, n, exp)
    parts = [a.var(ddof=1) / a.size / a.mean() ** 2 for a in (x, y)]
    se, df = _welch(parts, [x.size, y.size])
    return _student(value, se, df, n, exp)


def geometric_mean(values: Sample) -> Estimate:
    """Geometric mean over replicates: Student's t on the logarithms.

    Raises:
        ValueError: for numbers that are not positive.
    """
    x = sample(values)
    if (x <= 0).any():
        raise ValueError("a geometric mean needs positive numbers")
    inner = mean(np.log(x))
    at = inner.at
    return Estimate(
        exp(inner.value),
        inner.n,
        lambda e: (exp(at(e)[0]), exp(min(at(e)[1], 700.0))) if at else UNKNOWN,
    )


def _wilson(k: int, n: int, error: float) -> Interval:
    found = stats.binomtest(k, n).proportion_ci(1 - error, method="wilson")
    return float(found.low), float(found.high)


def share(values: Iterable[bool]) -> Estimate:
    """Share of replicates of which something is true, with Wilson's interval.

    Raises:
        ValueError: for no values.

    >>> [round(end, 2) for end in share([True] * 10).interval()]
    [0.72, 1.0]
    """
    held = [bool(v) for v in values]
    if not held:
        raise ValueError("a share needs one value or more, not 0")
    k, n = sum(held), len(held)
    return Estimate(k / n, n, lambda error: _wilson(k, n, error))


def share_difference(first: Iterable[bool], second: Iterable[bool]) -> Estimate:
    """Share among `first` minus share among `second`, independent, with Newcombe's interval."""
    one, other = share(first), share(second)

    def at(error: float) -> Interval:
        (low, high), (low2, high2) = one.interval(error), other.interval(error)
        value = one.value - other.value
        below = sqrt((one.value - low) ** 2 + (high2 - other.value) ** 2)
        above = sqrt((high - one.value) ** 2 + (other.value - low2) ** 2)
        return value - below, value + above

    return Estimate(one.value - other.value, min(one.n, other.n), at)
