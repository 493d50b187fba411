"""Means of groups of a tidy frame, with their intervals, for figures and tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from initlab.claims.estimates import mean


def means(frame: pd.DataFrame, by: Sequence[str], value: str = "value") -> pd.DataFrame:
    """Mean, its 95 % interval by Student's t (`low`, `high`), `median` and `n` of each group.

    Args:
        frame: one row per replicate and group.
        by: columns that name a group.
        value: the column of the numbers.

    Returns:
        One row per group, in the order in which groups come. A group of one has no interval: its
        ends are nan.
    """
    rows = []
    for names, group in frame.groupby(list(by), sort=False, observed=True):
        x = group[value].to_numpy(float)
        low, high = mean(x).interval() if len(x) > 1 else (np.nan, np.nan)
        rows.append(
            dict(zip(by, names, strict=True))
            | {"mean": x.mean(), "low": low, "high": high, "median": np.median(x), "n": len(x)}
        )
    return pd.DataFrame(rows)
