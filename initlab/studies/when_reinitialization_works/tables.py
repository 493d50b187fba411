"""The chapter's tables, as they are shown."""

from __future__ import annotations

import pandas as pd

from initlab import claims
from initlab.studies.contract import Results
from initlab.studies.when_reinitialization_works.budgets import at_best_budget, budgets
from initlab.studies.when_reinitialization_works.network import SHRINK, STANDARD
from initlab.studies.when_reinitialization_works.networks import (
    COMPARED,
    gains,
    minus,
    networks,
    select,
)
from initlab.studies.when_reinitialization_works.sensitivity import NEAR, of_means, sensitivity
from initlab.studies.when_reinitialization_works.settings import Settings
from initlab.studies.when_reinitialization_works.stages import SEEN, at_best_moment, at_the_end


def told(means: pd.DataFrame, form: str = ".1f") -> pd.Series:
    """Means with their intervals as text.

    Args:
        means: as `claims.means` gives them.
        form: of each number.

    >>> told(pd.DataFrame(dict(mean=[1.26], low=[-0.5], high=[3.0])), "+.1f").tolist()
    ['+1.3 [-0.5, +3.0]']
    """
    ends = means[["mean", "low", "high"]].itertuples(index=False)
    return pd.Series([f"{m:{form}} [{a:{form}}, {b:{form}}]" for m, a, b in ends], means.index)


def percent(shares: pd.Series) -> pd.Series:
    """Shares as text."""
    return shares.map("{:.0%}".format)


def _mean(frame: pd.DataFrame, by: list[str]) -> pd.Series:
    """Means of groups as text, by their names."""
    return frame.groupby(by, sort=False).value.mean().map("{:.1f}".format)


def accuracies(results: Results[Settings], data: str) -> pd.DataFrame:
    """Test accuracy in % of every method (columns) at every share of wrong labels and setting."""
    frame = select(networks(results, "final"), data=data).sort_values("noise", kind="stable")
    means = claims.means(frame, ["noise", "setting", "method"])
    means = means.assign(text=told(means), wrong=percent(means.noise) + " wrong")
    wide = means.pivot(index=["wrong", "setting"], columns="method", values="text")
    order = means[["wrong", "setting"]].drop_duplicates()
    wide = wide.loc[list(order.itertuples(index=False, name=None)), means.method.unique()]
    return wide.rename_axis(index=[None, None], columns=None)


def stopped(results: Results[Settings]) -> pd.DataFrame:
    """Gains over standard training at the end, and with each method at its best moment."""
    axes = ["data", "setting", "method"]
    end = claims.means(minus(networks(results, "watched"), "method", STANDARD), axes)
    best = at_best_moment(results).drop(columns="step")
    best = claims.means(minus(best, "method", STANDARD), axes)
    frame = end[axes].assign(end=told(end, "+.1f"))
    frame = frame.merge(best[axes].assign(best=told(best, "+.1f")), on=axes, how="left")
    titles = {"end": "gain at the end, points", "best": "gain, each at its best moment, points"}
    return frame.rename(columns=titles)


def sensitivities(results: Results[Settings]) -> pd.DataFrame:
    """Share of trials close to the best, and spread over the trials, with everything."""
    means = claims.means(sensitivity(results), ["data", "method", "statistic"])
    means = means.assign(text=told(means, ".2f"))
    wide = means.pivot(index=["data", "method"], columns="statistic", values="text")
    frame = of_means(results).join(wide.add_suffix(" of a network"), on=["data", "method"])
    near = f"share within {NEAR:g} points of the best"
    return pd.DataFrame(
        {
            "data": frame.data,
            "method": frame.method,
            f"{near}, of the means": frame.close.map("{:.2f}".format),
            f"{near}, of one network": frame["close of a network"],
            "spread over the grid, points, of the means": frame.spread.map("{:.2f}".format),
            "spread, points, of one network": frame["spread of a network"],
        }
    )


