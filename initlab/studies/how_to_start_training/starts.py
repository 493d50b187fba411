"""Frames of training: epochs until a network starts, by initializer, depth and architecture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from initlab import claims
from initlab.studies.contract import Results
from initlab.studies.how_to_start_training.frames import EVEN, eta, family_names, log_means
from initlab.studies.how_to_start_training.parts import FAMILIES, SWAPPED, TUNED, seeds
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


def square_starts(results: Results[Settings]) -> pd.DataFrame:
    """Trainings of Figure 1b, of all initializers."""
    frames = [started(results, name) for name in ("square_trained", "lost")]
    return pd.concat([frame for frame in frames if len(frame)], ignore_index=True)


def figure_1b(results: Results[Settings]) -> pd.DataFrame:
    """Epochs by initializer and depth; shares of networks that `started` and that `diverged`.

    The mean is restricted to the `budget` of epochs of that depth.
    """
    by = ["init", "model.depth", "budget.epochs"]
    trained = square_starts(results)
    shares = trained.groupby(by)[["reached", "diverged"]].mean()
    found = log_means(trained.rename(columns={"epochs": "value"}), by)
    found["high"] = np.minimum(found.high, found["budget.epochs"])
    found = found.join(shares.rename(columns={"reached": "started"}), on=by)
    names = {"init": "initializer", "model.depth": "depth", "budget.epochs": "budget"}
    return found.rename(columns=names)


def tuned_starts(results: Results[Settings]) -> pd.DataFrame:
    """Trainings at every rate, with `rate` and whether their seed `tunes`."""
    return _at_rates(results, "tuned", [seeds(results.settings, 1, s)[0] for s in TUNED])


def tiny_starts(results: Results[Settings]) -> pd.DataFrame:
    """Trainings of unweighted modules at every rate, with `rate` and whether their seed `tunes`."""
    return _at_rates(results, "tiny_rates", [seeds(results.settings, 1)[0]])


def _at_rates(results: Results[Settings], name: str, firsts: Sequence[int]) -> pd.DataFrame:
    trained = started(results, name).rename(columns={"optimizer.lr": "rate"})
    choosing = {f + i for f in firsts for i in range(results.settings.tuning_runs)}
    return trained.assign(tunes=trained.seed.isin(choosing))


def best_rate(trained: pd.DataFrame) -> float:
    """The rate with the least mean epochs over the seeds that choose; of equals the smallest.

    Args:
        trained: of one arm, with `rate`, `tunes` and `epochs`.
    """
    return float(trained[trained.tunes].groupby("rate").epochs.mean().idxmin())


def rates(results: Results[Settings]) -> pd.DataFrame:
    """Figure of the tuned rates: restricted mean epochs of the seeds that judge.

    Returns:
        By `initializer` and `rate`: mean with its interval, the share that `started`, and whether
        this rate was `chosen`.
    """
    trained = tuned_starts(results)
    chosen = {scheme: best_rate(own) for scheme, own in trained.groupby("init")}
    by = ["init", "rate"]
    trained = trained[~trained.tunes]
    found = epochs(trained, by, results.settings.rate_epochs)
    found = found.join(trained.groupby(by).reached.mean().rename("started"), on=by)
    found["chosen"] = [r == chosen[i] for i, r in zip(found.init, found.rate, strict=True)]
    return found.rename(columns={"init": "initializer"})


def unweighted_rates(results: Results[Settings]) -> pd.DataFrame:
    """Shares of residual networks of unweighted modules that start and overflow, by rate."""
    trained = tiny_starts(results)
    shares = trained.groupby("rate")[["reached", "diverged"]].mean()
    return shares.set_axis(["start", "overflow"], axis=1).reset_index()


def placed(results: Results[Settings]) -> pd.DataFrame:
    """Where the normalization stands: shares that start and overflow, restricted mean epochs."""
    by = ["model.modules", "model.place"]
    trained = started(results, "normalized")
    shares = trained.groupby(by, sort=False)[["reached", "diverged"]].mean()
    found = epochs(trained, by, results.settings.short_epochs).join(
        shares.set_axis(["start", "overflow"], axis=1), on=by
    )
    return found.rename(columns={"model.modules": "modules", "model.place": "normalization"})


def free_starts(results: Results[Settings]) -> pd.DataFrame:
    """Trainings of networks whose Σ 1/n (`reciprocal`), depth and `last` width are free."""
    trained = started(results, "free")
    widths = [tuple(map(int, text.split("-"))) for text in trained["model.widths"]]
    names = {"optimizer.lr": "rate", "model.depth": "depth"}
    return trained.assign(
        reciprocal=[sum(1 / n for n in w) for w in widths], last=[w[-1] for w in widths]
    ).rename(columns=names)


def free_means(results: Results[Settings]) -> pd.DataFrame:
    """Restricted mean epochs of these networks, by rate, Σ 1/n, depth and last width."""
    by = ["rate", "reciprocal", "depth", "last"]
    return epochs(free_starts(results), by, results.settings.epochs).sort_values(by)


def residual_starts(results: Results[Settings]) -> pd.DataFrame:
    """Trainings of residual networks, with `b`, `modules` and `eta`."""
    names = {"model.scales": "b", "model.depth": "modules"}
    trained = started(results, "residual_trained").rename(columns=names)
    return trained.assign(eta=trained.b.map(eta))


def figure_2b(results: Results[Settings]) -> pd.DataFrame:
    """Epochs by weights of the modules and their number; share of networks that `started`."""
    by = ["eta", "modules"]
    alike = started(results, "even_trained").rename(columns={"model.depth": "modules"})
    trained = pd.concat([residual_starts(results), alike.assign(eta=EVEN)], ignore_index=True)
    share = trained.groupby(by).reached.mean().rename("started")
    return epochs(trained, by, results.settings.epochs).join(share, on=by)


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
    other = started(results, "swapped_trained")
    other = epochs(other, ["model.depth"], results.settings.epochs).assign(family=SWAPPED)
    found = figure_3(results)
    found = found[found.family.isin(list(FAMILIES)[:3])]
    return pd.concat([found, other.rename(columns={"model.depth": "depth"})])


def swapped_ratios(results: Results[Settings]) -> pd.DataFrame:
    """Mean epochs of family (i) over those of the other order, at each depth."""
    trained, other = family_starts(results), started(results, "swapped_trained")
    one = trained[trained.family == next(iter(FAMILIES))]
    return _ratios(one, other)


def order_ratios(results: Results[Settings]) -> pd.DataFrame:
    """Mean epochs of family (ii) over those of (iii), the same widths, at each depth."""
    trained = family_starts(results)
    first, last = (trained[trained.family == name] for name in list(FAMILIES)[1:3])
    return _ratios(first, last)


def _ratios(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Ratio of mean epochs, paired by seed, with its interval, at the depths of `other`."""
    rows = []
    for d in sorted(other["model.depth"].unique()):
        pair = [by_seed(frame[frame["model.depth"] == d]) for frame in (one, other)]
        ratio = claims.ratio(*pair, pairs=True)
        low, high = ratio.interval()
        rows.append({"depth": int(d), "ratio": ratio.value, "low": low, "high": high})
    return pd.DataFrame(rows)


def by_seed(trained: pd.DataFrame, column: str = "epochs") -> np.ndarray:
    """A column of trainings in the order of their seeds, (n,)."""
    return trained.sort_values("seed")[column].to_numpy(float)
