"""Rules made of another rule."""

from __future__ import annotations

from typing import ClassVar

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
    def independent(self) -> bool:  # type: ignore[override]
        """As the rule's are."""
        return self.rule.independent

    @property
    def states(self) -> str:  # type: ignore[override]
        """As the rule's are."""
        return self.rule.states

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

    def mean_square(self, fans: Fans, shape: tuple[int, ...]) -> float:
        """factor² times that of the rule."""
        return self.factor**2 * self.rule.mean_square(fans, shape)


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

    def mean_square(self, fans: Fans, shape: tuple[int, ...]) -> float:
        """That of the rule, in all other rows."""
        return self.rule.mean_square(fans, shape)


@spec
class Each(Rule):
    """What `rule` draws for each of the maps that one tensor holds, times a factor of its own."""

    rule: Rule = Zeros()
    factors: tuple[float, ...] = (1.0,)
    name: ClassVar[str] = "Each"

    @property
    def label(self) -> str:
        """The rule's label and the factors."""
        return f"{self.rule.label} × ({', '.join(f'{f:.3g}' for f in self.factors)})"

    def stack(self, fans, shape, generator, count) -> Tensor:
        """See `Rule.stack`; `count` is a multiple of the number of factors."""
        drawn = self.rule.stack(fans, shape, generator, count)
        factors = drawn.new_tensor(self.factors).repeat(count // len(self.factors))
        return drawn * factors.view(-1, *[1] * len(shape))

    def variance(self, fans: Fans) -> float:
        """The mean over the maps."""
        mean_square = sum(f * f for f in self.factors) / len(self.factors)
        return mean_square * self.rule.variance(fans)

    def mean_square(self, fans: Fans, shape: tuple[int, ...]) -> float:
        """The mean over the maps."""
        mean_square = sum(f * f for f in self.factors) / len(self.factors)
        return mean_square * self.rule.mean_square(fans, shape)
