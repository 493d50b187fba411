"""Intervals over runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import stats


def interval(
    *samples: Sequence[float] | np.ndarray,
    statistic: Callable[..., float] = np.mean,
    paired: bool = False,
    resamples: int = 1999,
) -> tuple[float, float]:
    """95 % percentile-bootstrap interval of `statistic(*samples)`.

    Each sample is resampled by itself, or all together when `paired`. The resampling has a
    fixed seed of its own. Samples without spread give a point. Where the statistic has no value on
    some resample, such as a correlation of equal numbers, there is no interval: (nan, nan).

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
    with warnings.catch_warnings():  # what they warn of is said by the interval itself
        for kind in (stats.DegenerateDataWarning, stats.ConstantInputWarning):
            warnings.simplefilter("ignore", kind)
        result = stats.bootstrap(
            arrays,
            statistic,
            paired=paired,
            vectorized=False,
            n_resamples=resamples,
            method="percentile",
            random_state=np.random.default_rng(0),
        ).confidence_interval
    return float(result.low), float(result.high)


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
