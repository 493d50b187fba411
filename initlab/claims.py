"""Claims: what a source says, what was measured here, and a verdict that code gives.

A claim is judged by checks, each a number with what is wanted of it. All hold: *reproduced*.
Some hold: *partly*. None: *not reproduced*. No person writes a verdict down.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from initlab.parameters import check_preset
from initlab.store import RECORDED

REPRODUCED, PARTLY, NOT, UNTESTED = (
    "reproduced",
    "partly",
    "not reproduced",
    "not tested at this preset",
)
VERDICTS = (REPRODUCED, PARTLY, NOT, UNTESTED)
#: The published verdicts.
FILE = RECORDED / "claims.json"
MIME = "application/vnd.initlab.claims+json"


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


class Scorecard:
    """Claims as a table: HTML in a notebook, JSON for programs."""

    def __init__(self, claims: Iterable[Claim]) -> None:
        """Keep the claims in their order."""
        self.claims = tuple(claims)

    def plain(self) -> list[dict[str, Any]]:
        """Every claim as JSON types."""
        return [c.plain() for c in self.claims]

    def frame(self) -> pd.DataFrame:
        """One row per check."""
        return pd.DataFrame(
            [
                {"claim": c.id, "check": k.what, "value": k.value, "wanted": k.wanted}
                | {"holds": k.holds, "verdict": c.verdict}
                for c in self.claims
                for k in c.checks
            ]
        )

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, Any]:
        return {
            "text/html": table(self.plain()),
            MIME: self.plain(),
            "text/plain": text(self.plain()),
        }


def number(value: float) -> str:
    """Four significant digits, with a real minus sign.

    >>> number(-0.30103), number(1234567.0)
    ('−0.301', '1.235e+06')
    """
    return f"{value:.4g}".replace("-", "−")


def bounds(interval: Sequence[float] | None) -> str:
    """An interval in brackets, or nothing."""
    return f"[{number(interval[0])}, {number(interval[1])}]" if interval else ""


def measured(check: dict[str, Any]) -> str:
    """HTML of a plain check's value, its interval and what it is."""
    value = "–" if check["value"] is None else number(check["value"])
    held = f" {bounds(check['interval'])}" if check["interval"] else ""
    return f"<b>{value}</b>{held}<br><small>{html.escape(check['what'])}</small>"


