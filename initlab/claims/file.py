"""The claims that ship with the package, and how an executed chapter replaces them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from initlab.claims.scorecard import MIME
from initlab.store import RECORDED

#: The published verdicts.
FILE = RECORDED / "claims.json"


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
