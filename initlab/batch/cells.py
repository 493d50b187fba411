"""Cells of a grid of notebook runs, and what is known on disk of each."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from initlab.notebook import Executed, failed_copy, save
from initlab.parameters import ParameterError

DONE, FAILED, WAITING = "done", "failed", "waiting"


@dataclass(frozen=True)
class Cell:
    """One run of a notebook: what the grid varies, and all parameters it is given."""

    varied: dict[str, Any]
    parameters: dict[str, Any]

    @property
    def name(self) -> str:
        """A name for files: what varies, legibly, and a hash of all parameters.

        >>> Cell({"seed": 1, "init": "he"}, {"seed": 1, "init": "he"}).name
        'seed=1,init=he-ebad0b5f'
        """
        text = ",".join(f"{name}={value}" for name, value in self.varied.items())
        # Bytes are what the names of files are counted in.
        legible = re.sub(r"[^\w=,.+-]+", "_", text).encode()[:80].decode(errors="ignore")
        whole = json.dumps(self.parameters, sort_keys=True)
        return f"{legible}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Record:
    """How a cell ended; kept as JSON beside its executed copy."""

    source: str
    parameters: dict[str, Any]
    state: str
    seconds: float
    ended: str
    stopped: str | None


def cells(axes: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any]) -> list[Cell]:
    """Every combination of the axes' values, the last axis varying fastest.

    Raises `ParameterError` for an axis without values or with one twice, and for a parameter
    that is both varied and fixed.
    """
    for name, values in axes.items():
        if not values:
            raise ParameterError(f"the grid's {name} has no values; give {name}=a,b,c")
        texts = [json.dumps(v) for v in values]
        twice = sorted({t for t in texts if texts.count(t) > 1})
        if twice:
            raise ParameterError(f"the grid's {name} has {', '.join(twice)} twice; give it once")
        if name in fixed:
            raise ParameterError(f"{name} is given both by --grid and by -p; choose one of them")
    points = itertools.product(*axes.values())
    varied = [dict(zip(axes, point, strict=True)) for point in points]
    return [Cell(v, {**fixed, **v}) for v in varied]


def copy_of(cell: Cell, folder: Path) -> Path:
    """Where the executed copy of a cell lies."""
    return folder / f"{cell.name}.ipynb"


def known(cell: Cell, folder: Path, source: str) -> Record | None:
    """What is on disk of a cell, if it belongs to this notebook (the fingerprint `source`) and
    its copy is whole.
    """
    try:
        text = (folder / f"{cell.name}.json").read_text(encoding="utf8")
        record = Record(**json.loads(text))
    except (OSError, ValueError, TypeError):
        return None
    same = json.dumps(record.parameters) == json.dumps(cell.parameters)
    if record.source != source or not same:
        return None
    return record if record.state == FAILED or _whole(copy_of(cell, folder)) else None


def _whole(copy: Path) -> bool:
    try:
        ran = json.loads(copy.read_text(encoding="utf8"))["metadata"]["papermill"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(ran.get("end_time")) and not ran.get("exception")


def keep(cell: Cell, folder: Path, source: str, done: Executed) -> Record:
    """Write the executed copy of a cell, and then the record that vouches for it."""
    good, bad = copy_of(cell, folder), failed_copy(copy_of(cell, folder))
    state = DONE if done.stopped is None else FAILED
    if done.text:
        save(done.text, good if state == DONE else bad)
    (bad if state == DONE else good).unlink(missing_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    seconds = round(done.seconds, 1)
    record = Record(source, cell.parameters, state, seconds, now, done.stopped)
    plain = json.dumps(asdict(record), indent=1, ensure_ascii=False) + "\n"
    save(plain, folder / f"{cell.name}.json")
    return record
