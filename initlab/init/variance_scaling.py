"""Rules whose variance follows from the fans: LeCun's, Glorot's, He's, and any activation's."""

from __future__ import annotations

from math import sqrt
from typing import ClassVar

from torch import Tensor

from initlab.init.contract import Rule, check_number
from initlab.init.fans import Fans, derivative_gain, gain
from initlab.init.random import draw, truncation_variance
from initlab.models import activation
from initlab.spec import spec

DISTRIBUTIONS = ("normal", "uniform", "truncated", "truncated-uncorrected")
MODES = ("fan_in", "fan_out", "fan_avg")


@spec
class VarianceScaling(Rule):
    """Variance `scale`/fan, with fan = fan-in, fan-out or their average (`mode`).

    The family of LeCun (1998), Glorot & Bengio (2010) and He et al. (2015).
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "normal"
    independent: ClassVar[bool] = True
    name: ClassVar[str] = "Variance scaling"
    source: ClassVar[str] = "lecun_1998_backprop"
    formula: ClassVar[str] = r"\operatorname{Var} W = s/\text{fan}"
    preserves: ClassVar[str] = "the mean square of the signal, for the right s"
    use: ClassVar[str] = "Wherever a gain is known."

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
        return self._nominal(fans) * (truncation_variance(2.0) if cut else 1.0)


@spec
class HeNormal(VarianceScaling):
    """N(0, 2/fan-in): keeps the second moment through ReLU layers (He et al. 2015)."""

    scale: float = 2.0
    name: ClassVar[str] = "He normal"
    source: ClassVar[str] = "he_2015"
    formula: ClassVar[str] = r"W \sim \mathcal{N}(0, 2/\text{fan}_{in})"
    preserves: ClassVar[str] = "the second moment through ReLU layers"
    use: ClassVar[str] = "Plain ReLU networks."


@spec
class HeUniform(VarianceScaling):
    """Uniform of variance 2/fan-in (He et al. 2015)."""

    scale: float = 2.0
    distribution: str = "uniform"
    name: ClassVar[str] = "He uniform"
    source: ClassVar[str] = "he_2015"
    preserves: ClassVar[str] = "the second moment through ReLU layers"
    formula: ClassVar[str] = r"W \sim \mathcal{U}(\pm\sqrt{6/\text{fan}_{in}})"
    use: ClassVar[str] = "As He normal."


@spec
class HeTruncated(VarianceScaling):
    """Truncated normal of variance 2/fan-in *after* truncation, as Keras does it today."""

    scale: float = 2.0
    distribution: str = "truncated"
    name: ClassVar[str] = "He truncated"
    source: ClassVar[str] = "he_2015"
    preserves: ClassVar[str] = "the second moment through ReLU layers"
    formula: ClassVar[str] = (
        r"W \sim \mathcal{N}(0, 2/\text{fan}_{in}),\; |W| \le 2\sigma, \text{ widened}"
    )
    use: ClassVar[str] = "As He normal; what Keras and JAX call He normal."


@spec
class HeTruncatedUncorrected(VarianceScaling):
    """N(0, 2/fan-in) cut at ±2σ: its variance is only 1.547/fan-in (old TensorFlow and Keras)."""

    scale: float = 2.0
    distribution: str = "truncated-uncorrected"
    name: ClassVar[str] = "He truncated, uncorrected"
    source: ClassVar[str] = "he_2015"
    formula: ClassVar[str] = r"W \sim \mathcal{N}(0, 2/\text{fan}_{in}),\; |W| \le 2\sigma"
    preserves: ClassVar[str] = "0.77 of the second moment per layer"
    use: ClassVar[str] = "To reproduce old TensorFlow and Keras."


@spec
class GlorotNormal(VarianceScaling):
    """N(0, 1/fan-avg): a compromise of forward and backward pass (Glorot & Bengio 2010)."""

    mode: str = "fan_avg"
    name: ClassVar[str] = "Glorot normal"
    source: ClassVar[str] = "glorot_bengio_2010"
    formula: ClassVar[str] = r"W \sim \mathcal{N}(0, 2/(\text{fan}_{in}+\text{fan}_{out}))"
    preserves: ClassVar[str] = "signal and gradient together, through linear and tanh layers"
    use: ClassVar[str] = "Tanh networks."


@spec
class GlorotUniform(VarianceScaling):
    """Uniform of variance 1/fan-avg (Glorot & Bengio 2010)."""

    mode: str = "fan_avg"
    distribution: str = "uniform"
    name: ClassVar[str] = "Glorot uniform"
    source: ClassVar[str] = "glorot_bengio_2010"
    preserves: ClassVar[str] = "signal and gradient together, roughly"
    formula: ClassVar[str] = r"W \sim \mathcal{U}(\pm\sqrt{6/(\text{fan}_{in}+\text{fan}_{out})})"
    use: ClassVar[str] = "Tanh networks; Keras' default."


@spec
class GlorotTruncated(VarianceScaling):
    """N(0, 1/fan-avg) cut at ±2σ without correction: what old Keras called Glorot normal."""

    mode: str = "fan_avg"
    distribution: str = "truncated-uncorrected"
    name: ClassVar[str] = "Glorot truncated, uncorrected"
    source: ClassVar[str] = "glorot_bengio_2010"
    formula: ClassVar[str] = r"W \sim \mathcal{N}(0, 1/\text{fan}_{avg}),\; |W| \le 2\sigma"
    preserves: ClassVar[str] = "0.77 of the variance per linear layer"
    use: ClassVar[str] = "To reproduce old TensorFlow and Keras."


@spec
class LecunNormal(VarianceScaling):
    """N(0, 1/fan-in): keeps the variance of linear layers (LeCun et al. 1998)."""

    name: ClassVar[str] = "LeCun normal"
    source: ClassVar[str] = "lecun_1998_backprop"
    formula: ClassVar[str] = r"W \sim \mathcal{N}(0, 1/\text{fan}_{in})"
    preserves: ClassVar[str] = "the variance through linear layers"
    use: ClassVar[str] = "SELU networks, and linear layers."


@spec
class TorchDefault(VarianceScaling):
    """U(±1/√fan-in), variance 1/(3 fan-in): PyTorch's own default, for weights and biases.

    PyTorch reaches it as `kaiming_uniform_(a=√5)`; it is six times below the critical 2/fan-in.
    """

    scale: float = 1 / 3
    distribution: str = "uniform"
    name: ClassVar[str] = "PyTorch default"
    source: ClassVar[str] = "glorot_bengio_2010"
    note: ClassVar[str] = "There the heuristic in common use, which the paper argues against."
    formula: ClassVar[str] = r"W \sim \mathcal{U}(\pm 1/\sqrt{\text{fan}_{in}})"
    preserves: ClassVar[str] = "a third of the variance, per linear layer"
    use: ClassVar[str] = "Shallow networks that nobody has looked at."


@spec
class LecunUniform(LecunNormal):
    """U(±√(3/fan-in)): LeCun's variance, evenly spread."""

    distribution: str = "uniform"
    name: ClassVar[str] = "LeCun uniform"
    formula: ClassVar[str] = r"W \sim \mathcal{U}(\pm\sqrt{3/\text{fan}_{in}})"


