"""Times that are known up to a horizon: what has not happened by then may happen any time after."""

from __future__ import annotations

from initlab.claims.estimates import Estimate, Sample, _array, difference, mean, unknown


def restricted_mean(times: Sample, horizon: float) -> Estimate:
    """Mean of min(time, horizon) over replicates, with Student's t.

    Args:
        times: one per replicate; any number ≥ `horizon`, infinity too, is a time that was not seen.
        horizon: up to which was watched, in the unit of the times.

    Returns:
        The estimate. If no replicate arrived in time nothing is known but that.

    Raises:
        ValueError: for an empty sample and a horizon that is not positive.
    """
    x = _cut(times, horizon)
    return unknown(horizon, x.size) if (x >= horizon).all() else mean(x)


def restricted_difference(
    first: Sample, second: Sample, horizon: float, *, pairs: bool = False
) -> Estimate:
    """Difference of restricted means, `first` − `second`.

    Two that have both not arrived are not equal, they are not known: such pairs are left out, and
    if of both samples none arrived the difference is unknown.

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
        return unknown(0.0, min(x.size, y.size)) if none else difference(x, y)
    if x.size != y.size:
        raise ValueError(f"pairs need as many of each, not {x.size} and {y.size}")
    seen = (x < horizon) | (y < horizon)
    return mean((x - y)[seen]) if seen.any() else unknown(0.0, 0)


def _cut(times: Sample, horizon: float):
    if not horizon > 0:
        raise ValueError(f"a horizon is a time > 0, not {horizon!r}")
    return _array(times).clip(max=horizon)
