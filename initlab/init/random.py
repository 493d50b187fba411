"""Rules that draw every entry independently from one distribution."""

from __future__ import annotations

from math import erf, exp, pi, sqrt
from typing import ClassVar

import torch
from torch import Tensor

from initlab.init.contract import Rule, check_number
from initlab.init.fans import Fans
from initlab.spec import spec


def truncation_variance(bound: float) -> float:
    """Variance of a standard normal kept within ±`bound`; 0.7737 at 2."""
    density, mass = exp(-bound * bound / 2) / sqrt(2 * pi), erf(bound / sqrt(2))
    return 1 - 2 * bound * density / mass


def draw(distribution: str, std: float, shape, generator: torch.Generator) -> Tensor:
    """Independent entries of mean 0 and standard deviation `std`.

    `distribution` is "normal", "uniform", "truncated" (a normal within ±2 of its own standard
    deviations, widened so that `std` is what remains) or "truncated-uncorrected" (`std` is
    that of the normal before the tails are cut, as TensorFlow and Keras did it before 2018).
    """
    out = torch.empty(shape)
    if distribution == "normal":
        return out.normal_(0, std, generator=generator)
    if distribution == "uniform":
        bound = sqrt(3) * std
        return out.uniform_(-bound, bound, generator=generator)
    # Inverse of the distribution function: exact, and no rejection loop.
    inside = erf(2 / sqrt(2))
    if distribution == "truncated":
        std = std / sqrt(truncation_variance(2.0))
    return out.uniform_(-inside, inside, generator=generator).erfinv_().mul_(sqrt(2) * std)


@spec
class Constant(Rule):
    """Every entry is `value`."""

    value: float = 0.0
    name: ClassVar[str] = "Constant"
    states: ClassVar[str] = "fixed"
    formula: ClassVar[str] = r"W = c"
    preserves: ClassVar[str] = "nothing: equal units stay equal"
    use: ClassVar[str] = "Scales of normalization and biases."

    def __post_init__(self) -> None:
        """Refuse what is no finite number."""
        check_number("value", self.value, negative=True)

    def stack(self, fans, shape, generator, count) -> Tensor:
        """See `Rule.stack`; draws nothing."""
        return torch.full((count, *shape), self.value)

    def variance(self, fans: Fans) -> float:
        """value²: the mean square of the entries."""
        return self.value**2


@spec
class Zeros(Constant):
    """Every entry is zero: the usual start of biases."""

    name: ClassVar[str] = "Zeros"
    formula: ClassVar[str] = r"W = 0"
    preserves: ClassVar[str] = "nothing: no signal and no gradient pass"
    use: ClassVar[str] = "Biases; the last layer of a residual branch."


@spec
class Ones(Constant):
    """Every entry is one: the usual start of the scales of normalization."""

    value: float = 1.0
    name: ClassVar[str] = "Ones"
    formula: ClassVar[str] = r"W = 1"


@spec
class Uniform(Rule):
    """Uniform on ±`bound`, whatever the fans."""

    bound: float = 0.05
    name: ClassVar[str] = "Uniform"
    formula: ClassVar[str] = r"W \sim \mathcal{U}(-b, b)"
    preserves: ClassVar[str] = "nothing, whatever the width"
    use: ClassVar[str] = "To see what a fixed scale costs."

    def __post_init__(self) -> None:
        """Refuse what is no bound."""
        check_number("bound", self.bound)

    def stack(self, fans, shape, generator, count) -> Tensor:
        """See `Rule.stack`."""
        return draw("uniform", self.bound / sqrt(3), (count, *shape), generator)

    def variance(self, fans: Fans) -> float:
        """bound²/3."""
        return self.bound**2 / 3


@spec
class Normal(Rule):
    """Normal with standard deviation `std`, whatever the fans."""

    std: float = 0.01
    name: ClassVar[str] = "Normal"
    formula: ClassVar[str] = r"W \sim \mathcal{N}(0, \sigma^2)"
    preserves: ClassVar[str] = "nothing, whatever the width"
    use: ClassVar[str] = "To see what a fixed scale costs."

    def __post_init__(self) -> None:
        """Refuse what is no standard deviation."""
        check_number("std", self.std)

    def stack(self, fans, shape, generator, count) -> Tensor:
        """See `Rule.stack`."""
        return draw("normal", self.std, (count, *shape), generator)

    def variance(self, fans: Fans) -> float:
        """std²."""
        return self.std**2


@spec
class TruncatedNormal(Rule):
    """Normal within ±`cut` standard deviations, whatever the fans.

    `std` is what remains after the cut if `corrected`, else the normal's before it.
    """

    std: float = 0.02
    cut: float = 2.0
    corrected: bool = True
    name: ClassVar[str] = "Truncated normal"
    formula: ClassVar[str] = r"W \sim \mathcal{N}(0, \sigma^2) \mid |W| \le c\,\sigma"
    preserves: ClassVar[str] = "nothing, whatever the width"
    use: ClassVar[str] = "Transformers, with σ = 0.02, by custom."

    def __post_init__(self) -> None:
        """Refuse what is no standard deviation, and a cut at nothing."""
        check_number("std", self.std)
        if not self.cut > 0:
            raise ValueError(f"cut must be > 0, not {self.cut!r}")

    def stack(self, fans, shape, generator, count) -> Tensor:
        """See `Rule.stack`."""
        std = self.std / sqrt(truncation_variance(self.cut)) if self.corrected else self.std
        inside = erf(self.cut / sqrt(2))
        out = torch.empty(count, *shape).uniform_(-inside, inside, generator=generator)
        return out.erfinv_().mul_(sqrt(2) * std)

    def variance(self, fans: Fans) -> float:
        """std², times what the cut leaves of it unless corrected."""
        return self.std**2 * (1.0 if self.corrected else truncation_variance(self.cut))
