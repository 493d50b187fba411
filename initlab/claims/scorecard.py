"""Claims as a table: HTML in a notebook, JSON for programs, text for a terminal."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from initlab.claims.numbers import bounds, number
from initlab.claims.verdicts import VERDICTS, Claim

MIME = "application/vnd.initlab.claims+json"


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


def measured(check: dict[str, Any]) -> str:
    """HTML of a plain check's value, its interval and what it is."""
    value = number(check["value"])
    held = f" {bounds(check['interval'])}" if check["interval"] else ""
    return f"<b>{value}</b>{held}<br><small>{html.escape(check['what'])}</small>"


def table(claims: Sequence[dict[str, Any]]) -> str:
    """An HTML table of plain claims; each row opens to its checks."""
    rows = []
    for c in claims:
        checks = "".join(
            f"<li class='{'holds' if k['holds'] else 'fails'}'>{html.escape(k['what'])}: "
            f"<b>{number(k['value'])}</b> {bounds(k['interval'])} "
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
