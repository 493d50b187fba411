"""The live sections by name, one per chapter, and where their settings start.

The plain values stand in `sections.json`, which the front end reads too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from initlab.live.config import one_of


@lru_cache
def sections() -> dict[str, dict[str, Any]]:
    """Title, initial settings, controls, plots, stories and number of steps of every section.

    >>> list(sections())
    ['start', 'scale', 'travel', 'reinit', 'memory']
    """
    text = files("initlab.live").joinpath("sections.json").read_text(encoding="utf8")
    every = json.loads(text)
    base = every.pop("base")
    for section in every.values():
        section["initial"] = base | section["initial"]
    return every


def settings(section: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a section, with those that are given instead of its own.

    Raises `ValueError` for an unknown section, an unknown setting, and a value of another kind.

    >>> settings("start", {"depth": 50})["depth"]
    50
    """
    own = sections()[one_of("section", section, sections())]["initial"]
    for name, value in given.items():
        if name not in own:
            raise ValueError(f"{section} has no setting {name!r}; known: {', '.join(own)}")
        if _kind(value) != _kind(own[name]):
            raise ValueError(
                f"{name} must be a {_kind(own[name])}, such as {own[name]!r}, not {value!r}"
            )
    return own | dict(given)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "truth value"
    if isinstance(value, int | float):
        return "number"
    return "name" if isinstance(value, str) else type(value).__name__
