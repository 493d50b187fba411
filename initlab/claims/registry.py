"""The registry of claims: what is asked, by which criteria, and whose bounds they are.

One TOML file per study, `initlab/studies/STUDY.toml`, read into typed values. Everything that a
page, a table or a program shows of a claim's wording comes from here; results are kept apart.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from importlib.resources import files
from math import inf
from pathlib import Path
from typing import Any

BEFORE, AFTERWARDS = "before", "afterwards"
SOURCE, OURS = "source", "ours"
NECESSARY, SUPPORTING = "necessary", "supporting"


class RegistryError(ValueError):
    """An entry that the registry cannot hold; the message names file, claim and field."""


@dataclass(frozen=True, kw_only=True)
class Power:
    """What a simulation assumes of a criterion's estimate, to ask whether it can decide.

    Args:
        kind: "mean" (normal replicates), "log" (normal on the logarithmic scale; truth and wrong
            are on the scale of the estimand) or "share" (binomial).
        n: number of replicates.
        truth: the estimand's value if the claim is exactly true.
        wrong: its value if the claim is false by the smallest effect that matters.
        sd: standard deviation between replicates, of the logarithm for "log"; unused for "share".
    """

    kind: str
    n: int
    truth: float
    wrong: float
    sd: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One number that decides, or supports, a claim.

    Args:
        id: short name, unique in the study, such as "H1a.he-normal".
        what: the estimand in words: what, over which networks, at which moment, in which unit.
        bound_by: "source" or "ours", whose bound it is.
        part: "necessary" or "supporting".
        low: the bound from below; none if left out.
        high: the bound from above; none if left out.
        reason: why this bound, if it is ours.
        family: name of the set of criteria that answer one question and are corrected by Holm.
        least: the smallest value that the estimand can have, such as 0 for a share.
        most: the largest.
        power: None for a number without sampling error only.
        underpowered: whether these replicates are too few, so that the criterion is met in less
            than 80 % of repetitions if the claim is true. Only where asked afterwards.
    """

    id: str
    what: str
    bound_by: str
    part: str
    low: float = -inf
    high: float = inf
    reason: str = ""
    family: str = ""
    least: float = -inf
    most: float = inf
    power: Power | None = None
    underpowered: bool = False


@dataclass(frozen=True, kw_only=True)
class Design:
    """How a claim is tested.

    Args:
        drawn: what each replicate draws anew, such as "weights, order of the batches".
        replicates: number of them.
        tuning: grid, metric and budget of what is tuned, equal for all arms; "nothing is tuned".
        control: what the effect could otherwise be, and the arm that tells.
    """

    drawn: str
    replicates: int
    tuning: str
    control: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One sentence that can come out false.

    Args:
        id: short name, such as "H1a".
        study: the file's study.
        statement: the sentence, understandable by itself.
        source: where it stands: key of the bibliography, and section or figure.
        said: the source's own number or wording, or "no number given".
        asked: "before" the results, or "afterwards".
        settles: what would settle it, and its cost, where it is not reproduced or undecided.
        design: see `Design`.
        criteria: at least one necessary one.
        figure: name of the chapter's figure that shows it, such as "figure-1a"; "" for none.
    """

    id: str
    study: str
    statement: str
    source: str
    said: str
    asked: str
    design: Design
    criteria: tuple[Criterion, ...]
    settles: str = ""
    figure: str = ""


@dataclass(frozen=True, kw_only=True)
class Study:
    """The claims of one study, in their order.

    Args:
        study: its name, that of the file.
        title: of the chapter.
        claims: see `Claim`.
    """

    study: str
    title: str
    claims: tuple[Claim, ...]

    def criteria(self) -> dict[str, Criterion]:
        """All criteria by their ids."""
        return {k.id: k for c in self.claims for k in c.criteria}


def names() -> tuple[str, ...]:
    """The studies that have a registry, in the alphabet's order."""
    folder = files("initlab.studies")
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".toml")))


@lru_cache
def study(name: str) -> Study:
    """The registry of a study.

    Raises:
        RegistryError: for an unknown study, and for a file that is not as it should be.
    """
    if name not in names():
        raise RegistryError(f"unknown study {name!r}; known: {', '.join(names()) or 'none'}")
    return parse(files("initlab.studies").joinpath(f"{name}.toml").read_text("utf8"), name)


def read(path: Path) -> Study:
    """The registry in a file; see `study`."""
    return parse(path.read_text(encoding="utf8"), path.stem)


