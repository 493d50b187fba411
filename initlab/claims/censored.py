"""Times that are known up to a horizon: what has not happened by then may happen any time after."""

from __future__ import annotations

import numpy as np

from initlab.claims.estimates import FEWEST, Estimate, Sample, difference, mean, sample, unknown


def restricted_mean(times: Sample, horizon: float) -> Estimate:
    """Mean of min(time, horizon) over replicates, with Student's t.

    Args:
        times: one per replicate; any number ≥ `horizon`, infinity too, is a time that was not seen.
        horizon: up to which was watched, in the unit of the times.

    Returns:
        The estimate. Nothing is known where no replicate arrived in time, and where some did not
        and there are fewer than eight.

    Raises:
        ValueError: for an empty sample and a horizon that is not positive.
    """
    x = _cut(times, horizon)
    if (x >= horizon).all() or _too_few(x, horizon):
        return unknown(float(x.mean()), x.size)
    return mean(x)


def restricted_difference(
    first: Sample, second: Sample, horizon: float, *, pairs: bool = False
) -> Estimate:
    """Difference of restricted means, `first` − `second`.

    Two that have both not arrived are not equal, they are not known: such pairs are left out, and
    if of both samples none arrived the difference is unknown. So it is where of one sample some did
    and some did not, and there are fewer than eight replicates.

    Args:
        first: times, one per replicate.
        second: the same of what it is compared with.
        horizon: see `restricted_mean`.
        pairs: whether the i-th numbers of both share their draws.

    Raises:
        ValueError: for pairs of different sizes.
    """
    x, y = _cut(first, horizon), _cut(second, horizon)
    if not pairs:
        none = (x >= horizon).all() and (y >= horizon).all()
        if none or _too_few(x, horizon) or _too_few(y, horizon):
            return unknown(float(x.mean() - y.mean()), min(x.size, y.size))
        return difference(x, y)
    if x.size != y.size:
        raise ValueError(f"pairs need as many of each, not {x.size} and {y.size}")
    seen = (x < horizon) | (y < horizon)
    if not seen.any():
        return unknown(0.0, 0)
    x, y = x[seen], y[seen]
    if _too_few(x, horizon) or _too_few(y, horizon):
        return unknown(float((x - y).mean()), x.size)
    return mean(x - y)


def _cut(times: Sample, horizon: float) -> np.ndarray:
    if not horizon > 0:
        raise ValueError(f"a horizon is a time > 0, not {horizon!r}")
    return sample(times).clip(max=horizon)


def _too_few(x: np.ndarray, horizon: float) -> bool:
    """Whether some of few replicates did not arrive: then Student's t does not cover.

    Where none did, the restricted time is the horizon itself.
    """
    late = int((x >= horizon).sum())
    return 0 < late < x.size < FEWEST
