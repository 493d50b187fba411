"""Intervals by resampling replicates: BCa, and sign flips of paired differences."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import sqrt

import numpy as np
from scipy import stats

from initlab.claims.estimates import FEWEST, UNKNOWN, Estimate, Interval, Sample, sample, unknown

#: Resamples of a bootstrap, and at most so many numbers drawn at once.
RESAMPLES, AT_ONCE = 1999, 2**22
#: Up to this many differences all sign flips are counted.
FEW_FLIPS = 12


def bca(
    statistic: Callable[..., np.ndarray | float],
    *samples: np.ndarray | list,
    pairs: bool = False,
    vectorized: bool = False,
    resamples: int = RESAMPLES,
) -> Estimate:
    """A statistic of samples, with a bias-corrected and accelerated bootstrap over replicates.

    The replicates lie along the last axis of each sample; leading axes, such as depths or rates,
    share them and are resampled with them (a cluster bootstrap). The tails are widened for few
    replicates as Student's t would (Hesterberg 2015, *What teachers should know about the
    bootstrap*, section 4.6.1).

    Args:
        statistic: of arrays (…, n), a number. With `vectorized` it is given one more leading axis
            of B resamples, (B, …, n), and returns (B,).
        samples: arrays (…, n) of one number per replicate, each n its own unless `pairs`.
        pairs: whether the i-th replicates of all samples share their draws.
        vectorized: see `statistic`.
        resamples: number of them.

    Returns:
        The estimate; its interval is unknown for fewer than 8 replicates and where the statistic
        has no value on some resample.

    Raises:
        ValueError: for no sample, an empty one, and pairs of different sizes.
    """
    arrays = [np.asarray(s, dtype=float) for s in samples]
    sizes = [a.shape[-1] if a.ndim else 0 for a in arrays]
    if not sizes or min(sizes) == 0:
        raise ValueError(f"a bootstrap needs samples of one replicate or more, not {sizes}")
    if pairs and len(set(sizes)) > 1:
        raise ValueError(f"pairs need as many replicates of each, not {sizes}")
    value, n = float(statistic(*arrays)), min(sizes)
    if n < FEWEST or not np.isfinite(value):
        return unknown(value, n)
    groups = [range(len(arrays))] if pairs else [[i] for i in range(len(arrays))]
    drawn = _draws(statistic, arrays, groups, resamples, vectorized)
    if not np.isfinite(drawn).all():
        return unknown(value, n)
    if np.ptp(drawn) == 0:
        return Estimate(value, n, lambda error: (value, value) if drawn[0] == value else UNKNOWN)
    below = ((drawn < value).mean() + (drawn <= value).mean()) / 2
    z0 = float(stats.norm.ppf(np.clip(below, 1 / resamples, 1 - 1 / resamples)))
    a = _acceleration(statistic, arrays, groups)

    def at(error: float) -> Interval:
        wide = sqrt(n / (n - 1)) * float(stats.t.ppf(1 - error / 2, n - 1))
        z = z0 + np.array([-wide, wide])
        levels = stats.norm.cdf(z0 + z / (1 - a * z))
        low, high = np.quantile(drawn, np.clip(levels, 0, 1))
        return float(low), float(high)

    return Estimate(value, n, at)


def _draws(statistic, arrays, groups, resamples: int, vectorized: bool) -> np.ndarray:
    """The statistic on resamples, (resamples,)."""
    rng = np.random.default_rng(0)
    most = max(1, AT_ONCE // sum(a.size for a in arrays)) if vectorized else 1
    found = []
    done = 0
    while done < resamples:
        count = min(most, resamples - done)
        new = list(arrays)
        for group in groups:
            n = arrays[group[0]].shape[-1]
            index = rng.integers(0, n, (count, n))
            for i in group:
                new[i] = np.moveaxis(arrays[i][..., index], -2, 0)
        if vectorized:
            found.append(np.asarray(statistic(*new), dtype=float))
        else:
            found.append(np.array([statistic(*(x[0] for x in new))], dtype=float))
        done += count
    return np.concatenate(found)


def _acceleration(statistic, arrays, groups) -> float:
    """Skewness of the statistic's dependence on single replicates, by leaving each out."""
    cubes = squares = 0.0
    for group in groups:
        n = arrays[group[0]].shape[-1]
        # Of many replicates, some tell it as well.
        chosen = range(n) if n <= 200 else np.linspace(0, n - 1, 200).astype(int)
        left = np.array(
            [
                float(
                    statistic(
                        *(np.delete(a, i, -1) if j in group else a for j, a in enumerate(arrays))
                    )
                )
                for i in chosen
            ]
        )
        pull = (left.mean() - left) * (n - 1) / n
        weight = n / len(left)
        cubes += weight * float((pull**3).sum())
        squares += weight * float((pull**2).sum())
    return cubes / (6 * squares**1.5) if squares > 0 else 0.0


def sign_flips(differences: Sample) -> Estimate:
    """Mean of paired differences, with the interval of its sign-flip permutation test.

    It assumes that differences are symmetric about their mean and nothing else. By Hartigan's
    theorem the means of all subsets divide the line into intervals of equal probability.

    Args:
        differences: one number per pair, (n,). With fewer than six no interval of 95 % exists.
    """
    d = sample(differences)
    n = d.size
    if n <= FEW_FLIPS:
        subsets = np.array([s for s in product((False, True), repeat=n) if any(s)])
    else:
        drawn = np.random.default_rng(0).random((2**FEW_FLIPS - 1, n)) < 0.5
        subsets = drawn[drawn.any(1)]
    means = np.sort((subsets * d).sum(1) / subsets.sum(1))

    def at(error: float) -> Interval:
        # Of len + 1 gaps, k are left out at each side.
        k = int(np.floor((len(means) + 1) * error / 2 + 1e-9))
        return (float(means[k - 1]), float(means[-k])) if k >= 1 else UNKNOWN

    return Estimate(float(d.mean()), n, at)
