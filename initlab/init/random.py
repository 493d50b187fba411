"""Rules that draw every entry independently from one distribution."""

from __future__ import annotations

from math import erf, exp, pi, sqrt
from typing import ClassVar

import torch
from torch import Tensor

from initlab.init.contract import Rule, check_number
from initlab.init.fans import Fans
from initlab.spec import spec


def _truncation_variance(bound: float) -> float:
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
        std = std / sqrt(_truncation_variance(2.0))
    return out.uniform_(-inside, inside, generator=generator).erfinv_().mul_(sqrt(2) * std)


DISTRIBUTIONS = ("normal", "uniform", "truncated", "truncated-uncorrected")
MODES = ("fan_in", "fan_out", "fan_avg")


@spec
class Constant(Rule):
    """Every entry is `value`."""

    value: float = 0.0
    name: ClassVar[str] = "Constant"

    def __post_init__(self) -> None:
        """Refuse what is no finite number."""
        check_number("value", self.value, negative=True)

    def stack(self, fans, shape, generator, count) -> Tensor:
        """See `Rule.stack`; draws nothing."""
        return torch.full((count, *shape), self.value)

    def variance(self, fans: Fans) -> float:
        """Zero."""
        return 0.0


@spec
class Zeros(Constant):
    """Every entry is zero: the usual start of biases."""

    name: ClassVar[str] = "Zeros"


@spec
class Normal(Rule):
    """Normal with standard deviation `std`, whatever the fans."""

    std: float = 0.01
    name: ClassVar[str] = "Normal"

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
class VarianceScaling(Rule):
    """Variance `scale`/fan, with fan = fan-in, fan-out or their average (`mode`).

    The family of LeCun (1998), Glorot & Bengio (2010) and He et al. (2015).
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "normal"
    name: ClassVar[str] = "Variance scaling"

    def __post_init__(self) -> None:
        """Refuse unknown modes and distributions, and scales that are no variance."""
        if self.mode not in MODES:
            raise ValueError(f"unknown mode {self.mode!r}; known: {', '.join(MODES)}")
        if self.distribution not in DISTRIBUTIONS:
            raise ValueError(
                f"unknown distribution {self.distribution!r}; known: {', '.join(DISTRIBUTIONS)}"
            )
        check_number("scale", self.scale)

    @property
    def label(self) -> str:
        """The name, with the factor by which the scale differs from the rule's own."""
        factor = self.scale / type(self).scale
        text = self.name if factor == 1 else f"{factor:g}× {self.name}"
        own = self.distribution == type(self).distribution and self.mode == type(self).mode
        return text if own else f"{text} ({self.mode}, {self.distribution})"

    def _nominal(self, fans: Fans) -> float:
        fan = {
            "fan_in": fans.fan_in,
            "fan_out": fans.fan_out,
            "fan_avg": (fans.fan_in + fans.fan_out) / 2,
        }[self.mode]
        return self.scale / fan

    def stack(self, fans, shape, generator, count) -> Tensor:
        """See `Rule.stack`."""
        return draw(self.distribution, sqrt(self._nominal(fans)), (count, *shape), generator)

    def variance(self, fans: Fans) -> float:
        """`scale`/fan; times 0.7737 for an uncorrected truncation."""
        cut = self.distribution == "truncated-uncorrected"
        return self._nominal(fans) * (_truncation_variance(2.0) if cut else 1.0)


@spec
class HeNormal(VarianceScaling):
    """N(0, 2/fan-in): keeps the mean squared length through ReLU layers (He et al. 2015)."""

    scale: float = 2.0
    name: ClassVar[str] = "He normal"


@spec
class HeUniform(VarianceScaling):
    """Uniform of variance 2/fan-in (He et al. 2015)."""

    scale: float = 2.0
    distribution: str = "uniform"
    name: ClassVar[str] = "He uniform"


@spec
class HeTruncated(VarianceScaling):
    """Truncated normal of variance 2/fan-in *after* truncation, as Keras does it today."""

    scale: float = 2.0
    distribution: str = "truncated"
    name: ClassVar[str] = "He truncated"


@spec
class HeTruncatedUncorrected(VarianceScaling):
    """N(0, 2/fan-in) cut at ±2σ: its variance is only 1.547/fan-in (old TensorFlow and Keras)."""

    scale: float = 2.0
    distribution: str = "truncated-uncorrected"
    name: ClassVar[str] = "He truncated, uncorrected"


@spec
class GlorotNormal(VarianceScaling):
    """N(0, 1/fan-avg): a compromise of forward and backward pass (Glorot & Bengio 2010)."""

    mode: str = "fan_avg"
    name: ClassVar[str] = "Glorot normal"


@spec
class GlorotUniform(VarianceScaling):
    """Uniform of variance 1/fan-avg (Glorot & Bengio 2010)."""

    mode: str = "fan_avg"
    distribution: str = "uniform"
    name: ClassVar[str] = "Glorot uniform"


@spec
class GlorotTruncated(VarianceScaling):
    """N(0, 1/fan-avg) cut at ±2σ without correction: what old Keras called Glorot normal."""

    mode: str = "fan_avg"
    distribution: str = "truncated-uncorrected"
    name: ClassVar[str] = "Glorot truncated, uncorrected"


@spec
class LecunNormal(VarianceScaling):
    """N(0, 1/fan-in): keeps the variance of linear layers (LeCun et al. 1998)."""

    name: ClassVar[str] = "LeCun normal"


@spec
class TorchDefault(VarianceScaling):
    """U(±1/√fan-in), variance 1/(3 fan-in): PyTorch's own default, for weights and biases.

    PyTorch reaches it as `kaiming_uniform_(a=√5)`; it is six times below the critical 2/fan-in.
    """

    scale: float = 1 / 3
    distribution: str = "uniform"
    name: ClassVar[str] = "PyTorch default"
