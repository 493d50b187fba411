"""Values that decide a result: frozen dataclasses with a canonical JSON form and a hash.

Everything that names an experiment (a model, an initializer, an optimizer, a run) is a
*spec*: a frozen dataclass of plain values. Two equal specs have the same key, today and on
any machine, so a result can be found again by what it is a result of.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import warnings
from collections.abc import Callable, Iterator
from functools import cache, wraps
from math import isfinite
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, dataclass_transform, get_args, get_origin, get_type_hints

_TYPES: dict[str, type] = {}
#: Where a spec keeps its canonical JSON. By object: as dictionary keys 1, 1.0 and True are one.
_TEXT = "_canonical"
_ATOMS = (NoneType, str, bool, int, float)

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def spec(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass that `to_plain` and `from_plain` know by its name.

    Its fields hold what their annotations say: a value of another type raises `ValueError`, and a
    list becomes a tuple.
    """
    own = getattr(cls, "__post_init__", None)

    def checked(self: Any) -> None:
        cls: Any = type(self)
        for name, fits in _checks(cls).items():
            value = getattr(self, name)
            if isinstance(value, list):
                value = tuple(value)
                object.__setattr__(self, name, value)
            if not fits(value):
                wanted = _words(_annotations(cls)[name])
                raise ValueError(f"{cls.__name__}: {name} must be {wanted}, not {value!r}")
        if own is not None:
            own(self)

    cls.__post_init__ = checked  # type: ignore[attr-defined]
    cls.__getstate__ = _state  # type: ignore[method-assign]
    frozen = dataclasses.dataclass(frozen=True)(cls)
    if _TYPES.setdefault(cls.__name__, frozen) is not frozen:
        known = _TYPES[cls.__name__]
        if known.__qualname__ != frozen.__qualname__ or known.__module__ != frozen.__module__:
            raise TypeError(
                f"two specs are called {cls.__name__!r}; results could not be told apart"
            )
        _TYPES[cls.__name__] = frozen
    return frozen


def renamed(**now: str) -> Callable[[type[T]], type[T]]:
    """Let a spec be made by the names that its fields had before, with a `DeprecationWarning`.

    Args:
        **now: Old name → new name.

    Returns:
        A decorator, to stand above `spec`.
    """

    def decorate(cls: type[T]) -> type[T]:
        made: Any = cls
        init = made.__init__

        @wraps(init)
        def translated(self: Any, *given: Any, **fields: Any) -> None:
            for old in now.keys() & fields.keys():
                if now[old] in fields:
                    raise TypeError(f"{cls.__name__}: {old} is {now[old]}; give one of them")
                warnings.warn(
                    f"{cls.__name__}: {old} is called {now[old]}", DeprecationWarning, stacklevel=2
                )
                fields[now[old]] = fields.pop(old)
            init(self, *given, **fields)

        made.__init__ = translated
        made._renamed = now
        return cls

    return decorate


def is_spec(value: Any) -> bool:
    """Whether a value is a spec (not the class of one)."""
    return _TYPES.get(type(value).__name__) is type(value)


def _state(self: Any) -> dict[str, Any]:
    """What is pickled and copied of a spec: its fields."""
    return {name: value for name, value in vars(self).items() if name != _TEXT}


@cache
def _fields(cls: type) -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(cls)


@cache
def _annotations(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in _fields(cls)}


@cache
def _checks(cls: type) -> dict[str, Callable[[Any], bool]]:
    return {name: _check(wanted) for name, wanted in _annotations(cls).items()}


def _check(wanted: Any) -> Callable[[Any], bool]:
    """Whether a value is of the annotated type; every float is finite."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, UnionType):
        checks = tuple(map(_check, inner))
        return lambda value: any(fits(value) for fits in checks)
    if origin is tuple and inner[1:] == (...,):
        each = _check(inner[0])
        return lambda value: isinstance(value, tuple) and all(map(each, value))
    if origin is tuple:
        checks = tuple(map(_check, inner))
        return lambda value: (
            isinstance(value, tuple)
            and len(value) == len(checks)
            and all(fits(v) for fits, v in zip(checks, value, strict=True))
        )
    if wanted is float:
        return lambda value: (
            isinstance(value, int | float) and type(value) is not bool and isfinite(value)
        )
    if wanted in (object, Any):
        return lambda value: True
    if wanted in (int, str, bool, NoneType):
        return lambda value: type(value) is wanted
    if dataclasses.is_dataclass(wanted) or getattr(wanted, "_is_runtime_protocol", False):
        return lambda value: isinstance(value, wanted)  # type: ignore[arg-type]
    return dataclasses.is_dataclass  # a protocol: what is a spec can say for itself


_WORDS = {int: "a whole number", float: "a finite number", str: "a text", bool: "True or False"}


def _words(wanted: Any) -> str:
    """An annotation as a reader would say it."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_words, inner)))
    if origin is tuple:
        count = "" if inner[1:] == (...,) else f"{len(inner)} "
        return f"a tuple of {count}values that are each {_words(inner[0])}"
    if wanted is NoneType:
        return "None"
    return _WORDS.get(wanted, f"{wanted.__name__}(…)")


