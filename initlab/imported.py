"""A user's class or function as a value: its name, and a hash of the source that it is made of.

A result is found again by what it is a result of. Of what ships with an installed package the name
and the version say that. Of a user's own code its source does, and the source of everything of the
same package or notebook that it uses.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import linecache
import pickle
import sys
import sysconfig
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import import_module
from importlib.metadata import packages_distributions, version
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, Self

from initlab.spec import spec

#: What was given as an object, by name and source: what no import finds is found here.
_GIVEN: dict[tuple[str, str], Callable[..., Any]] = {}


class SourceError(ValueError):
    """Code that cannot be found, or is not what it was; the message says what to do."""


@spec
class Imported:
    """A class or function as a value: its name and its source. `of(something)` makes one."""

    name: str
    source: str

    @classmethod
    def of(cls, given: Callable[..., Any] | str) -> Self:
        """The value of a class or function.

        Args:
            given: One that can be imported or that a notebook defines, or a name as text,
                `"package.module:Name"`.

        Raises:
            SourceError: If it cannot be found, or its source cannot be read.
        """
        return cls(*named(given))

    def __reduce__(self) -> tuple:
        """What another process needs: with the code itself where no import finds it."""
        return _restored, (type(self), self.name, self.source, carried(self.name, self.source))

    @property
    def label(self) -> str:
        """The name without the module's, for a column of a frame."""
        return self.name.rpartition(":")[2]

    @property
    def itself(self) -> Callable[..., Any]:
        """The class or function; raises `SourceError` where it is gone or has changed."""
        return resolve(self.name, self.source)


def _restored(cls: type[Imported], name: str, source: str, code: bytes | None) -> Imported:
    received(name, source, code)
    return cls(name, source)


def named(given: Callable[..., Any] | str) -> tuple[str, str]:
    """The name and the source of a class or function.

    Args:
        given: The class or function, or its name as text: `"package.module:Name"`.

    Returns:
        The name, `"package.module:Name"`, and what stands for the source: the name and version of
        an installed package, else sixteen digits of a hash.

    Raises:
        SourceError: If there is no such name, or if its source cannot be read.
    """
    found = _imported(given) if isinstance(given, str) else given
    if not callable(found) or not hasattr(found, "__qualname__"):
        raise SourceError(
            "a class or a function was expected, or its name such as 'package.module:Net', not "
            f"a {type(given).__name__}; write a function that returns the network"
        )
    name = f"{found.__module__}:{found.__qualname__}"
    source = _source(found)
    _GIVEN[name, source] = found
    return name, source


def resolve(name: str, source: str) -> Callable[..., Any]:
    """The class or function of that name and source.

    Raises:
        SourceError: If it cannot be imported, or if its source has changed.
    """
    known = _GIVEN.get((name, source))
    if known is not None:
        return known
    found = _imported(name)
    now = _source(found)
    if now != source:
        raise SourceError(
            f"{name} has changed: its source was {source} and is {now}; what was computed with the "
            "old one can be read, but not computed again"
        )
    _GIVEN[name, source] = found
    return found


def carried(name: str, source: str) -> bytes | None:
    """What another process needs beside the name: the code itself, where no import finds it."""
    found = _GIVEN.get((name, source))
    if found is None or _importable(found):
        return None
    try:
        import cloudpickle
    except ModuleNotFoundError as error:
        raise SourceError(
            f"{name} is defined in a notebook or within a function, and goes to other processes "
            "with cloudpickle, which is missing: pip install cloudpickle, or move it to a file"
        ) from error
    return cloudpickle.dumps(found)


def received(name: str, source: str, code: bytes | None) -> None:
    """Make known what another process has `carried` here."""
    if code is not None and (name, source) not in _GIVEN:
        _GIVEN[name, source] = pickle.loads(code)


def _importable(found: Callable[..., Any]) -> bool:
    return found.__module__ != "__main__" and "<" not in found.__qualname__


def _imported(name: str) -> Callable[..., Any]:
    module, colon, path = name.partition(":")
    try:
        found: Any = import_module(module) if colon else None
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise SourceError(
            f"there is no {name!r} here: a name is 'package.module:Name' of something that can be "
            f"imported ({error}); what a notebook defines is known only while that notebook runs"
        ) from None
    return found


