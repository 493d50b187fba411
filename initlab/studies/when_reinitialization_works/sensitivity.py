"""How much a method's accuracy depends on learning rate and weight decay."""

from __future__ import annotations

import pandas as pd

from initlab.studies.contract import Results
from initlab.studies.when_reinitialization_works.networks import networks
from initlab.studies.when_reinitialization_works.settings import Settings

#: Points within which a trial is close to the best one.
NEAR = 2.0


def surface(results: Results[Settings]) -> pd.DataFrame:
    """Mean validation accuracy of each trial with everything, right labels.

    Returns:
        Columns `data`, `method`, `rate`, `decay`, `accuracy` (%), and `close`: whether it is
        within `NEAR` points of the method's best.
    """
    frame = networks(results, "surfaces")
    means = frame.groupby(["data", "method", "trial"], sort=False, as_index=False).value.mean()
    top = means.groupby(["data", "method"]).value.transform("max")
    return means.assign(
        rate=[rate for rate, _ in means.trial],
        decay=[decay for _, decay in means.trial],
        accuracy=means.value,
        close=means.value >= top - NEAR,
    )[["data", "method", "rate", "decay", "accuracy", "close"]]


def sensitivity(results: Results[Settings]) -> pd.DataFrame:
    """Of each network's own trials, how many are close to its best, and how they spread.

    Returns:
        Columns `data`, `method`, `replicate`, `statistic` and `value`: "close" is the share of
        trials within `NEAR` points of the network's best, "spread" the standard deviation of its
        accuracy over the trials, in points.
    """
    rows = []
    frame = networks(results, "surfaces")
    for (data, method, i), group in frame.groupby(["data", "method", "replicate"], sort=False):
        tried = group.value
        close = float((tried >= tried.max() - NEAR).mean())
        for statistic, value in (("close", close), ("spread", float(tried.std(ddof=0)))):
            rows.append((data, method, i, statistic, value))
    return pd.DataFrame(rows, columns=["data", "method", "replicate", "statistic", "value"])


def of_means(results: Results[Settings]) -> pd.DataFrame:
    """The same two statistics of the trials' means over networks: `data`, `method`, and a column
    each.
    """
    groups = surface(results).groupby(["data", "method"], sort=False)
    return pd.DataFrame(
        {"close": groups.close.mean(), "spread": groups.accuracy.std(ddof=0)}
    ).reset_index()
