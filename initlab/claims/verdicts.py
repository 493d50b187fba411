"""Checks with what is wanted of them, and the verdict that follows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np

from initlab.claims.numbers import number
from initlab.parameters import check_preset

REPRODUCED, PARTLY, NOT, UNTESTED = (
    "reproduced",
    "partly",
    "not reproduced",
    "not tested at this preset",
)
VERDICTS = (REPRODUCED, PARTLY, NOT, UNTESTED)


@dataclass(frozen=True)
class Check:
    """One number and what is wanted of it: `low` ≤ value ≤ `high`."""

    what: str
    value: float
    low: float = -np.inf
    high: float = np.inf
    interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Refuse bounds between which nothing lies."""
        if self.low > self.high:
            raise ValueError(
                f"low must be ≤ high for {self.what!r} ever to hold, not {self.low} and {self.high}"
            )

    @property
    def holds(self) -> bool:
        """Whether the value lies within its bounds; a value that is not a number does not."""
        return bool(self.low <= self.value <= self.high)

    @property
    def wanted(self) -> str:
        """The bounds in words."""
        if isfinite(self.low) and isfinite(self.high):
            return f"{self.low:.4g} to {self.high:.4g}"
        return f"≤ {self.high:.4g}" if isfinite(self.high) else f"≥ {self.low:.4g}"


@dataclass(frozen=True)
class Claim:
    """A statement of a study, and how it fared.

    The `headline` check gives `ours` and `interval`. `n` counts the networks behind the claim,
    `seconds` is what computing them cost on one core. `left_out` says what the preset did not
    reach.
    """

    id: str
    study: str
    statement: str
    paper: str
    n: int
    preset: str
    seconds: float
    checks: tuple[Check, ...]
    headline: int = 0
    left_out: str = ""

    def __post_init__(self) -> None:
        """Refuse unknown presets and a headline that is none of the checks."""
        check_preset(self.preset)
        if self.checks and not 0 <= self.headline < len(self.checks):
            raise ValueError(
                f"headline is the index of one of {len(self.checks)} checks, not {self.headline}"
            )

    @property
    def verdict(self) -> str:
        """Given by the checks; the smoke preset runs the code but judges nothing."""
        if self.preset == "smoke" or not self.checks:
            return UNTESTED
        held = sum(c.holds for c in self.checks)
        return REPRODUCED if held == len(self.checks) else PARTLY if held else NOT

    def plain(self) -> dict[str, Any]:
        """As JSON types, numbers rounded to six digits; the verdict and each check's included.

        Raises `ValueError` for a claim without checks, which has no number to show.
        """
        if not self.checks:
            raise ValueError(f"claim {self.id} has no checks; give it one or more")
        checks = [{**asdict(c), "wanted": c.wanted, "holds": c.holds} for c in self.checks]
        top = self.checks[self.headline]
        derived = {
            "ours": f"{number(top.value)} ({top.what})",
            "interval": top.interval,
            "verdict": self.verdict,
            "checks": checks,
        }
        return _rounded({**asdict(self), **derived})


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.6g}") if isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
