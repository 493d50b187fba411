"""The published results of the claims, and how an executed chapter replaces them.

The file holds numbers only. Wording, bounds and sources come from the registry when it is read,
and outcomes and verdicts are computed from both, so that no text is kept twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any

from initlab.claims import registry
from initlab.claims.estimates import ERROR, Estimate
from initlab.claims.scorecard import MIME
from initlab.claims.verdicts import JudgedClaim, JudgedCriterion
from initlab.store import RECORDED

#: The published results.
FILE = RECORDED / "claims.json"
#: What is kept of a judged criterion.
_KEPT = ("value", "interval", "error", "exact", "n")


def published(file: Path | None = None) -> list[dict[str, Any]]:
    """The published claims as JSON types, study by study in the registry's order.

    Raises:
        ValueError: for results that do not fit the registry, naming the study.
    """
    file = FILE if file is None else file
    results = json.loads(file.read_text(encoding="utf8")) if file.exists() else {}
    return [c.plain() for name in results for c in _claims(name, results[name])]


def _claims(name: str, results: Mapping[str, Any]) -> list[JudgedClaim]:
    study = registry.study(name)
    if results["claims"].keys() != {c.id for c in study.claims} or (
        results["criteria"].keys() != study.criteria().keys()
    ):
        raise ValueError(
            f"the published results of {name} are not those of its registry: run its chapter and "
            "publish it again"
        )
    return [
        JudgedClaim(
            claim=c,
            criteria=tuple(_criterion(k, results["criteria"][k.id]) for k in c.criteria),
            preset=results["preset"],
            **results["claims"][c.id],
        )
        for c in study.claims
    ]


def _criterion(k: registry.Criterion, kept: Mapping[str, Any]) -> JudgedCriterion:
    value = float("nan") if kept["value"] is None else kept["value"]
    if kept["exact"]:
        return JudgedCriterion(k, Estimate(value, kept["n"], None), ERROR)
    low, high = kept["interval"] or (None, None)
    ends = -inf if low is None else low, inf if high is None else high
    return JudgedCriterion(k, Estimate(value, kept["n"], lambda error: ends), kept["error"])


def collect(notebook: Path) -> list[dict[str, Any]]:
    """The claims that an executed notebook shows."""
    cells = json.loads(notebook.read_text(encoding="utf8"))["cells"]
    outputs = [o for c in cells for o in c.get("outputs", ())]
    return [c for o in outputs for c in o.get("data", {}).get(MIME, ())]


def publish(claims: Sequence[Mapping[str, Any]], file: Path | None = None) -> None:
    """Replace the published results of the studies that `claims` belong to.

    Args:
        claims: all claims of one study or more, as `collect` gives them.
        file: by default that of the package.

    Raises:
        ValueError: for claims that were not run at the laptop preset, and for a study of which
            some are missing.
    """
    file = FILE if file is None else file
    wrong = sorted({c["preset"] for c in claims} - {"laptop"})
    if wrong or not claims:
        raise ValueError(f"only claims of the laptop preset are published, not {wrong or 'none'}")
    whole = json.loads(file.read_text(encoding="utf8")) if file.exists() else {}
    for name in {c["study"] for c in claims}:
        whole[name] = _results([c for c in claims if c["study"] == name])
        _claims(name, whole[name])  # refuses what the registry does not have
    text = json.dumps(dict(sorted(whole.items())), indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf8")


def _results(claims: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What is kept of a study's claims."""
    found = list(claims)
    return {
        "preset": found[0]["preset"],
        "claims": {c["id"]: {"n": c["n"], "seconds": c["seconds"]} for c in found},
        "criteria": {
            k["id"]: {name: k[name] for name in _KEPT} for c in found for k in c["criteria"]
        },
    }
