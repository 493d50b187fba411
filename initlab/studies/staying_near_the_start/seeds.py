"""Estimates over seeds, the chapter's replicates.

Networks of several widths that have a seed share draws, because their weights come from one
stream: where widths are put together or compared, seeds are resampled or paired, not networks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from initlab import claims
from initlab.claims import Estimate


def column(told: pd.DataFrame, width: int | None, value: str) -> np.ndarray:
    """A number of each run of one width, in the order of their seeds, (n,).

    Args:
        told: with columns `width`, `seed` and the number; one row per run.
        width: None gives nothing.
        value: the column of the number.
    """
    return told[told.width == width].sort_values("seed")[value].to_numpy()


def table(told: pd.DataFrame, value: str) -> pd.DataFrame:
    """A number of each run: a row per width, from the narrowest, and a column per seed."""
    return told.pivot(index="width", columns="seed", values=value).sort_index()


def mean(values: Iterable[float]) -> Estimate:
    """Mean over seeds; unknown without any."""
    found = np.fromiter(values, dtype=float)
    return claims.mean(found) if found.size else claims.unknown()


def share(values: Iterable[bool]) -> Estimate:
    """Share of seeds; unknown without any."""
    found = list(values)
    return claims.share(found) if found else claims.unknown()


def ratio(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> Estimate:
    """Ratio of means over the same seeds; unknown without any, and unless both are positive."""
    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if not x.size or not y.size or x.mean() <= 0 or y.mean() <= 0:
        return claims.unknown()
    return claims.ratio(x, y, pairs=True)


def ratio_of_times(first: np.ndarray, second: np.ndarray, horizon: float) -> Estimate:
    """Ratio of restricted means, of times that were watched up to `horizon`.

    Seeds of which both times were not seen are left out: they are not equal but unknown.

    Args:
        first: one time per seed, infinity where it was not seen.
        second: the same of the same seeds.
        horizon: in the unit of the times.
    """
    if len(first) != len(second):
        return claims.unknown()
    seen = (first < horizon) | (second < horizon)
    return ratio(np.minimum(first, horizon)[seen], np.minimum(second, horizon)[seen])


def pooled(rows: pd.DataFrame, value: str) -> Estimate:
    """Mean over runs of several widths, with an interval over their seeds.

    Args:
        rows: with columns `seed` and the number; one row per run, any number per seed.
        value: the column of the number.
    """
    if not len(rows):
        return claims.unknown()
    of = rows.groupby("seed")[value]

    def statistic(total: np.ndarray, count: np.ndarray) -> np.ndarray:
        return total.sum(-1) / count.sum(-1)

    return claims.bca(statistic, of.sum(), of.count(), pairs=True, vectorized=True)


def said(estimate: Estimate) -> str:
    """An estimate with its interval, as text for a table."""
    if np.isnan(estimate.value):
        return claims.number(None)
    ends = estimate.interval()
    held = claims.bounds(ends) if np.isfinite(ends).all() else ""
    return f"{claims.number(estimate.value)} {held}".rstrip()
