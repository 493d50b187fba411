"""Outcomes of criteria and verdicts of claims: both follow from intervals, not from points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, isnan
from typing import Any

from initlab.claims.estimates import ERROR, Estimate
from initlab.claims.registry import NECESSARY, Claim, Criterion, Study
from initlab.parameters import check_preset

MET, REFUTED, UNDECIDED = "met", "refuted", "undecided"
REPRODUCED, NOT, UNTESTED = "reproduced", "not reproduced", "not tested"
VERDICTS = (REPRODUCED, NOT, UNDECIDED, UNTESTED)


def outcome(estimate: Estimate, criterion: Criterion, error: float = ERROR) -> str:
    """Met if the whole interval lies within the bound, refuted if all of it lies outside.

    Args:
        estimate: of the criterion's estimand.
        criterion: with its bound.
        error: two-sided, of the interval.

    Returns:
        "met", "refuted" or "undecided".
    """
    if isnan(estimate.value):
        return UNDECIDED
    low, high = estimate.interval(error)
    if criterion.low <= low and high <= criterion.high:
        return MET
    return REFUTED if high < criterion.low or low > criterion.high else UNDECIDED


def decides_at(estimate: Estimate, criterion: Criterion) -> float:
    """The smallest error at which the interval decides: the criterion's p-value; 1 if none does."""
    if outcome(estimate, criterion, 1.0 - 1e-9) == UNDECIDED:
        return 1.0
    below, above = 0.0, 1.0 - 1e-9
    for _ in range(50):
        middle = (below + above) / 2
        if middle > 0 and outcome(estimate, criterion, middle) != UNDECIDED:
            above = middle
        else:
            below = middle
    return above


@dataclass(frozen=True)
class JudgedCriterion:
    """A criterion with its estimate, and the interval's error after Holm's correction."""

    criterion: Criterion
    estimate: Estimate
    error: float

    @property
    def interval(self) -> tuple[float, float]:
        """At the corrected error."""
        return self.estimate.interval(self.error)

    @property
    def outcome(self) -> str:
        """See `outcome`."""
        return outcome(self.estimate, self.criterion, self.error)

    def plain(self) -> dict[str, Any]:
        """As JSON types; an infinite end is null, and so is an interval of two such."""
        k, ends = self.criterion, [_number(end) for end in self.interval]
        bare = self.estimate.exact or ends == [None, None]
        return {
            "id": k.id,
            "what": k.what,
            "value": _number(self.estimate.value),
            "interval": None if bare else ends,
            "error": _number(self.error),
            "exact": self.estimate.exact,
            "low": _number(k.low),
            "high": _number(k.high),
            "bound_by": k.bound_by,
            "reason": k.reason,
            "part": k.part,
            "family": k.family,
            "outcome": self.outcome,
            "n": self.estimate.n,
        }


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with its judged criteria, at a preset, and what its runs cost.

    `n` counts the networks behind it, `seconds` what computing them cost on one core.
    """

    claim: Claim
    criteria: tuple[JudgedCriterion, ...]
    preset: str
    n: int
    seconds: float

    @property
    def verdict(self) -> str:
        """Given by the necessary criteria; the smoke preset runs the code but judges nothing."""
        if self.preset == "smoke":
            return UNTESTED
        outcomes = [k.outcome for k in self.criteria if k.criterion.part == NECESSARY]
        if REFUTED in outcomes:
            return NOT
        return UNDECIDED if UNDECIDED in outcomes else REPRODUCED

    def plain(self) -> dict[str, Any]:
        """As JSON types, numbers rounded to six digits."""
        c = self.claim
        return {
            "id": c.id,
            "study": c.study,
            "statement": c.statement,
            "source": c.source,
            "said": c.said,
            "asked": c.asked,
            "verdict": self.verdict,
            "n": self.n,
            "seconds": _number(self.seconds),
            "settles": c.settles,
            "preset": self.preset,
            "figure": c.figure,
            "design": vars(c.design),
            "criteria": [k.plain() for k in self.criteria],
        }


def judged(
    study: Study,
    estimates: Mapping[str, Estimate],
    *,
    preset: str,
    costs: Mapping[str, tuple[int, float]],
) -> list[JudgedClaim]:
    """Every claim of a study, judged by its estimates.

    Args:
        study: the registry.
        estimates: one for each criterion, by its id.
        preset: at which the runs were made.
        costs: of each claim, by its id: number of networks and core-seconds.

    Raises:
        ValueError: for a criterion without an estimate, an estimate without a criterion, a claim
            without a cost, and an unknown preset.
    """
    check_preset(preset)
    criteria = study.criteria()
    for what, have, need in (
        ("estimate", estimates, criteria),
        ("cost", costs, [c.id for c in study.claims]),
    ):
        absent, extra = sorted(set(need) - set(have)), sorted(set(have) - set(need))
        if absent or extra:
            told = f"no {what} for {', '.join(absent)}" if absent else ""
            more = f"{what} for {', '.join(extra)}, which {study.study}.toml does not have"
            raise ValueError("; ".join(filter(None, [told, more if extra else ""])))
    errors = _holm(criteria, estimates)
    return [
        JudgedClaim(
            claim=c,
            criteria=tuple(JudgedCriterion(k, estimates[k.id], errors[k.id]) for k in c.criteria),
            preset=preset,
            n=costs[c.id][0],
            seconds=costs[c.id][1],
        )
        for c in study.claims
    ]


def _holm(criteria: Mapping[str, Criterion], estimates: Mapping[str, Estimate]) -> dict[str, float]:
    """The error of each criterion's interval: Holm's step-down within each named family.

    The criteria of a family are taken in the order of their p-values. The k-th of m is looked at
    with error 0.05/(m − k + 1); once one stays undecided, all after it share its error, and by
    their larger p-values stay undecided too.
    """
    errors = dict.fromkeys(criteria, ERROR)
    families: dict[str, list[str]] = {}
    for name, k in criteria.items():
        if k.family and not estimates[name].exact:
            families.setdefault(k.family, []).append(name)
    for members in families.values():
        p = {name: decides_at(estimates[name], criteria[name]) for name in members}
        left, stopped = len(members), False
        for name in sorted(members, key=p.__getitem__):
            errors[name] = ERROR / left
            stopped = stopped or p[name] > errors[name]
            left -= not stopped
    return errors


def _number(value: float) -> float | None:
    """Six significant digits; None for what JSON has no number for."""
    return float(f"{value:.6g}") if isfinite(value) else None
