"""Intervals over runs."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from scipy import stats

#: Shares of the resamples below the two ends of an interval.
ENDS = (0.025, 0.975)
#: Numbers of one sample that are resampled at once: what fits in a processor's cache is faster.
AT_ONCE = 2**16


def interval(
    *samples: Sequence[float] | np.ndarray,
    statistic: Callable[..., float | np.ndarray] = np.mean,
    paired: bool = False,
    resamples: int = 1999,
) -> tuple[float, float]:
    """95 % percentile-bootstrap interval of `statistic(*samples)`.

    Each sample is resampled by itself, or all together when `paired`. The resampling has a
    fixed seed of its own. A statistic with a parameter `axis`, such as numpy's, takes many
    resamples at once, one in each row; another is called for each of them. Samples without spread
    give a point. Where the statistic has no value on some resample, such as a correlation of equal
    numbers, there is no interval: (nan, nan).

    Raises `ValueError` for no sample, an empty one, paired samples of different lengths and
    fewer than one resample.

    >>> interval([1.0, 1.0, 1.0])
    (1.0, 1.0)
    """
    arrays = [np.asarray(s, dtype=float) for s in samples]
    sizes = [a.size for a in arrays]
    if not sizes or min(sizes) == 0:
        raise ValueError(f"an interval needs samples of one or more values each, not sizes {sizes}")
    if paired and len(set(sizes)) > 1:
        raise ValueError(f"paired samples must be equally long, not of sizes {sizes}")
    if resamples < 1:
        raise ValueError(f"resamples must be ≥ 1, not {resamples}")
    if all(np.ptp(a) == 0 for a in arrays):
        point = float(statistic(*arrays))
        return point, point
    at_once, values = _takes_axis(statistic), []
    with warnings.catch_warnings():  # what they warn of is said by the interval itself
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        for drawn in _resampled(arrays, paired, resamples):
            if at_once:
                values.append(statistic(*drawn, axis=-1))
            else:
                values.append([float(statistic(*row)) for row in zip(*drawn, strict=True)])
    low, high = np.quantile(np.concatenate(values), ENDS)
    return float(low), float(high)


def _resampled(
    arrays: Sequence[np.ndarray], paired: bool, resamples: int
) -> Iterator[list[np.ndarray]]:
    """Resamples of every sample, some rows at a time."""
    rng = np.random.default_rng(0)
    step = max(1, AT_ONCE // max(a.size for a in arrays))
    rows = [slice(i, min(i + step, resamples)) for i in range(0, resamples, step)]

    def drawn(size: int) -> np.ndarray:
        """Which values make each resample."""
        chosen = np.empty((resamples, size), np.min_scalar_type(size - 1))
        for some in rows:
            chosen[some] = rng.integers(0, size, (some.stop - some.start, size))
        return chosen

    chosen = [drawn(a.size) for a in (arrays[:1] if paired else arrays)]
    if paired:
        chosen *= len(arrays)
    for some in rows:
        yield [a[c[some]] for a, c in zip(arrays, chosen, strict=True)]


def _takes_axis(statistic: Callable) -> bool:
    try:
        return "axis" in inspect.signature(statistic).parameters
    except ValueError:  # some built-in functions do not say what they take
        return False


def share(values: Iterable[bool]) -> tuple[float, float]:
    """95 % Wilson interval of the share of `values` that are true.

    Unlike a bootstrap it does not shrink to a point where all of a few runs agree.

    Raises `ValueError` for no values.

    >>> [round(end, 2) for end in share([True] * 10)]
    [0.72, 1.0]
    """
    held = [bool(v) for v in values]
    if not held:
        raise ValueError("a share needs one value or more, not 0")
    result = stats.binomtest(sum(held), len(held)).proportion_ci(method="wilson")
    return float(result.low), float(result.high)


def within(value: float, error: float) -> tuple[float, float]:
    """95 % interval of a mean with a standard error `error`, by the normal distribution.

    >>> within(0.0, 0.5)
    (-0.98, 0.98)
    """
    return float(value - 1.96 * error), float(value + 1.96 * error)


def means(frame: pd.DataFrame, by: Sequence[str], value: str = "value") -> pd.DataFrame:
    """Mean, its interval (`low`, `high`), `median` and `n` of `value` in each group of `by`."""
    rows = []
    for names, group in frame.groupby(list(by), sort=False, observed=True):
        x = group[value].to_numpy(float)
        low, high = interval(x) if len(x) > 1 else (x[0], x[0])
        rows.append(
            dict(zip(by, names, strict=True))
            | {"mean": x.mean(), "low": low, "high": high, "median": np.median(x), "n": len(x)}
        )
    return pd.DataFrame(rows)
