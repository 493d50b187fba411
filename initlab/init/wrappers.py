"""Rules made of another rule."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from initlab.init.contract import Rule, check_number
from initlab.init.fans import Fans
from initlab.init.random import Zeros
from initlab.spec import spec


@spec
class Scaled(Rule):
    """What `rule` draws, times `factor`."""

    rule: Rule = Zeros()
    factor: float = 1.0
    name: ClassVar[str] = "Scaled"

    def __post_init__(self) -> None:
        """Refuse what is no finite number."""
        check_number("factor", self.factor, negative=True)

    @property
    def label(self) -> str:
        """The factor and the rule's label."""
        return f"{self.factor:.3g}× {self.rule.label}"

    def stack(self, fans, shape, generator, count) -> Tensor:
        """See `Rule.stack`."""
        return self.factor * self.rule.stack(fans, shape, generator, count)

    def variance(self, fans: Fans) -> float:
        """factor² times that of the rule."""
        return self.factor**2 * self.rule.variance(fans)


@spec
class Stacked(Rule):
    """`parts` linear maps drawn by `rule` one after the other, along the first axis."""

    rule: Rule = Zeros()
    parts: int = 3
    name: ClassVar[str] = "Stacked"

    @property
    def label(self) -> str:
        """The rule's label."""
        return self.rule.label

    def stack(self, fans, shape, generator, count) -> Tensor:
        """See `Rule.stack`."""
        one = (shape[0] // self.parts, *shape[1:])
        drawn = [self.rule.stack(fans, one, generator, count) for _ in range(self.parts)]
        return torch.cat(drawn, 1)

    def variance(self, fans: Fans) -> float:
        """That of the rule."""
        return self.rule.variance(fans)


@spec
class Blank(Rule):
    """What `rule` draws, with zeros in one `row`: an embedding's padding."""

    rule: Rule = Zeros()
    row: int = 0
    name: ClassVar[str] = "Blank"

    @property
    def label(self) -> str:
        """The rule's label."""
        return self.rule.label

    def stack(self, fans, shape, generator, count) -> Tensor:
        """See `Rule.stack`."""
        drawn = self.rule.stack(fans, shape, generator, count)
        drawn[:, self.row] = 0
        return drawn

    def variance(self, fans: Fans) -> float:
        """That of the rule, in all other rows."""
        return self.rule.variance(fans)
