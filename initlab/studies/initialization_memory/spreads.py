"""Memory in points of test accuracy, with its interval: statistics of tables (scales, seeds).

The seeds are the replicates. Networks of one seed share their draw of weights over all scales, so
that scales are compared within seeds.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import pandas as pd

from initlab import claims
from initlab.claims import Estimate
from initlab.measure import memory


def contrast(table: pd.DataFrame, one: float, other: float) -> Estimate:
    """Mean accuracy at scale `one` less that at scale `other`, by Student's t over seeds.

    Args:
        table: accuracies, a row for each scale.
        one: a scale.
        other: another; if either is not in the table nothing is known.
    """
    if not {one, other} <= set(table.index):
        return claims.unknown()
    return claims.paired(table.loc[one], table.loc[other])


def change(table: pd.DataFrame, before: pd.DataFrame, ends: tuple[float, float]) -> Estimate:
    """How much larger the contrast of two scales is in `table` than in `before`, seed by seed."""
    low, high = ends
    if not {low, high} <= set(table.index) & set(before.index):
        return claims.unknown()
    return claims.paired(table.loc[low] - table.loc[high], before.loc[low] - before.loc[high])


def spread(table: pd.DataFrame) -> Estimate:
    """Memory: the largest less the smallest mean over seeds among the scales.

    The interval is Student's of the contrast of these two scales. They are found by the data, so
    that it lies too high where scales matter little; `deviation` corrects for that.
    """
    if len(table) < 2:
        return claims.unknown()
    means = table.mean(axis=1)
    return contrast(table, means.idxmax(), means.idxmin())


def _variance(a: np.ndarray) -> float:
    """Variance between scales, (scales, seeds), without what single seeds add to it.

    Each scale's deviation from the mean of its seed is multiplied by that of another seed. Their
    mean over pairs of seeds is unbiased, and zero on average where scales do not matter.
    """
    centred = a - a.mean(0)
    scales, seeds = a.shape
    products = (centred.sum(1) ** 2).sum() - (centred**2).sum()
    return float(products / (seeds * (seeds - 1) * (scales - 1)))


def deviation(table: pd.DataFrame) -> Estimate:
    """Memory as the standard deviation of the scales, corrected for the bias that seeds make.

    The interval is Student's of the pseudo-values that leaving out one seed after the other gives
    the variance (jackknife); what is below zero counts as zero.
    """
    a = table.to_numpy(float)
    seeds = a.shape[1]
    if len(a) < 2 or seeds < 3:
        return claims.unknown()
    left = [_variance(np.delete(a, i, axis=1)) for i in range(seeds)]
    variance = claims.mean([seeds * _variance(a) - (seeds - 1) * v for v in left])

    def at(error: float) -> tuple[float, float]:
        low, high = variance.interval(error)
        return sqrt(max(low, 0.0)), sqrt(max(high, 0.0))

    return Estimate(sqrt(max(variance.value, 0.0)), seeds, at)


def by_seeds_alone(table: pd.DataFrame) -> float:
    """The mean spread that as many scales and seeds have where scales do not matter."""
    scales, seeds = table.shape
    if not scales:
        return float("nan")
    residuals = table.sub(table.mean(axis=1), axis=0) * (seeds / max(seeds - 1, 1)) ** 0.5
    return memory.spread_of_seeds(residuals, scales, seeds)


def said(estimate: Estimate) -> str:
    """A number with its interval, to one decimal; empty where there is no number.

    >>> said(claims.mean([1.0, 2.0, 3.0]))
    '2.0 [−0.5, 4.5]'
    """
    if np.isnan(estimate.value):
        return ""
    low, high = estimate.interval()
    ends = f" [{low:.1f}, {high:.1f}]" if np.isfinite([low, high]).all() else ""
    return f"{estimate.value:.1f}{ends}".replace("-", "−")