def controls(results: Results[Settings]) -> pd.DataFrame:
    """Shrink & Perturb with something changed, and the difference that it makes."""
    axes = ["data", "noise", "control"]
    frame = networks(results, "controls")
    less = claims.means(minus(frame, "control", "as it is"), axes)
    less = less[axes].assign(text=told(less, "+.1f"))
    shown = frame[axes].drop_duplicates().merge(less, on=axes, how="left")
    return pd.DataFrame(
        {
            "data": shown.data,
            "wrong labels": percent(shown.noise),
            "Shrink & Perturb, everything": shown.control,
            "validation accuracy, %": list(_mean(frame, axes)),
            "minus as it is": shown.text.fillna(""),
        }
    )


def by_budget(results: Results[Settings]) -> pd.DataFrame:
    """Shrink & Perturb against standard training at every budget, and what both have fitted."""
    axes = [*COMPARED, "epochs"]
    shown = claims.means(minus(budgets(results), "method", STANDARD), axes)
    cells = list(shown[axes].itertuples(index=False))
    columns = {"gain of Shrink & Perturb, points": told(shown, "+.1f")}
    for method, who in ((STANDARD, "standard"), (SHRINK, SHRINK)):
        for statistic, what in (
            ("train_accuracy", "training accuracy"),
            ("wrong_fitted", "wrong labels memorized"),
        ):
            ends = budgets(results, statistic).groupby([*axes, "method"]).value.mean()
            values = [ends[*cell, method] for cell in cells]
            columns[f"{what}, {who}, %"] = pd.Series(
                ["" if pd.isna(v) else f"{v:.1f}" for v in values]
            )
    head = shown[axes].rename(columns={"noise": "wrong"}).assign(wrong=percent(shown.noise))
    return pd.concat([head, pd.DataFrame(columns)], axis=1)


def at_their_best_budgets(results: Results[Settings]) -> pd.DataFrame:
    """Each method at the budget that is best for it, and the gain of Shrink & Perturb."""
    frame = at_best_budget(results)
    means = frame.groupby([*COMPARED, "method", "epochs"], sort=False, as_index=False).value.mean()
    means = means.assign(text=means.value.map("{:.1f}".format) + " at " + means.epochs.map(str))
    gain = claims.means(minus(frame.drop(columns="epochs"), "method", STANDARD), COMPARED)
    shown = gain[COMPARED].rename(columns={"noise": "wrong"}).assign(wrong=percent(gain.noise))
    for method in (STANDARD, SHRINK):
        shown[method] = gain.merge(select(means, method=method), on=COMPARED).text
    return shown.assign(**{"gain, points": told(gain, "+.1f")})


def at_longest(results: Results[Settings]) -> pd.DataFrame:
    """Every method at the longest budget with wrong labels: gain, and what it has memorized."""
    most, axes = max(results.settings.factors), [*COMPARED, "method"]
    gained = gains(results, "longer")
    gained = gained[(gained.factor == most) & (gained.noise > 0)]
    memorized = networks(results, "longer", "wrong_fitted")
    memorized = memorized[(memorized.factor == most) & (memorized.noise > 0)]
    gain = claims.means(gained, axes)
    gain = pd.concat([rows for _, rows in gain.groupby(COMPARED, sort=False)], ignore_index=True)
    known = _mean(memorized, axes)
    return pd.DataFrame(
        {
            "data": gain.data,
            "setting": gain.setting,
            "wrong": percent(gain.noise),
            "method": gain.method,
            "gain, points": told(gain, "+.1f"),
            "wrong labels memorized, %": list(known[list(gain[axes].itertuples(index=False))]),
        }
    )


def state_at_the_end(results: Results[Settings]) -> pd.DataFrame:
    """The statistics of `SEEN` after the last stage."""
    axes = ["data", "setting", "method"]
    means = claims.means(at_the_end(results), [*axes, "statistic"])
    means = means.assign(text=told(means, ".3g"), statistic=means.statistic.map(SEEN))
    wide = means.pivot(index=axes, columns="statistic", values="text")
    order = list(means[axes].drop_duplicates().itertuples(index=False))
    return wide.loc[order, list(SEEN.values())].fillna("").reset_index()
