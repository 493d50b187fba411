"""Estimates of the claims on losses: the stable network, divergence, least losses (J3 to J8)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from initlab import claims
from initlab.claims import Estimate
from initlab.studies.contract import Results
from initlab.studies.staying_near_the_start.fates import fates
from initlab.studies.staying_near_the_start.seeds import (
    column,
    mean,
    pooled,
    ratio,
    ratio_of_times,
    share,
    table,
)
from initlab.studies.staying_near_the_start.settings import CLIPPED, Settings


def judge(results: Results[Settings]) -> dict[str, Estimate]:
    """Estimates of J3 to J8 by the criterion's id."""
    told, settings = fates(results, CLIPPED), results.settings
    return {
        **_stable(told, settings),
        **_plateau(told, settings),
        **_window(told, settings),
        **_least_train(table(told, "min_train"), settings),
        **_least_test(told, settings),
    }


def _stable(told: pd.DataFrame, settings: Settings) -> dict[str, Estimate]:
    wide = told.assign(risen=told.end_test / told.min_test)
    return {
        "J3a.loss": mean(column(wide, settings.stable, "end_train")),
        "J3b.epoch": mean(column(wide, settings.stable, "t_test")),
        "J3c.ratio": mean(column(wide, settings.stable, "risen")),
    }


def _plateau(told: pd.DataFrame, settings: Settings) -> dict[str, Estimate]:
    gone = told[told.diverged]
    settled = gone[gone.divergence <= 0.8 * settings.epochs]  # with a while left to be flat
    settled = settled.assign(change=(settled.end_train - settled.late_train).abs())
    return {
        "J4a.share": share(column(told, settings.unstable, "diverged")),
        "J4a.narrower": share(column(told, settings.below, "diverged")),
        "J4b.loss": pooled(gone, "end_train"),
        "J4c.change": pooled(settled, "change"),
    }


def _window(told: pd.DataFrame, settings: Settings) -> dict[str, Estimate]:
    gone = told[told.diverged].assign(late=lambda rows: rows.divergence / rows.t_train)
    times = told.assign(time=told.divergence.fillna(np.inf))
    return {
        "J5a.share": share(column(told, min(settings.widths), "diverged")),
        "J5b.share": share(column(told, settings.whole, "diverged")),
        "J5c.ratio": pooled(gone, "late"),
        "J5d.ratio": ratio_of_times(
            column(times, settings.below, "time"),
            column(times, settings.unstable, "time"),
            settings.epochs,
        ),
    }


def _least_train(least: pd.DataFrame, settings: Settings) -> dict[str, Estimate]:
    """Across the upper edge of the window, from the unstable width to the next.

    Args:
        least: least training losses, a row per width and a column per seed.
        settings: of the chapter.
    """
    widths = list(least.index)
    if settings.above is None or settings.unstable not in widths:
        return dict.fromkeys(["J6a.ratio", "J6a.steepest", "J6b.largest"], claims.unknown())
    edge = widths.index(settings.unstable)

    def steepest(losses: np.ndarray) -> np.ndarray:
        steps = -np.diff(np.log(losses.mean(-1)), axis=-1)
        rest = np.delete(steps, edge, -1)
        return np.exp(steps[..., edge] - rest.max(-1)) if rest.shape[-1] else steps[..., 0] * np.nan

    def largest(losses: np.ndarray) -> np.ndarray:
        return losses.mean(-1).max(-1)

    wider = least[least.index >= settings.above].to_numpy()
    return {
        "J6a.ratio": ratio(*(least.loc[w].to_numpy() for w in (widths[edge], settings.above))),
        "J6a.steepest": claims.bca(steepest, least.to_numpy(), vectorized=True),
        "J6b.largest": claims.bca(largest, wider, vectorized=True),
    }


def _least_test(told: pd.DataFrame, settings: Settings) -> dict[str, Estimate]:
    gone = told[told.diverged].assign(early=lambda rows: rows.t_test / rows.divergence)
    least, times = table(told, "min_test"), table(told, "t_test")
    wide = times[times.index >= settings.stable / 2.5]
    return {
        "J7a.ratio": ratio(
            *(least.loc[w].to_numpy() for w in (max(least.index), min(least.index)))
        ),
        "J7b.order": order(least),
        "J8a.ratio": ratio(wide.iloc[0].to_numpy(), wide.iloc[-1].to_numpy()),
        "J8b.ratio": ratio(times.iloc[0].to_numpy(), times.iloc[-1].to_numpy()),
        "J8c.share": pooled(gone, "early"),
    }


def order(values: pd.DataFrame) -> Estimate:
    """Spearman's correlation of the width and a mean over seeds; of three widths at least.

    Args:
        values: a row per width, a column per seed.
    """
    if len(values) < 3:
        return claims.unknown()
    widths = rankdata(values.index) - (len(values) + 1) / 2

    def rho(numbers: np.ndarray) -> np.ndarray:
        ranks = rankdata(numbers.mean(-1), axis=-1)
        ranks = ranks - ranks.mean(-1, keepdims=True)
        return ranks @ widths / np.sqrt((ranks**2).sum(-1) * (widths @ widths))

    return claims.bca(rho, values.to_numpy(), vectorized=True)
