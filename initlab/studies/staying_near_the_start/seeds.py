"""Estimates over seeds, the chapter's replicates, each of which draws everything anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from initlab import claims
from initlab.claims import Estimate


def column(told: pd.DataFrame, width: int, value: str) -> np.ndarray:
    """A number of each run of one width, in the order of their seeds, (n,).

    Args:
        told: with columns `width`, `seed` and the number; one row per run.
        width: of the runs.
        value: the column of the number.
    """
    return told[told.width == width].sort_values("seed")[value].to_numpy()


def mean(values: Iterable[float]) -> Estimate:
    """Mean over seeds; unknown without any."""
    found = np.fromiter(values, dtype=float)
    return claims.mean(found) if found.size else claims.unknown()


def share(values: Iterable[bool]) -> Estimate:
    """Share of seeds; unknown without any."""
    found = list(values)
    return claims.share(found) if found else claims.unknown()


def ratio(
    first: Sequence[float] | np.ndarray,
    second: Sequence[float] | np.ndarray,
    *,
    pairs: bool = False,
) -> Estimate:
    """Ratio of means; unknown unless both are positive.

    Args:
        first: one number per seed.
        second: the same of what it is compared with.
        pairs: whether the i-th numbers of both are of one seed.
    """
    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if not x.size or not y.size or not x.mean() > 0 or not y.mean() > 0:
        return claims.unknown()
    return claims.ratio(x, y, pairs=pairs)


def exponent(told: pd.DataFrame, value: str) -> Estimate:
    """Slope of the logarithm of a positive number against that of the width.

    One slope for the first network of each width, one for the second, and so on: no two of them
    share anything.

    Args:
        told: with columns `width`, `seed` and the number; one row per run.
        value: the column of the number.
    """
    own = told.sort_values("seed")
    own = own.assign(replicate=own.groupby("width").cumcount())
    table = own.pivot(index="width", columns="replicate", values=value).dropna(axis="columns")
    if len(table) < 2 or not table.shape[1] or not (table > 0).all(axis=None):
        return claims.unknown()
    return claims.mean(np.polyfit(np.log(table.index), np.log(table.to_numpy()), 1)[0])


def said(estimate: Estimate) -> str:
    """An estimate with its interval, as text for a table."""
    if np.isnan(estimate.value):
        return claims.number(None)
    ends = estimate.interval()
    held = claims.bounds(ends) if np.isfinite(ends).all() else ""
    return f"{claims.number(estimate.value)} {held}".rstrip()
