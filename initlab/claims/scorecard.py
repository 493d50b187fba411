"""Claims as a table: HTML in a notebook, JSON for programs, text for a terminal."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from initlab.claims.numbers import bounds, number
from initlab.claims.verdicts import VERDICTS, JudgedClaim

MIME = "application/vnd.initlab.claims+json"
_HEAD = ("", "Claim", "The source says", "Here, with 95 % interval", "Replicates", "Verdict")


class Scorecard:
    """Judged claims as a table: HTML in a notebook, JSON for programs."""

    def __init__(self, claims: Iterable[JudgedClaim]) -> None:
        """Keep the claims in their order."""
        self.claims = tuple(claims)

    def plain(self) -> list[dict[str, Any]]:
        """Every claim as JSON types."""
        return [c.plain() for c in self.claims]

    def frame(self) -> pd.DataFrame:
        """One row per criterion."""
        return pd.DataFrame(
            [
                {"claim": c["id"], "verdict": c["verdict"]} | k
                for c in self.plain()
                for k in c["criteria"]
            ]
        )

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, Any]:
        return {
            "text/html": table(self.plain()),
            MIME: self.plain(),
            "text/plain": text(self.plain()),
        }


def wanted(criterion: dict[str, Any]) -> str:
    """The bound of a plain criterion in words.

    >>> wanted({"low": 0.5, "high": None})
    '≥ 0.5'
    """
    low, high = criterion["low"], criterion["high"]
    if low is not None and high is not None:
        return f"{number(low)} to {number(high)}"
    return f"≥ {number(low)}" if low is not None else f"≤ {number(high)}"


def measured(criterion: dict[str, Any]) -> str:
    """A plain criterion's value with its interval, as text."""
    if criterion["exact"]:
        return f"{number(criterion['value'])} (exact)"
    held = bounds(criterion["interval"]) or "(no interval)"
    return f"{number(criterion['value'])} {held}"


def leading(claim: dict[str, Any]) -> dict[str, Any]:
    """The criterion that stands for a plain claim: the first necessary one with its outcome."""
    necessary = [k for k in claim["criteria"] if k["part"] == "necessary"]
    wanted_outcome = {"reproduced": "met", "not reproduced": "refuted"}.get(
        claim["verdict"], claim["verdict"]
    )
    return next((k for k in necessary if k["outcome"] == wanted_outcome), necessary[0])


def criterion_row(k: dict[str, Any]) -> str:
    """A plain criterion as an item of a list, in HTML."""
    whose = "the source's" if k["bound_by"] == "source" else "ours"
    reason = f": {html.escape(k['reason'])}" if k["reason"] else ""
    family = f" Holm-corrected in the family “{html.escape(k['family'])}”." if k["family"] else ""
    part = "" if k["part"] == "necessary" else " (supporting)"
    return (
        f"<li class='{k['outcome']}' id='criterion-{html.escape(k['id'])}'>"
        f"{html.escape(k['what'])}{part}: <b>{measured(k)}</b>, n = {k['n']}; bound "
        f"{wanted(k)}, {whose}{reason}. <b>{k['outcome']}</b>.{family}</li>"
    )


def details(c: dict[str, Any]) -> str:
    """The criteria and the design of a plain claim, to be opened, in HTML."""
    count = len(c["criteria"])
    design = c["design"]
    told = (
        f"<p>Each replicate draws anew: {html.escape(design['drawn'])}. Tuning: "
        f"{html.escape(design['tuning'])}. Control: {html.escape(design['control'])}.</p>"
    )
    if c["settles"] and c["verdict"] != "reproduced":
        told += f"<p>What would settle it: {html.escape(c['settles'])}</p>"
    rows = "".join(map(criterion_row, c["criteria"]))
    return (
        f"<details><summary>{count} {'criterion' if count == 1 else 'criteria'}</summary>"
        f"<ul>{rows}</ul>{told}</details>"
    )


def table(
    claims: Sequence[dict[str, Any]], links: Callable[[dict[str, Any]], str] | None = None
) -> str:
    """An HTML table of plain claims; each row opens to its criteria.

    Args:
        claims: as `JudgedClaim.plain` gives them.
        links: what is shown under a claim's statement, as HTML.
    """
    rows = []
    for c in claims:
        top = leading(c)
        bounds_by = " ".join(sorted({k["bound_by"] for k in c["criteria"]}))
        below = links(c) if links else ""
        asked = "<br><small>asked afterwards</small>" if c["asked"] == "afterwards" else ""
        rows.append(
            f"<tr id='claim-{c['id']}' data-study='{c['study']}' data-asked='{c['asked']}' "
            f"data-verdict='{c['verdict']}' data-bound='{bounds_by}'>"
            f"<th scope='row'>{c['id']}</th>"
            f"<td>{html.escape(c['statement'])}{below}{details(c)}</td>"
            f"<td>{html.escape(c['said'])}<br><small>{html.escape(c['source'])}</small></td>"
            f"<td><b>{measured(top)}</b><br><small>{html.escape(top['what'])}</small></td>"
            f"<td>{top['n']:,}</td>"
            f"<td><span class='verdict {kind(c['verdict'])}'>{c['verdict']}</span>{asked}</td></tr>"
        )
    head = "".join(f"<th scope='col'>{h}</th>" for h in _HEAD)
    return (
        "<div class='claims-scroll'><table class='claims'>"
        "<caption>Claims, criteria and verdicts</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def kind(verdict: str) -> str:
    """The CSS class of a verdict."""
    return verdict.replace(" ", "-")


def counts(claims: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How many plain claims met which verdict."""
    return {v: sum(c["verdict"] == v for c in claims) for v in VERDICTS}


def text(claims: Sequence[dict[str, Any]]) -> str:
    """A plain table of plain claims, for a terminal."""
    lines = []
    for c in claims:
        top = leading(c)
        asked = ", asked afterwards" if c["asked"] == "afterwards" else ""
        lines.append(
            f"{c['id']:<6}{c['verdict']}{asked}\n      {c['statement']}\n"
            f"      {top['what']}: {measured(top)}, bound {wanted(top)}"
        )
    told = ", ".join(f"{n} {v}" for v, n in counts(claims).items() if n)
    return "\n".join([*lines, told or "no claims"])
