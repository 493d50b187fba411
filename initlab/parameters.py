"""Parameters of a chapter: one preset, with what the caller changes of it.

Every chapter has `preset`, `device`, `seed`, `engine` and `recorded`, and its own. papermill
itself lets a misspelt parameter pass with a note in its log, and takes any value; here both are
refused. What a chapter's notebook takes is said once, by the fields of its `Settings`: the notebook
reads its parameters by them, `python -m initlab run` and `batch` check them, and their help lists
them.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from math import isfinite
from typing import Annotated, Any, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from initlab import files

COMMON = ("preset", "device", "seed", "engine", "recorded")
PRESETS = ("smoke", "laptop", "paper")
ENGINES = ("local", "ray")
#: Of a text that stands for a truth value, as YAML has them.
TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
#: Texts that stand for None, which leaves a parameter to the preset.
NOTHING = ("", "none", "null", "~")


class ParameterError(ValueError):
    """A parameter that a chapter cannot take; the message says what it can."""


@dataclass(frozen=True)
class OneOf:
    """Marks a field of settings whose text is one of these.

    Args:
        words: all of them.
    """

    words: tuple[str, ...]


@dataclass(frozen=True)
class Between:
    """Marks a field of settings that is a whole number between two others, both included.

    Args:
        least: the smallest.
        most: the largest.
    """

    least: int
    most: int


#: The name of a data set.
DataSet: TypeAlias = Annotated[str, OneOf(tuple(files.ABOUT))]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every chapter is told; a chapter's own settings are fields of a subclass.

    Args:
        preset: the size of the chapter.
        device: where networks are computed, such as "cpu" or "cuda".
        seed: added to every seed of the chapter.
        engine: how groups of runs are computed.
        recorded: whether results that ship with the package are used.
    """

    preset: Annotated[str, OneOf(PRESETS)] = "laptop"
    device: str = "cpu"
    seed: Annotated[int, Between(0, 2**32 - 1)] = 0
    engine: Annotated[str, OneOf(ENGINES)] = "local"
    recorded: bool = True