@spec
class LecunTruncated(LecunNormal):
    """LeCun normal cut at ±2σ, with its variance restored: JAX's LeCun normal."""

    distribution: str = "truncated"
    name: ClassVar[str] = "LeCun truncated"


@spec
class GlorotTruncatedCorrected(GlorotNormal):
    """Glorot normal cut at ±2σ, with its variance restored: what Keras and JAX call normal."""

    distribution: str = "truncated"
    name: ClassVar[str] = "Glorot truncated"


@spec
class ForActivation(VarianceScaling):
    """Variance g²/fan with the gain g of any activation, by quadrature.

    `keeps` "second_moment": g = 1/√E[φ(z)²] keeps the second moment forward, at unit
    pre-activations; "gradient": g = 1/√E[φ′(z)²] keeps that of gradients. `scale` is a factor
    on top.
    """

    activation: str = "gelu"
    keeps: str = "second_moment"
    name: ClassVar[str] = "Quadrature gain"
    source: ClassVar[str] = "poole_2016"
    formula: ClassVar[str] = (
        r"W \sim \mathcal{N}(0, g^2/\text{fan}_{in}),\; g = 1/\sqrt{E\,\varphi(z)^2}"
    )
    preserves: ClassVar[str] = "the second moment through layers of that activation"
    use: ClassVar[str] = "Activations that no table has: GELU, SiLU, Mish, sine."

    def __post_init__(self) -> None:
        """Refuse unknown activations and what cannot be kept."""
        super().__post_init__()
        activation(self.activation)
        if self.keeps not in ("second_moment", "gradient"):
            raise ValueError(f"keeps must be 'second_moment' or 'gradient', not {self.keeps!r}")

    @property
    def label(self) -> str:
        """The name and the activation."""
        what = self.activation if self.keeps == "second_moment" else f"{self.activation}, gradients"
        return f"{super().label} ({what})"

    def _nominal(self, fans: Fans) -> float:
        g = (
            gain(self.activation)
            if self.keeps == "second_moment"
            else derivative_gain(self.activation)
        )
        return g * g * super()._nominal(fans)
