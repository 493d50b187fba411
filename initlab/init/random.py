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
    if bound < 0.03:  # the difference below would be of rounding
        return bound * bound / 3 * (1 - 2 * bound * bound / 15)
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


def _between(
    mean: float,
    std: float,
    low: float,
    high: float,
    shape: tuple[int, ...],
    generator: torch.Generator,
) -> Tensor:
    """A normal within [low, high], by the inverse of its distribution function in float64."""
    if std == 0:
        return torch.full(shape, min(max(mean, low), high))
    a, b = (low - mean) / std, (high - mean) / std
    sign = -1.0 if a > 0 else 1.0  # a tail above is the mirror of one below, which has more digits
    a, b = (-b, -a) if a > 0 else (a, b)
    tails = torch.special.ndtr(torch.tensor([a, b], dtype=torch.float64))
    u = torch.empty(shape, dtype=torch.float64).uniform_(generator=generator)
    u = tails[0] + (tails[1] - tails[0]) * u
    z = torch.special.ndtri(u.clamp(2.0**-1000, 1 - 2.0**-53)).clamp(a, b)
    return (mean + std * sign * z).float().clamp(low, high)


@spec
class Constant(Rule):
    """Every entry is `value`."""

    value: float = 0.0
    independent: ClassVar[bool] = True
    name: ClassVar[str] = "Constant"
    layers: ClassVar[str] = "biases and scales"
    states: ClassVar[str] = "fixed"
    source: ClassVar[str] = "krizhevsky_2012"
    note: ClassVar[str] = "There for the biases of some layers, at 1."
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
    layers: ClassVar[str] = "biases and scales"
    source: ClassVar[str] = "he_2015"
    note: ClassVar[str] = "There for biases."
    formula: ClassVar[str] = r"W = 0"
    preserves: ClassVar[str] = "nothing: no signal and no gradient pass"
    use: ClassVar[str] = "Biases; the last layer of a residual branch."


@spec
class Ones(Constant):
    """Every entry is one: the usual start of the scales of normalization."""

    value: float = 1.0
    name: ClassVar[str] = "Ones"
    layers: ClassVar[str] = "biases and scales"
    source: ClassVar[str] = "goyal_2017"
    note: ClassVar[str] = "There for the scales of batch normalization."
    formula: ClassVar[str] = r"W = 1"


@spec
class Uniform(Rule):
    """Uniform on ±`bound`, whatever the fans."""

    bound: float = 0.05
    independent: ClassVar[bool] = True
    name: ClassVar[str] = "Uniform"
    source: ClassVar[str] = "sutskever_2014"
    note: ClassVar[str] = "There with b = 0.08; 0.05 is what Keras draws by default."
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
    independent: ClassVar[bool] = True
    name: ClassVar[str] = "Normal"
    source: ClassVar[str] = "krizhevsky_2012"
    note: ClassVar[str] = "There with σ = 0.01, as here."
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

    `std` is what remains after the cut if `corrected`, else the normal's before it. The normal is
    around `mean`. With `low` and `high` the cut is at these values instead, and `std` the normal's
    before it, as in `torch.nn.init.trunc_normal_`.
    """

    std: float = 0.02
    cut: float = 2.0
    corrected: bool = True
    mean: float = 0.0
    low: float | None = None
    high: float | None = None
    independent: ClassVar[bool] = True
    name: ClassVar[str] = "Truncated normal"
    source: ClassVar[str] = "devlin_2019"
    note: ClassVar[str] = (
        "From the code that came with the paper; there σ is that of the normal before the cut."
    )
    formula: ClassVar[str] = r"W \sim \mathcal{N}(0, \sigma^2) \mid |W| \le c\,\sigma"
    preserves: ClassVar[str] = "nothing, whatever the width"
    use: ClassVar[str] = "Transformers, with σ = 0.02, by custom."

    def __post_init__(self) -> None:
        """Refuse what is no standard deviation, and a cut at nothing."""
        check_number("std", self.std)
        check_number("mean", self.mean, negative=True)
        if not self.cut > 0:
            raise ValueError(f"cut must be > 0, not {self.cut!r}")
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high go together: give both, or neither")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low must be below high, not {self.low!r} and {self.high!r}")

    def stack(self, fans, shape, generator, count) -> Tensor:
        """See `Rule.stack`."""
        if self.low is not None and self.high is not None:
            return _between(self.mean, self.std, self.low, self.high, (count, *shape), generator)
        std = self.std / sqrt(truncation_variance(self.cut)) if self.corrected else self.std
        # The inverse is infinite at 1, which float32 takes a wide cut for.
        inside = min(erf(self.cut / sqrt(2)), 1 - 2.0**-24)
        out = torch.empty(count, *shape).uniform_(-inside, inside, generator=generator)
        out = out.erfinv_().mul_(sqrt(2) * std)
        return out.add_(self.mean) if self.mean else out

    def variance(self, fans: Fans) -> float:
        """std², times what the cut leaves of it unless corrected."""
        if self.low is not None and self.high is not None:
            if self.std == 0:
                return 0.0
            from scipy import stats  # takes long, and is seldom asked for

            a, b = (self.low - self.mean) / self.std, (self.high - self.mean) / self.std
            return float(stats.truncnorm.var(a, b, self.mean, self.std))
        return self.std**2 * (1.0 if self.corrected else truncation_variance(self.cut))
