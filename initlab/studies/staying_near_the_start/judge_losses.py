"""Estimates of the claims on losses: the stable network, divergence, least losses (J3 to J8)."""

from __future__ import annotations

import pandas as pd

from initlab.claims import Estimate
from initlab.studies.contract import Results
from initlab.studies.staying_near_the_start.fates import fates
from initlab.studies.staying_near_the_start.seeds import column, exponent, mean, ratio, share
from initlab.studies.staying_near_the_start.settings import CLIPPED, Settings


def judge(results: Results[Settings]) -> dict[str, Estimate]:
    """Estimates of J3 to J8 by the criterion's id."""
    told, p = fates(results, CLIPPED), results.settings
    gone = told[told.diverged & (told.width == p.unstable)]
    return {
        **_wide(told, p),
        "J4a.share": share(column(told, p.unstable, "diverged")),
        "J4b.loss": mean(gone.train),
        "J5a.share": share(column(told, p.below, "diverged")),
        "J5b.share": share(column(told, p.above, "diverged")),
        "J5c.ratio": mean(gone.divergence / gone.t_train),
        "J6a.ratio": ratio(*(column(told, w, "min_train") for w in (p.unstable, p.above))),
        "J6b.loss": mean(column(told, p.above, "min_train")),
        "J7.exponent": exponent(told, "min_test"),
        "J8a.exponent": exponent(told, "t_test"),
        "J8b.share": mean(gone.t_test / gone.divergence),
    }


def _wide(told: pd.DataFrame, settings: Settings) -> dict[str, Estimate]:
    """The widest network, at its end."""
    wide = told.assign(risen=told.test / told.min_test)
    return {
        "J3a.loss": mean(column(wide, settings.stable, "train")),
        "J3b.ratio": mean(column(wide, settings.stable, "risen")),
    }
