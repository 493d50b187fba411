"""Frames of training: epochs until a network starts, by initializer, depth and architecture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from initlab import claims
from initlab.studies.contract import Results
from initlab.studies.how_to_start_training.frames import eta, family_names, log_means
from initlab.studies.how_to_start_training.grid import FAMILIES, SWAPPED, swapped_depths
from initlab.studies.how_to_start_training.settings import Settings


def started(results: Results[Settings], name: str) -> pd.DataFrame:
    """Trainings of one sweep, a row each, by seed.

    Returns:
        Columns of the run, and `epochs` until 20 % test accuracy (the whole budget if never),
        whether it was `reached`, and whether the loss `diverged`.
    """
    frame = results.of(name)
    wide = frame.pivot_table(index="key", columns="statistic", values="value", sort=False)
    fields = frame.drop_duplicates("key").drop(columns=["statistic", "value"])
    return fields.merge(wide.reset_index(), on="key")


def epochs(trained: pd.DataFrame, by: Sequence[str], budget: int) -> pd.DataFrame:
    """Restricted mean of the epochs until the start, of each group.

    Its interval, for a logarithmic axis, ends at the budget, as the restricted mean does.
    """
    found = log_means(trained.rename(columns={"epochs": "value"}), by)
    return found.assign(high=found.high.clip(upper=budget))


def figure_1b(results: Results[Settings]) -> pd.DataFrame:
    """Epochs by initializer and depth; shares of networks that `started` and that `diverged`."""
    by = ["init", "model.depth"]
    trained = started(results, "square_trained")
    shares = trained.groupby(by)[["reached", "diverged"]].mean()
    found = epochs(trained, by, results.settings.epochs).join(
        shares.rename(columns={"reached": "started"}), on=by
    )
    return found.rename(columns={"init": "initializer", "model.depth": "depth"})


def residual_starts(results: Results[Settings]) -> pd.DataFrame:
    """Trainings of residual networks, with `b`, `modules` and `eta`."""
    names = {"model.scales": "b", "model.depth": "modules"}
    trained = started(results, "residual_trained").rename(columns=names)
    return trained.assign(eta=trained.b.map(eta))


def figure_2b(results: Results[Settings]) -> pd.DataFrame:
    """Epochs by weights of the modules and their number; share of networks that `started`."""
    by = ["b", "modules"]
    trained = residual_starts(results)
    share = trained.groupby(by).reached.mean().rename("started")
    found = epochs(trained, by, results.settings.epochs).join(share, on=by)
    return found.assign(eta=found.b.map(eta))


def overflow(results: Results[Settings]) -> pd.DataFrame:
    """How the networks of the most modules end: share whose loss overflows, epochs of the others.

    Returns:
        By `eta`: shares that `overflow` and that `start`, and the `mean` epochs of those that
        start with its interval.
    """
    trained = residual_starts(results)
    trained = trained[trained.modules == trained.modules.max()]
    shares = trained.groupby("eta", sort=False)[["diverged", "reached"]].mean()
    found = shares.set_axis(["overflow", "start"], axis=1)
    if (trained.reached == 1).any():
        some = trained[trained.reached == 1]
        some = epochs(some, ["eta"], results.settings.epochs).set_index("eta")
        found = found.join(some[["mean", "low", "high"]])
    return found.reset_index()


def family_starts(results: Results[Settings]) -> pd.DataFrame:
    """Trainings of the families of Figure 3, with `family` and `reciprocal`, Σ 1/n."""
    trained = started(results, "family_trained")
    widths = trained["model.widths"]
    return trained.assign(
        family=widths.map(family_names(results.settings)),
        reciprocal=[sum(1 / int(w) for w in text.split("-")) for text in widths],
    )


def figure_3(results: Results[Settings]) -> pd.DataFrame:
    """Epochs by family and depth."""
    by = ["family", "model.depth", "reciprocal"]
    found = epochs(family_starts(results), by, results.settings.epochs)
    return found.rename(columns={"model.depth": "depth"}).sort_values(["family", "depth"])


def swapped(results: Results[Settings]) -> pd.DataFrame:
    """Epochs of families (i) to (iii), and of (i) with its layers in the other order."""
    depths = swapped_depths(results.settings)
    other = started(results, "swapped_trained")
    other = epochs(other, ["model.depth"], results.settings.epochs).assign(family=SWAPPED)
    found = figure_3(results)
    found = found[found.family.isin(list(FAMILIES)[:3]) & found.depth.isin(depths)]
    return pd.concat([found, other.rename(columns={"model.depth": "depth"})])


def swapped_ratios(results: Results[Settings]) -> pd.DataFrame:
    """Mean epochs of family (i) over those of the other order, at each depth."""
    trained, other = family_starts(results), started(results, "swapped_trained")
    one = trained[trained.family == next(iter(FAMILIES))]
    return _ratios(one, other, "narrow last over wide last")


def order_ratios(results: Results[Settings]) -> pd.DataFrame:
    """Mean epochs of family (ii) over those of (iii), the same widths, at each depth."""
    trained = family_starts(results)
    first, last = (trained[trained.family == name] for name in list(FAMILIES)[1:3])
    return _ratios(first, last, "narrow half last over narrow half first")


def _ratios(one: pd.DataFrame, other: pd.DataFrame, name: str) -> pd.DataFrame:
    """Ratio of mean epochs, paired by seed, with its interval, at the depths of `other`."""
    rows = []
    for d in sorted(other["model.depth"].unique()):
        pair = [by_seed(frame[frame["model.depth"] == d]) for frame in (one, other)]
        ratio = claims.ratio(*pair, pairs=True)
        low, high = ratio.interval()
        rows.append({"depth": int(d), name: ratio.value, "low": low, "high": high})
    return pd.DataFrame(rows)


def by_seed(trained: pd.DataFrame, column: str = "epochs") -> np.ndarray:
    """A column of trainings in the order of their seeds, (n,)."""
    return trained.sort_values("seed")[column].to_numpy(float)
