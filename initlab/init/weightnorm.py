"""Weight normalization: each unit's weight is a norm times a direction, w = g v/‖v‖.

In a module with `torch.nn.utils.parametrizations.weight_norm` both are parameters
(`parametrizations.weight.original0` and `original1`) and both are set here. In a plain module
the weights that they make are.
"""

from __future__ import annotations

from math import prod, sqrt
from typing import ClassVar

import torch
from torch import Tensor, nn

from initlab.init.contract import Part, Rule, Scheme, check_number
from initlab.init.fans import WEIGHTED, Fans, fans
from initlab.init.fitted import DataDependent
from initlab.init.plan import plan
from initlab.init.random import Constant, Normal
from initlab.spec import spec

#: Names of a unit's norm and direction, of today's weight normalization and of the old one.
ENDS = (
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
    ("weight_g", "weight_v"),
)


@spec
class FixedLength(Rule):
    """Units of uniform direction and of one norm, so that entries have variance gain²/fan-out.

    The norm is gain·√(fan-in/fan-out) (Arpit et al. 2019).
    """

    gain: float = sqrt(2)
    name: ClassVar[str] = "Fixed length"
    source: ClassVar[str] = "arpit_2019"
    formula: ClassVar[str] = r"w_i = g\,\sqrt{n_{in}/n_{out}}\; v_i/\|v_i\|,\; v_i \sim N(0, I)"
    preserves: ClassVar[str] = "the second moment backward, and forward where layers are square"
    use: ClassVar[str] = (
        "Weight-normalized networks, and others whose units must start equally long."
    )

    def __post_init__(self) -> None:
        """Refuse what is no finite number."""
        check_number("gain", self.gain)

    def stack(self, fans, shape, generator, count) -> Tensor:
        """See `Rule.stack`."""
        v = torch.empty(count, shape[0], prod(shape[1:])).normal_(generator=generator)
        length = self.gain * sqrt(v.shape[-1] / fans.fan_out)
        v = v * (length / torch.linalg.vector_norm(v, dim=-1, keepdim=True))
        return v.reshape(count, *shape)

    def variance(self, fans: Fans) -> float:
        """gain²/fan-out."""
        return self.gain**2 / fans.fan_out


def _plan(module: nn.Module, rule: Rule, direction: Rule, gain: float | None) -> dict[str, Part]:
    """`rule` for plain layers; for weight-normalized ones `direction`, and the norm
    gain·√(fan-in/fan-out), or 1 without a gain.
    """
    parts = plan(module, rule)
    for path, layer in module.named_modules():
        for ends in ENDS if isinstance(layer, WEIGHTED) else ():
            length, way = (f"{path}.{end}".lstrip(".") for end in ends)
            if length in parts:
                of = fans(layer)
                g = 1.0 if gain is None else gain * sqrt(of.fan_in / of.fan_out)
                parts[length], parts[way] = Part(Constant(g), of), Part(direction, of)
    return parts


@spec
class WeightNorm(Scheme):
    """Every unit has the norm gain·√(fan-in/fan-out) and a uniform direction (Arpit et al. 2019).

    √2 is the gain of ReLU. The paper also divides residual branches by √L; `ResidualScaling` does.
    """

    gain: float = sqrt(2)

    name: ClassVar[str] = "Weight norm"
    layers: ClassVar[str] = "weight-normalized layers"
    source: ClassVar[str] = "arpit_2019"
    formula: ClassVar[str] = r"w_i = g_i v_i/\|v_i\|,\; g_i = \sqrt{2 n_{in}/n_{out}}"
    preserves: ClassVar[str] = "the second moment backward, and forward where layers are square"
    use: ClassVar[str] = "Networks with weight normalization that have no data at hand."

    def __post_init__(self) -> None:
        """Refuse what is no finite number."""
        check_number("gain", self.gain)

    def plan(self, module):
        """See `Scheme.plan`."""
        return _plan(module, FixedLength(self.gain), Normal(0.05), self.gain)


@spec
class WeightNormData(DataDependent):
    """Directions from N(0, 0.05²), norms g = 1/σ and biases −μ/σ from a batch.

    Salimans & Kingma 2016, section 3: every unit's outputs t = v·x/‖v‖ have mean 0 and variance
    1 on the batch after it.
    """

    rule: Rule = Normal(0.05)

    name: ClassVar[str] = "Weight norm, from data"
    layers: ClassVar[str] = "weight-normalized layers"
    source: ClassVar[str] = "salimans_2016"
    formula: ClassVar[str] = (
        r"w_i = g_i v_i/\|v_i\|,\; g_i = 1/\sigma[t_i],\; b_i = -\mu[t_i]/\sigma[t_i],"
        r"\; t_i = v_i \cdot x/\|v_i\|"
    )
    use: ClassVar[str] = "Networks with weight normalization, once before training."

    def plan(self, module):
        """See `Scheme.plan`: directions by the rule, norms of one until data are seen."""
        return _plan(module, self.rule, self.rule, None)