S = TypeVar("S", bound=Settings)
_KINDS = {int: "whole number", float: "finite number", str: "text"}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a chapter, and which values it takes.

    Args:
        name: as the notebook has it.
        kind: `bool`, `int`, `float` or `str`: what it is, or what each value of its list is.
        many: whether it is a list.
        limit: what its values are limited to, if they are.
        says: what it decides, in words.
        presets: its value by the name of the preset.
    """

    name: str
    kind: type
    many: bool
    limit: OneOf | Between | None
    says: str
    presets: Mapping[str, Any]

    @property
    def wanted(self) -> str:
        """What it takes, in words."""
        if self.kind is bool:
            return "true or false"
        one = _KINDS[self.kind]
        if isinstance(self.limit, OneOf):
            of = f" of {', '.join(self.limit.words)}"
            return f"a list of one or more{of}" if self.many else f"one{of}"
        bound = f" {self._bound}" if self.kind is int else ""
        if not self.many:
            return f"a {one}{bound}"
        example = list(next(iter(self.presets.values())))
        return f"a list of one or more {one}s{bound}, such as {example}"

    @property
    def _least(self) -> int:
        """Of whole numbers: 1, or 0 where a preset has it."""
        if isinstance(self.limit, Between):
            return self.limit.least
        given = [v if self.many else (v,) for v in self.presets.values()]
        return min([1, *(n for values in given for n in values)])

    @property
    def _bound(self) -> str:
        if isinstance(self.limit, Between):
            return f"from {self.limit.least:,} to {self.limit.most:,}"
        return f"≥ {self._least}"

    def take(self, value: Any) -> Any:
        """A value as the chapter uses it.

        Args:
            value: as a notebook's cell, papermill or a command line has it. Plain papermill knows
                no lists and no truth value but True and False: a text is read as what it stands
                for.

        Returns:
            It, a list as a tuple; None for None, which leaves it to the preset.

        Raises:
            ParameterError: for what it does not take.
        """
        if value is None or (isinstance(value, str) and value.strip().lower() in NOTHING):
            return None
        if not self.many:
            return self._one(value, value)
        values = _listed(value) if isinstance(value, str) else value
        if not isinstance(values, list | tuple) or not values:
            raise self._refused(value)
        return tuple(self._one(v, value) for v in values)

    def _one(self, value: Any, whole: Any) -> Any:
        """One value of its own kind; `whole` is what was given."""
        if self.kind is str:
            known = not isinstance(self.limit, OneOf) or value in self.limit.words
            if isinstance(value, str) and known:
                return value
        read = _read(self.kind, value.strip()) if isinstance(value, str) else value
        if self.kind is bool and isinstance(read, bool):
            return read
        if self.kind is int and type(read) is int and self._fits(read):
            return read
        if self.kind is float and type(read) in (int, float) and isfinite(read):
            return read
        raise self._refused(whole)

    def _fits(self, number: int) -> bool:
        most = self.limit.most if isinstance(self.limit, Between) else number
        return self._least <= number <= most

    def _refused(self, value: Any) -> ParameterError:
        if isinstance(self.limit, OneOf):
            some = "one or more" if self.many else "one"
            words = ", ".join(self.limit.words)
            return ParameterError(f"unknown {self.name} {value!r}; choose {some} of {words}")
        return ParameterError(f"{self.name} must be {self.wanted}, not {value!r}")


def _read(kind: type, text: str) -> Any:
    """What a text stands for; the text itself where it stands for nothing of this kind."""
    if kind is bool:
        return TRUTH.get(text.lower(), text)
    try:
        return kind(text)
    except ValueError:
        return text


def _listed(text: str) -> list[str] | None:
    """The values of a list that is written as text.

    >>> _listed("[5, 10]"), _listed("['relu', 'tanh']"), _listed("5")
    (['5', '10'], ['relu', 'tanh'], None)
    """
    inner = re.fullmatch(r"\s*[\[(](.*)[\])]\s*", text, re.DOTALL)
    return [v.strip(" \t\n'\"") for v in inner[1].split(",") if v.strip()] if inner else None


def schema(presets: Mapping[str, Settings]) -> dict[str, Parameter]:
    """What a chapter takes.

    Args:
        presets: its settings by the name of the preset.

    Returns:
        Its parameters by name, in the order of the fields of its settings. What is a number of
        something is 1 or more, and 0 only where a preset has 0.

    >>> schema({"laptop": Settings()})["recorded"].take("no")
    False
    """
    cls = type(next(iter(presets.values())))
    kinds, says = get_type_hints(cls, include_extras=True), _described(cls)
    found = {}
    for name in (field.name for field in fields(cls)):
        many = get_origin(kinds[name]) is tuple
        one = get_args(kinds[name])[0] if many else kinds[name]
        kind, *marks = get_args(one) if get_origin(one) is Annotated else (one,)
        values = {preset: getattr(settings, name) for preset, settings in presets.items()}
        limit = marks[0] if marks else None
        found[name] = Parameter(name, kind, many, limit, says.get(name, ""), values)
    return found


@cache
def common() -> Mapping[str, Parameter]:
    """What every chapter takes, by name."""
    return schema({"laptop": Settings()})


def _described(cls: type) -> dict[str, str]:
    """What the docstrings of settings say of their fields."""
    found: dict[str, str] = {}
    for one in reversed(cls.__mro__):
        listed = inspect.cleandoc(one.__doc__ or "").partition("Args:")[2]
        for name, text in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", listed, re.MULTILINE):
            found[name] = " ".join(text.split())
    return found


def check_values(given: Mapping[str, Any], known: Mapping[str, Parameter]) -> None:
    """Raise `ParameterError` for a value that its parameter does not take.

    Args:
        given: values by name.
        known: parameters by name; what is not among them may be anything.
    """
    for name in given.keys() & known.keys():
        known[name].take(given[name])


def check_preset(preset: str) -> None:
    """Raise `ParameterError` unless the preset is known."""
    if common()["preset"].take(preset) is None:
        raise ParameterError(f"a preset must be given; choose one of {', '.join(PRESETS)}")


def check_names(given: Collection[str], known: Collection[str]) -> None:
    """Raise `ParameterError` naming the parameters that are not known, and those that are."""
    unknown = sorted({*given} - {*known})
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


def read(namespace: Mapping[str, Any], presets: Mapping[str, S]) -> S:
    """The chapter's settings: those of the preset, replaced by every parameter that is not None.

    Args:
        namespace: the notebook's `globals()`.
        presets: settings by the name of the preset.

    Returns:
        Settings of the same class; lists become tuples, texts what they stand for.

    Raises:
        ParameterError: for a parameter, or a value of one, that the chapter does not take, and for
            a device that is not here.
    """
    absent = [name for name in COMMON if name not in namespace]
    if absent:
        raise ParameterError(
            f"the notebook has no {', '.join(absent)}; its cell tagged `parameters` must set "
            f"{', '.join(COMMON)}"
        )
    known = schema(presets)
    injected = [s for s in namespace.get("In", ()) if s.lstrip().startswith("# Parameters")]
    check_names({n for s in injected for n in assigned(s)}, known)
    taken = {name: known[name].take(namespace.get(name)) for name in known}
    check_preset(taken["preset"])
    changed: dict[str, Any] = {n: value for n, value in taken.items() if value is not None}
    settings = replace(presets[taken["preset"]], **changed)
    if settings.engine == "local":  # a cluster has devices of its own
        _check_device(settings.device)
    return settings


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ParameterError(
            f"device {device!r} cannot be used here ({str(error).splitlines()[0]}); "
            "'cpu' always can"
        ) from error