def table(claims: Sequence[dict[str, Any]]) -> str:
    """An HTML table of plain claims; each row opens to its checks."""
    rows = []
    for c in claims:
        checks = "".join(
            f"<li class='{'holds' if k['holds'] else 'fails'}'>{html.escape(k['what'])}: "
            f"<b>{'–' if k['value'] is None else number(k['value'])}</b> {bounds(k['interval'])} "
            f"(wanted {html.escape(k['wanted'])})</li>"
            for k in c["checks"]
        )
        left = f"<p>Left out: {html.escape(c['left_out'])}</p>" if c["left_out"] else ""
        count = f"{len(c['checks'])} checks"
        details = (
            f"<details><summary>{count}</summary><ul>{checks}</ul>{left}</details>"
            if checks or left
            else ""
        )
        kind = c["verdict"].replace(" ", "-")
        networks = f"{c['n']:,}" if c["n"] else "–"
        rows.append(
            f"<tr id='claim-{c['id']}'><th scope='row'>{c['id']}</th>"
            f"<td>{html.escape(c['statement'])}{details}</td><td>{html.escape(c['paper'])}</td>"
            f"<td>{measured(c['checks'][c['headline']])}</td><td>{networks}</td>"
            f"<td><span class='verdict {kind}'>{c['verdict']}</span></td></tr>"
        )
    head = "".join(
        f"<th scope='col'>{h}</th>"
        for h in ("", "Claim", "Paper", "Here, with 95 % interval", "Networks", "Verdict")
    )
    return (
        "<div class='claims-scroll'><table class='claims'><thead><tr>"
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def text(claims: Sequence[dict[str, Any]]) -> str:
    """A plain table of plain claims, for a terminal."""
    lines = [
        f"{c['id']:<5}{c['verdict']:<27}{c['ours']} {bounds(c['interval'])}\n     {c['statement']}"
        for c in claims
    ]
    counts = [(v, sum(c["verdict"] == v for c in claims)) for v in VERDICTS]
    return "\n".join([*lines, ", ".join(f"{n} {v}" for v, n in counts if n) or "no claims"])


def published(file: Path | None = None) -> list[dict[str, Any]]:
    """The claims that ship with the package, as JSON types."""
    file = FILE if file is None else file
    return json.loads(file.read_text(encoding="utf8")) if file.exists() else []


def collect(notebook: Path) -> list[dict[str, Any]]:
    """The claims that an executed notebook shows."""
    cells = json.loads(notebook.read_text(encoding="utf8"))["cells"]
    outputs = [o for c in cells for o in c.get("outputs", ())]
    return [c for o in outputs for c in o.get("data", {}).get(MIME, ())]


def publish(claims: Sequence[dict[str, Any]], file: Path | None = None) -> None:
    """Replace the published claims of the studies that `claims` belong to.

    Raises `ValueError` for claims that were not run at the laptop preset.
    """
    file = FILE if file is None else file
    wrong = sorted({c["preset"] for c in claims} - {"laptop"})
    if wrong or not claims:
        raise ValueError(f"only claims of the laptop preset are published, not {wrong or 'none'}")
    studies = {c["study"] for c in claims}
    kept = [c for c in published(file) if c["study"] not in studies]
    whole = sorted([*kept, *claims], key=lambda c: c["study"])
    file.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf8")


def interval(
    *samples: Sequence[float] | np.ndarray,
    statistic: Callable[..., float] = np.mean,
    paired: bool = False,
    resamples: int = 1999,
) -> tuple[float, float]:
    """95 % percentile-bootstrap interval of `statistic(*samples)`.

    Each sample is resampled by itself, or all together when `paired`. The resampling has a
    fixed seed of its own. Samples without spread give a point.

    Raises `ValueError` for no sample, an empty one, paired samples of different lengths and
    fewer than one resample.

    >>> interval([1.0, 1.0, 1.0])
    (1.0, 1.0)
    """
    arrays = [np.asarray(s, dtype=float) for s in samples]
    sizes = [a.size for a in arrays]
    if not sizes or min(sizes) == 0:
        raise ValueError(f"an interval needs samples of one or more values each, not sizes {sizes}")
    if paired and len(set(sizes)) > 1:
        raise ValueError(f"paired samples must be equally long, not of sizes {sizes}")
    if resamples < 1:
        raise ValueError(f"resamples must be ≥ 1, not {resamples}")
    if all(np.ptp(a) == 0 for a in arrays):
        point = float(statistic(*arrays))
        return point, point
    result = stats.bootstrap(
        arrays,
        statistic,
        paired=paired,
        vectorized=False,
        n_resamples=resamples,
        method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return float(result.low), float(result.high)


def share(values: Iterable[bool]) -> tuple[float, float]:
    """95 % Wilson interval of the share of `values` that are true.

    Unlike a bootstrap it does not shrink to a point where all of a few runs agree.

    Raises `ValueError` for no values.

    >>> [round(end, 2) for end in share([True] * 10)]
    [0.72, 1.0]
    """
    held = [bool(v) for v in values]
    if not held:
        raise ValueError("a share needs one value or more, not 0")
    result = stats.binomtest(sum(held), len(held)).proportion_ci(method="wilson")
    return float(result.low), float(result.high)


def within(value: float, error: float) -> tuple[float, float]:
    """95 % interval of a mean with a standard error `error`, by the normal distribution.

    >>> within(0.0, 0.5)
    (-0.98, 0.98)
    """
    return float(value - 1.96 * error), float(value + 1.96 * error)


def means(frame: pd.DataFrame, by: Sequence[str], value: str = "value") -> pd.DataFrame:
    """Mean, its interval (`low`, `high`), `median` and `n` of `value` in each group of `by`."""
    rows = []
    for names, group in frame.groupby(list(by), sort=False, observed=True):
        x = group[value].to_numpy(float)
        low, high = interval(x) if len(x) > 1 else (x[0], x[0])
        rows.append(
            dict(zip(by, names, strict=True))
            | {"mean": x.mean(), "low": low, "high": high, "median": np.median(x), "n": len(x)}
        )
    return pd.DataFrame(rows)
