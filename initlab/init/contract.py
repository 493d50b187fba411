"""The contract of every initialization: rules for one tensor, schemes for a whole network."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from initlab.init.fans import Fans
from initlab.spec import spec


def check_number(name: str, value: Any, *, negative: bool = False) -> None:
    """Raise `ValueError` unless `value` is a finite number, and ≥ 0 unless it may be negative."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if not number or (value < 0 and not negative):
        raise ValueError(
            f"{name} must be a finite number{'' if negative else ' ≥ 0'}, not {value!r}"
        )


@spec
class Rule:
    """A frozen value; called with (fans, shape, generator) it gives a new tensor.

    A rule never changes a module and never touches the global random state. It draws on the
    CPU in float32, so that one seed gives one tensor whatever device it is moved to.
    """

    #: The field's name of the rule, as it stands in legends.
    name: ClassVar[str] = ""
    #: Citation key, LaTeX formula of an entry, what it preserves, and when to use it.
    source: ClassVar[str] = ""
    formula: ClassVar[str] = ""
    preserves: ClassVar[str] = ""
    use: ClassVar[str] = ""

    @property
    def label(self) -> str:
        """How figures and frames call this rule."""
        return self.name

    def __call__(self, fans: Fans, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """A tensor of `shape`."""
        return self.stack(fans, shape, generator, 1)[0]

    def stack(
        self, fans: Fans, shape: tuple[int, ...], generator: torch.Generator, count: int
    ) -> Tensor:
        """`count` independent tensors from one generator, (count, *shape)."""
        raise NotImplementedError

    def variance(self, fans: Fans) -> float:
        """The variance that each entry is declared to have."""
        raise NotImplementedError


class Part(NamedTuple):
    """What one parameter starts as: drawn by `rule` with `fans`, or left alone because of `why`.

    A tensor of several maps stacked along its first axis, such as the queries, keys and values of
    attention, is drawn in that many `pieces`; the row `blank`, such as an embedding's padding, is
    zero.
    """

    rule: Rule | None
    fans: Fans | None = None
    why: str = ""
    pieces: int = 1
    blank: int | None = None


#: Inputs and targets that a scheme is fitted to.
Batch: TypeAlias = tuple[Tensor, Tensor]


@spec
class Scheme:
    """A frozen value that says what every parameter of a whole module starts as.

    The parameters of its `plan` are drawn, and a scheme that `needs_batch` is then fitted to data.
    Neither changes the module.
    """

    #: As for a `Rule`.
    name: ClassVar[str] = ""
    source: ClassVar[str] = ""
    formula: ClassVar[str] = ""
    preserves: ClassVar[str] = ""
    use: ClassVar[str] = ""
    needs_batch: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """How figures and frames call this scheme."""
        return self.name

    def plan(self, module: nn.Module) -> dict[str, Part]:
        """What each parameter starts as, by its path: one entry for every parameter."""
        raise NotImplementedError

    def fit(
        self,
        module: nn.Module,
        params: dict[str, Tensor],
        batch: Batch | None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """`params` of one network, adjusted to `batch`; by default as they are."""
        return params

    def rates(self, module: nn.Module) -> Mapping[str, float]:
        """What multiplies the learning rate of a parameter, where that is not 1."""
        return {}