def parse(text: str, name: str) -> Study:
    """The registry of the study `name` from its TOML.

    Raises:
        RegistryError: naming the claim and the field that are wrong.
    """
    try:
        plain = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RegistryError(f"{name}.toml is not TOML: {error}") from None
    claims = plain.pop("claim", [])
    head = _value(Study, plain | {"claims": ()}, f"{name}.toml")
    if head.study != name:
        raise RegistryError(f"{name}.toml: study must be {name!r}, not {head.study!r}")
    found = Study(
        study=name, title=head.title, claims=tuple(_claim(c, name, i) for i, c in enumerate(claims))
    )
    _check_study(found)
    return found


def _claim(plain: Mapping[str, Any], name: str, index: int) -> Claim:
    where = f"{name}.toml: claim {plain.get('id', f'number {index + 1}')}"
    rest = dict(plain)
    criteria = tuple(_criterion(k, where) for k in rest.pop("criterion", ()))
    design = _value(Design, rest.pop("design", {}), f"{where}, design")
    claim = _value(Claim, rest | {"study": name, "design": design, "criteria": criteria}, where)
    _one_of(claim.asked, (BEFORE, AFTERWARDS), f"{where}, asked")
    if not any(k.part == NECESSARY for k in criteria):
        raise RegistryError(f"{where} has no necessary criterion, so that nothing could decide it")
    if claim.asked == BEFORE and any(k.underpowered for k in criteria):
        raise RegistryError(f"{where} is asked before its results and must not be underpowered")
    return claim


def _criterion(plain: Mapping[str, Any], where: str) -> Criterion:
    where = f"{where}, criterion {plain.get('id', '?')}"
    rest = dict(plain)
    power = rest.pop("power", None)
    if power is not None:
        rest["power"] = _value(Power, power, f"{where}, power")
        _one_of(rest["power"].kind, ("mean", "log", "share"), f"{where}, power.kind")
    k = _value(Criterion, rest, where)
    _one_of(k.bound_by, (SOURCE, OURS), f"{where}, bound_by")
    _one_of(k.part, (NECESSARY, SUPPORTING), f"{where}, part")
    if k.bound_by == OURS and not k.reason:
        raise RegistryError(f"{where}: a bound of ours needs its reason")
    if k.low > k.high or k.least >= k.most:
        raise RegistryError(f"{where}: low ≤ high and least < most are needed for any value to fit")
    if k.low <= k.least and k.high >= k.most:
        raise RegistryError(
            f"{where}: no value from {k.least:g} to {k.most:g} lies outside its bound"
        )
    if k.high < k.least or k.low > k.most:
        raise RegistryError(
            f"{where}: no value from {k.least:g} to {k.most:g} lies within its bound"
        )
    return k


def _check_study(found: Study) -> None:
    for what, ids in (
        ("claim", [c.id for c in found.claims]),
        ("criterion", [k.id for c in found.claims for k in c.criteria]),
    ):
        twice = sorted({i for i in ids if ids.count(i) > 1})
        if twice:
            raise RegistryError(f"{found.study}.toml: more than one {what} is called {twice[0]}")


_WORDS = {"str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false"}


def _value(cls: type, plain: Mapping[str, Any], where: str) -> Any:
    """A value of one of the classes above, its fields' names and types checked."""
    known = {f.name: f for f in fields(cls)}
    if unknown := sorted(set(plain) - set(known)):
        raise RegistryError(f"{where}: unknown field {unknown[0]}; known: {', '.join(known)}")
    absent = [n for n, f in known.items() if f.default is MISSING and n not in plain]
    if absent:
        raise RegistryError(f"{where}: {', '.join(absent)} must be given")
    whole = dict(plain)
    for name, value in plain.items():
        wanted = str(known[name].type)
        if wanted == "float" and type(value) is int:
            whole[name] = float(value)
        elif wanted in _WORDS and type(value).__name__ != wanted:
            raise RegistryError(f"{where}: {name} must be {_WORDS[wanted]}, not {value!r}")
        elif wanted == "str" and known[name].default is MISSING and not value.strip():
            raise RegistryError(f"{where}: {name} must not be empty")
    return cls(**whole)


def _one_of(value: str, known: tuple[str, ...], where: str) -> None:
    if value not in known:
        raise RegistryError(f"{where} must be one of {', '.join(known)}, not {value!r}")