def _source(found: Callable[..., Any]) -> str:
    installed = _installed(found.__module__)
    if installed is not None:
        return installed
    digest = hashlib.sha256()
    for text in sorted(_texts(found)):
        digest.update(text.encode())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=256)
def _installed(module: str) -> str | None:
    """Name and version of the installed distribution that a module is of, if it is of one."""
    top = module.partition(".")[0]
    if top == "initlab":
        return None
    if top in sys.stdlib_module_names:
        return f"python {sys.version_info.major}.{sys.version_info.minor}"
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or not file.startswith(_SITE):
        return None
    names = packages_distributions().get(top)
    return None if not names else f"{names[0]} {version(names[0]).split('+')[0]}"


_SITE = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})


def _texts(found: Any) -> set[str]:
    """The sources of a class or function and of all that it uses of the same package, and the
    plain values (numbers, texts, lists of them) that they look up outside themselves.
    """
    top = found.__module__.partition(".")[0]
    texts: dict[int, str] = {}
    plain: set[str] = set()
    waiting = [found]
    while waiting:
        one = waiting.pop()
        if id(one) in texts:
            continue
        texts[id(one)] = f"{one.__qualname__}\n{_text(one)}"
        for name, used in _used(one):
            if _is_own(used, top):
                waiting.append(used)
            elif _is_plain(used):
                plain.add(f"{name} = {used!r}")
            elif isinstance(used, set | frozenset) and all(map(_is_plain, used)):
                plain.add(f"{name} = {sorted(map(repr, used))}")
    return {*texts.values(), *plain}


def _text(one: Any) -> str:
    """The source of a class or function, also of one that a notebook defines."""
    try:
        return inspect.getsource(one)
    except (OSError, TypeError) as error:
        written = _in_a_cell(one)
        if written is not None:
            return written
        raise SourceError(
            f"the source of {one.__module__}:{one.__qualname__} cannot be read ({error}), and "
            "results are found again by it: define it in a file or in a notebook's cell"
        ) from None


def _in_a_cell(one: Any) -> str | None:
    """The source of a class whose module is no file: from the cell that its methods stand in."""
    for function in _functions(one):
        lines = linecache.getlines(function.__code__.co_filename)
        text = "".join(lines)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and node.name == one.__name__:
                return ast.get_source_segment(text, node)
    return None


def _is_own(used: Any, top: str) -> bool:
    if not isinstance(used, type | FunctionType) or used.__module__.partition(".")[0] != top:
        return False
    return _installed(used.__module__) is None


def _is_plain(used: Any) -> bool:
    if isinstance(used, tuple | list):
        return all(map(_is_plain, used))
    if isinstance(used, dict):
        return all(map(_is_plain, (*used, *used.values())))
    return used is None or isinstance(used, bool | int | float | str | bytes)


def _used(one: Any) -> Iterator[tuple[str, Any]]:
    """What a class or function looks up: bases, globals, and what it has enclosed."""
    if isinstance(one, type):
        yield from ((base.__name__, base) for base in one.__bases__)
    for function in _functions(one):
        spaces = [function.__globals__, _enclosed(function)]
        for code in _codes(function.__code__):
            for space in spaces:
                for name in (*code.co_names, *code.co_freevars):
                    if name not in space:
                        continue
                    value = space[name]
                    yield name, value
                    if isinstance(value, ModuleType):  # its names may be of the same package
                        yield from ((n, getattr(value, n, None)) for n in code.co_names)


def _functions(one: Any) -> list[FunctionType]:
    given = vars(one).values() if isinstance(one, type) else [one]
    found = []
    for value in given:
        inner = getattr(value, "__func__", getattr(value, "fget", value))
        inner = inspect.unwrap(inner) if callable(inner) else inner
        if isinstance(inner, FunctionType):
            found.append(inner)
    return found


def _enclosed(function: FunctionType) -> dict[str, Any]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in cells if cell != CellType()}


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
