"""Leaving parameters alone on purpose, and refusing to do so in silence."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import ClassVar

from torch import Tensor, nn

from initlab.init.contract import Part, Rule, Scheme
from initlab.init.plan import own_name, plan
from initlab.init.variance_scaling import HeNormal
from initlab.spec import spec

TOLD = "it was to be left alone"
#: Names that an error lists before it counts.
LISTED = 6


@spec
class Leaving(Scheme):
    """A rule or scheme for all parameters but some, which keep the values that they have.

    `names` are names of parameters, or patterns such as "*pos_embed"; "*" leaves what no rule
    reaches, and nothing else.

    >>> from initlab.init import Zeros
    >>> parts = Leaving(Zeros(), ("0.*",)).plan(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)))
    >>> [name for name, part in parts.items() if part.rule is None]
    ['0.weight', '0.bias']
    """

    init: Rule | Scheme = HeNormal()
    names: tuple[str, ...] = ("*",)

    name: ClassVar[str] = "Leaving"
    preserves: ClassVar[str] = "what its rule preserves"
    use: ClassVar[str] = "Class tokens, tables of positions, pretrained parts."

    @property
    def label(self) -> str:
        """The label of the rule or scheme."""
        return self.init.label

    @property
    def needs_batch(self) -> bool:  # type: ignore[override]
        """Whether the scheme looks at data."""
        return isinstance(self.init, Scheme) and self.init.needs_batch

    @property
    def leaves_all(self) -> bool:  # type: ignore[override]
        """Whether the scheme is meant to set nothing."""
        return isinstance(self.init, Scheme) and self.init.leaves_all

    def plan(self, module: nn.Module) -> dict[str, Part]:
        """See `Scheme.plan`; raises `ValueError` for a pattern that fits no parameter."""
        return left(module, plan(module, self.init), self.names)

    def fit(self, module, params, batch, generator) -> dict[str, Tensor]:
        """See `Scheme.fit`."""
        if isinstance(self.init, Scheme):
            return self.init.fit(module, params, batch, generator)
        return dict(params)

    def rates(self, module: nn.Module) -> dict[str, float]:
        """See `Scheme.rates`."""
        return self.init.rates(module) if isinstance(self.init, Scheme) else {}


def left(module: nn.Module, parts: Mapping[str, Part], names: tuple[str, ...]) -> dict[str, Part]:
    """A plan that leaves the parameters alone that some patterns name."""
    found = dict(parts)
    for pattern in names:
        if pattern == "*":
            chosen = [name for name, part in parts.items() if part.missed]
        else:
            chosen = [n for n in parts if fnmatchcase(n, pattern)] or [own_name(module, pattern)]
            if chosen[0] not in parts:
                raise ValueError(
                    f"there is no parameter {pattern!r} to leave alone; {type(module).__name__} "
                    f"has {_some(list(parts))}"
                )
        for name in chosen:
            found[name] = Part(None, None, TOLD)
    return found


def check_reached(module: nn.Module, parts: Mapping[str, Part], label: str) -> None:
    """Refuse a plan that leaves parameters alone for want of a rule.

    Raises:
        ValueError: If it does; it names them and says what to do.
    """
    missed = [name for name, part in parts.items() if part.missed]
    if not missed:
        return
    numbers = sum(module.get_parameter(name).numel() for name in missed)
    of = sum(p.numel() for p in module.parameters())
    whys = {parts[name].why for name in missed}
    raise ValueError(
        f"{label} does not reach {_count(len(missed), 'parameter')} of {type(module).__name__}, "
        f"{numbers} of {of} numbers: {_some(missed)} ({_some(sorted(whys))}). Say "
        f"leave={missed[0]!r} (a name, a pattern, several, or '*' for all of these) to keep their "
        "values; give them a rule, Compose(rule, (At('*name', other),)); or register the layer, "
        "initlab.init.layer_kind"
    )


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")


def _some(names: list[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")