def to_plain(value: Any) -> Any:
    """`value` as JSON types. Fields at their default are left out, so that a field added
    later does not change the keys of results that exist.

    >>> from initlab.init import HeNormal
    >>> to_plain(HeNormal())
    {'type': 'HeNormal'}
    >>> to_plain(HeNormal(scale=4.0))
    {'type': 'HeNormal', 'scale': 4.0}
    """
    if dataclasses.is_dataclass(value):
        said = {name: to_plain(here) for name, here in _said(value)}
        return {"type": type(value).__name__, **said}
    if isinstance(value, (tuple, list, range)):
        return [to_plain(v) for v in value]
    if isinstance(value, _ATOMS):
        return value
    raise TypeError(
        f"a spec holds plain values and other specs, not {type(value).__name__}: {value!r}"
    )


def _said(value: Any) -> Iterator[tuple[str, Any]]:
    """The fields of a spec that are not at their default."""
    for field in _fields(type(value)):  # type: ignore[arg-type]
        if not field.compare:  # it decides nothing
            continue
        here = getattr(value, field.name)
        if isinstance(here, int) and field.type == "float":
            here = float(here)  # HeNormal(scale=4) and HeNormal(scale=4.0) are one value
        default = _default(field)
        if default is dataclasses.MISSING or here != default:
            yield field.name, here


def _default(field: dataclasses.Field) -> Any:
    """The default of a field, or `MISSING`."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def completed(plain: Any) -> Any:
    """A spec as JSON types with its fields at their default, as `to_plain` leaves them out.

    Args:
        plain: of a spec, or of anything in one. Of a type that this version does not know nothing
            is added.

    >>> from initlab.init import HeNormal
    >>> completed(to_plain(HeNormal(scale=4.0)))["scale"], completed(to_plain(HeNormal()))["mode"]
    (4.0, 'fan_in')
    """
    if isinstance(plain, list):
        return [completed(value) for value in plain]
    if not isinstance(plain, dict):
        return plain
    cls: Any = _TYPES.get(plain.get("type", ""))
    given = {getattr(cls, "_renamed", {}).get(name, name): value for name, value in plain.items()}
    defaults = {} if cls is None else _defaults(cls)
    return defaults | {name: completed(value) for name, value in given.items()}


@cache
def _defaults(cls: type) -> dict[str, Any]:
    """The fields of a spec that have a default, as JSON types."""
    found = {}
    for field in _fields(cls):
        default = _default(field)
        if field.compare and default is not dataclasses.MISSING:
            found[field.name] = completed(to_plain(default))
    return found


def from_plain(plain: Any) -> Any:
    """The inverse of `to_plain`; raises `ValueError` on a type or a field that this version does
    not know.
    """
    if isinstance(plain, dict):
        fields = dict(plain)
        name = fields.pop("type", None)
        before: dict[str, str] = getattr(_TYPES.get(name), "_renamed", {})
        fields = {before.get(field, field): value for field, value in fields.items()}
        if name not in _TYPES:
            raise ValueError(
                f"unknown spec {name!r}; this version knows {', '.join(sorted(_TYPES))}"
            )
        known = [field.name for field in dataclasses.fields(_TYPES[name])]
        if unknown := sorted(set(fields) - set(known)):
            raise ValueError(
                f"{name} has no field {', '.join(unknown)}; it has {', '.join(known) or 'none'}"
            )
        made = getattr(_TYPES[name], "from_fields", _TYPES[name])
        return made(**{k: from_plain(v) for k, v in fields.items()})
    if isinstance(plain, list):
        return tuple(from_plain(v) for v in plain)
    return plain


def canonical(value: Any) -> str:
    """The one JSON text of a spec: sorted keys, no spaces.

    It is computed once per spec, so that of a model which many runs share it is computed once.
    """
    if isinstance(value, (tuple, list, range)):
        return f"[{','.join(map(canonical, value))}]"
    if not dataclasses.is_dataclass(value):
        return json.dumps(to_plain(value))
    known = vars(value).get(_TEXT)
    if known is None:
        texts = {"type": json.dumps(type(value).__name__)}
        texts |= {name: canonical(here) for name, here in _said(value)}
        known = f"{{{','.join(f'{json.dumps(name)}:{texts[name]}' for name in sorted(texts))}}}"
        if _TYPES.get(type(value).__name__) is type(value):  # no spec: it may change
            object.__setattr__(value, _TEXT, known)
    return known


def key(value: Any) -> str:
    """Sixteen hexadecimal digits that name a spec (SHA-256 of its canonical JSON)."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """A spec as columns of a tidy frame: nested specs are named by their `label` (or type),
    and their own fields follow with a dotted name. A spec with `columns()` says them itself."""
    if hasattr(value, "columns"):
        return {prefix + name: here for name, here in value.columns().items()}
    columns: dict[str, Any] = {}
    for field in _fields(type(value)):  # type: ignore[arg-type]
        here, name = getattr(value, field.name), prefix + field.name
        if isinstance(here, tuple):
            columns[name] = "-".join(map(str, here))
        elif isinstance(here, _ATOMS) or not dataclasses.is_dataclass(here):
            columns[name] = here
        else:
            columns[name] = getattr(here, "label", type(here).__name__)
            columns |= flat(here, f"{name}.")
    for extra in ("depth",):
        if isinstance(getattr(type(value), extra, None), property):
            columns[prefix + extra] = getattr(value, extra)
    return columns


def seed_of(*parts: Any) -> int:
    """A 63-bit seed for one purpose: the same parts give the same seed, others another.

    >>> seed_of(0, "weights") == seed_of(0, "weights"), seed_of(0, "weights") == seed_of(0, "order")
    (True, False)
    """
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
