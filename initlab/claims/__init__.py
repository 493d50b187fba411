"""Claims: what a source says, what was measured here, and a verdict that code gives.

A claim has criteria, each an estimate with a bound. A criterion is met or refuted when its whole
interval lies within or outside its bound, and else undecided. No person writes a verdict down.
"""

from __future__ import annotations

from initlab.claims.censored import restricted_difference, restricted_mean
from initlab.claims.estimates import (
    Estimate,
    difference,
    exact,
    geometric_mean,
    mean,
    paired,
    ratio,
    share,
    share_difference,
    unknown,
)
from initlab.claims.file import FILE, collect, publish, published
from initlab.claims.frames import means
from initlab.claims.numbers import bounds, number
from initlab.claims.power import Chances, chances
from initlab.claims.registry import (
    Claim,
    Criterion,
    Design,
    Power,
    RegistryError,
    Study,
    names,
    study,
)
from initlab.claims.resampling import bca, sign_flips
from initlab.claims.scorecard import MIME, Scorecard, counts, kind, table, text
from initlab.claims.verdicts import (
    MET,
    NOT,
    REFUTED,
    REPRODUCED,
    UNDECIDED,
    UNTESTED,
    VERDICTS,
    JudgedClaim,
    JudgedCriterion,
    judged,
    outcome,
)

__all__ = [
    "FILE",
    "MET",
    "MIME",
    "NOT",
    "REFUTED",
    "REPRODUCED",
    "UNDECIDED",
    "UNTESTED",
    "VERDICTS",
    "Chances",
    "Claim",
    "Criterion",
    "Design",
    "Estimate",
    "JudgedClaim",
    "JudgedCriterion",
    "Power",
    "RegistryError",
    "Scorecard",
    "Study",
    "bca",
    "bounds",
    "chances",
    "collect",
    "counts",
    "difference",
    "exact",
    "geometric_mean",
    "judged",
    "kind",
    "mean",
    "means",
    "names",
    "number",
    "outcome",
    "paired",
    "publish",
    "published",
    "ratio",
    "restricted_difference",
    "restricted_mean",
    "share",
    "share_difference",
    "sign_flips",
    "study",
    "table",
    "text",
    "unknown",
]
