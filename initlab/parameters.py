"""Parameters of a chapter: one preset, with what the caller changes of it.

Every chapter has `preset`, `device`, `seed`, `engine` and `recorded`, and its own. papermill
itself lets a misspelt parameter pass with a note in its log; here it is refused.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

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


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every chapter is told; a chapter's own settings are fields of a subclass.

    Args:
        preset: "smoke", "laptop" or "paper".
        device: where networks are computed, such as "cpu" or "cuda".
        seed: added to every seed of the chapter.
        engine: how groups of runs are computed.
        recorded: whether results that ship with the package are used.
    """

    preset: str = "laptop"
    device: str = "cpu"
    seed: int = 0
    engine: str = "local"
    recorded: bool = True


S = TypeVar("S", bound=Settings)


def read(namespace: Mapping[str, Any], presets: Mapping[str, S]) -> S:
    """The chapter's settings: those of the preset, replaced by every parameter that is not None.

    Args:
        namespace: the notebook's `globals()`.
        presets: settings by the name of the preset.

    Returns:
        Settings of the same class; lists become tuples.

    Raises:
        ParameterError: for an unknown preset, engine, device or parameter.
    """
    absent = [name for name in COMMON if name not in namespace]
    if absent:
        raise ParameterError(
            f"the notebook has no {', '.join(absent)}; its cell tagged `parameters` must set "
            f"{', '.join(COMMON)}"
        )
    check_preset(namespace["preset"])
    settings = presets[namespace["preset"]]
    known = [field.name for field in fields(settings)]
    injected = [s for s in namespace.get("In", ()) if s.lstrip().startswith("# Parameters")]
    check_names({n for s in injected for n in assigned(s)}, {*known})
    if namespace["engine"] not in ENGINES:
        raise ParameterError(f"unknown engine {namespace['engine']!r}; choose {', '.join(ENGINES)}")
    _check_device(namespace["device"])
    given = {name: namespace.get(name) for name in known}
    changed: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None
    }
    return replace(settings, **changed)


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ParameterError(
            f"device {device!r} cannot be used here ({str(error).splitlines()[0]}); "
            "'cpu' always can"
        ) from error
