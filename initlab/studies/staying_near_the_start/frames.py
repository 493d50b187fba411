"""Frames of the chapter's figures and tables that are more than one statistic during training."""

from __future__ import annotations

import numpy as np
import pandas as pd

from initlab import claims
from initlab.studies.contract import Results
from initlab.studies.staying_near_the_start.fates import fate, fates
from initlab.studies.staying_near_the_start.followed import followed, late
from initlab.studies.staying_near_the_start.grid import of_rate, of_width
from initlab.studies.staying_near_the_start.seeds import mean, said
from initlab.studies.staying_near_the_start.settings import (
    CLIPPED,
    UNCLIPPED,
    Settings,
)
from initlab.sweep import Run

#: What clipped and unclipped twins are compared by: statistic, layer, and how it is called.
COMPARED = (
    ("train_accuracy", -1, "training accuracy"),
    ("train_loss", -1, "training loss"),
    ("grad_norm", -1, "gradient norm"),
    ("delta_std", 2, "standard deviation of Δ"),
)
_TIMES = {
    "t_train": "least training loss",
    "t_test": "least test loss",
    "divergence": "divergence",
}


def times(results: Results[Settings]) -> pd.DataFrame:
    """Figure 2c: mean epochs of least losses and of divergence, over the runs that got there."""
    told = fates(results, CLIPPED)
    frames = []
    for column, name in _TIMES.items():
        rows = told.dropna(subset=column)
        if len(rows):
            frames.append(claims.means(rows, ["width"], column).assign(what=name))
    return pd.concat(frames)


def least(results: Results[Settings]) -> pd.DataFrame:
    """Figure 2d: mean least losses."""
    told = fates(results, CLIPPED)
    parts = ("train", "test")
    return pd.concat(claims.means(told, ["width"], f"min_{p}").assign(what=p) for p in parts)


def ends(results: Results[Settings]) -> pd.DataFrame:
    """How the networks of each width end: text, a row per width and loss, means with intervals."""
    rows = []
    for arm in (CLIPPED, UNCLIPPED):
        for width, told in fates(results, arm).groupby("width"):
            rows.append(
                {
                    "width": width,
                    "loss": arm,
                    "networks": len(told),
                    "diverged": int(told.diverged.sum()),
                    "best training accuracy": said(mean(told.best)),
                    "training accuracy at the end": said(mean(told.right)),
                    "test accuracy at the end": said(mean(told.test_right)),
                    "training loss at the end": said(mean(told.train)),
                }
            )
    return pd.DataFrame(rows)


def twins(results: Results[Settings]) -> pd.DataFrame:
    """Each clipped network beside its unclipped twin, over the last tenth of their epochs.

    Returns:
        A row per number: means of both arms, and the mean of the paired differences with its
        interval, as text.
    """
    width = results.settings.unstable
    arms = [of_width(results.grid[arm], width) for arm in (CLIPPED, UNCLIPPED)]
    rows = []
    for statistic, layer, what in (*COMPARED, ("test_accuracy", -1, "test accuracy")):
        a, b = (late(results, arm, statistic, layer) for arm in arms)
        rows.append(
            {
                "over the last tenth": what,
                "clipped": said(mean(a)),
                "unclipped": said(mean(b)),
                "difference": said(mean(a - b)),
            }
        )
    return pd.DataFrame(rows)


def moments(field: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean over networks of a column of `conditional`, with its interval.

    Args:
        field: as `conditional` gives it, or with more columns.
        column: such as "skew".

    Returns:
        A row per bin, with `start`, its mean first weight, in the order of that.
    """
    rows = claims.means(field, ["bin"], column)
    rows["start"] = field.groupby("bin").start.mean().to_numpy()
    return rows.sort_values("start")


def by_mark(results: Results[Settings]) -> dict[tuple[int, str], list[Run]]:
    """Marked runs by their width and their loss: the stable width, the unstable one twice."""
    stable, unstable = results.settings.stable, results.settings.unstable
    return {
        (stable, CLIPPED): of_width(results.grid["marked"], stable),
        (unstable, CLIPPED): of_width(results.grid["marked"], unstable),
        (unstable, UNCLIPPED): results.grid["marked_unclipped"],
    }


def by_rate(results: Results[Settings]) -> dict[float, list[Run]]:
    """Runs of the unstable width by their learning rate."""
    return {rate: of_rate(results.grid["rates"], rate) for rate in results.settings.rates}


def rates(results: Results[Settings]) -> pd.DataFrame:
    """What each learning rate comes to: text, a row per rate."""
    rows = []
    usual = results.settings.rate
    for rate, runs in by_rate(results).items():
        told = fate(results, runs)
        gone = told[told.diverged]
        rows.append(
            {
                "rate": f"{rate:g}",
                "epochs": runs[0].budget.epochs if runs[0].budget else 0,
                "diverged": f"{len(gone)} of {len(told)}",
                f"epoch of divergence × rate / {usual:g}": said(
                    mean(gone.divergence * (rate / usual))
                ),
                "least test loss": said(mean(told.min_test)),
                "sharpness × rate at the least loss": said(
                    claims.geometric_mean(sharpness_at_least(results, runs))
                ),
            }
        )
    return pd.DataFrame(rows)


def sharpness_at_least(results: Results[Settings], runs: list[Run]) -> np.ndarray:
    """Sharpness × rate of each run at the look nearest to its least training loss, (n,)."""
    told = fate(results, runs)
    table = followed(results, runs, "sharpness")
    found = []
    for row, run in zip(told.itertuples(), runs, strict=True):
        series = table[row.key].dropna()
        near = np.abs(series.index.to_numpy() - row.t_train).argmin()
        found.append(series.iloc[near] * run.optimizer.lr)  # type: ignore[attr-defined]
    return np.array(found)


def edges(results: Results[Settings]) -> dict[float, pd.DataFrame]:
    """Sharpness × rate during training, by rate: a column per run, indexed by rate × epochs."""
    found = {}
    for rate, runs in by_rate(results).items():
        table = followed(results, runs, "sharpness") * rate
        table.index = table.index * (rate / results.settings.rate)
        found[rate] = table
    return found
