"""Parameters of a chapter: one preset, with what the caller changes of it.

Every chapter has `preset`, `device`, `seed`, `engine` and `recorded`, and its own. papermill
itself lets a misspelt parameter pass with a note in its log; here it is refused.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

COMMON = ("preset", "device", "seed", "engine", "recorded")
PRESETS = ("smoke", "laptop", "paper")
ENGINES = ("local",)


class ParameterError(ValueError):
    """A parameter that a chapter cannot take; the message says what it can."""


def check_preset(preset: str) -> None:
    """Raise `ParameterError` unless the preset is known."""
    if preset not in PRESETS:
        raise ParameterError(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")


def check_names(given: set[str], known: set[str]) -> None:
    """Raise `ParameterError` naming the parameters that are not known, and those that are."""
    unknown = sorted(given - known)
    if unknown:
        raise ParameterError(
            f"unknown parameter{'s' if len(unknown) > 1 else ''} {', '.join(unknown)}; "
            f"this notebook takes {', '.join(sorted(known)) or 'none'}"
        )


def assigned(source: str) -> set[str]:
    """Names assigned at the top of a cell.

    >>> sorted(assigned("a = 1\\nb: int = 2"))
    ['a', 'b']
    """
    names: set[str] = set()
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {t.id for t in targets if isinstance(t, ast.Name)}
    return names


def read(namespace: Mapping[str, Any], presets: Mapping[str, Mapping[str, Any]]) -> SimpleNamespace:
    """The chapter's settings: those of the preset, replaced by every parameter that is not None.

    `namespace` is the notebook's `globals()`. Raises `ParameterError` for an unknown preset,
    engine, device or parameter.
    """
    absent = [name for name in COMMON if name not in namespace]
    if absent:
        raise ParameterError(
            f"the notebook has no {', '.join(absent)}; its cell tagged `parameters` must set "
            f"{', '.join(COMMON)}"
        )
    check_preset(namespace["preset"])
    settings = dict(presets[namespace["preset"]])
    injected = [s for s in namespace.get("In", ()) if s.lstrip().startswith("# Parameters")]
    check_names({n for s in injected for n in assigned(s)}, {*COMMON, *settings})
    if namespace["engine"] not in ENGINES:
        raise ParameterError(f"unknown engine {namespace['engine']!r}; choose {', '.join(ENGINES)}")
    _check_device(namespace["device"])
    for name in settings:
        if namespace.get(name) is not None:
            settings[name] = namespace[name]
    return SimpleNamespace(**{n: namespace[n] for n in COMMON}, **settings)


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ParameterError(
            f"device {device!r} cannot be used here ({str(error).splitlines()[0]}); "
            "'cpu' always can"
        ) from error
