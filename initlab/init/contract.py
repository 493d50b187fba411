"""The contract of every initialization rule."""

from __future__ import annotations

from math import isfinite
from typing import Any, ClassVar

import torch
from torch import Tensor

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
