"""Starts made for transformers: GPT-2's, T-Fixup's and DeepNorm's."""

from __future__ import annotations

from math import sqrt
from typing import ClassVar

from torch import nn

from initlab.init.branches import Branch, Named, branches, looks_at_encoder
from initlab.init.contract import Part, Scheme, check_number
from initlab.init.plan import plan
from initlab.init.random import Normal
from initlab.init.residual import found_branches, scale
from initlab.init.variance_scaling import GlorotNormal, GlorotUniform
from initlab.init.wrappers import Each
from initlab.spec import spec


def _values_and_outputs(parts: dict[str, Part], found: list[Branch], factor: float) -> None:
    """Multiply, on each branch, all but the projections to queries and keys.

    Attention is known by its four projections, or by three in one tensor before the last.
    """
    for branch in found:
        first, *rest = branch.weights
        maps = parts[first].maps if first in parts else None
        fused = maps is not None and ("outputs", 3) in maps.joined and len(branch.weights) == 2
        separate = len(branch.weights) == 4
        if fused:
            rule = parts[first].rule
            if rule is not None:
                parts[first] = parts[first].by(Each(rule, (1.0, 1.0, factor)))
        for weight in rest if fused else branch.weights[2:] if separate else branch.weights:
            scale(parts, weight, factor)


def _one_stack(module: nn.Module, scheme: str, named: Named) -> list[Branch]:
    """The branches of an encoder alone or a decoder alone, two for each block.

    Raises `ValueError` where there are none, and for a decoder that looks at an encoder.
    """
    found = found_branches(module, scheme, named)
    for branch in found:
        if looks_at_encoder(branch):
            raise ValueError(
                f"{scheme} is here for an encoder or a decoder alone, but {branch.weights[0]} "
                "looks at an encoder, and such networks have other factors"
            )
    return found


@spec
class GPT2(Scheme):
    """N(0, σ²) for weights and embeddings; what ends a residual branch is divided by √N.

    σ is `std`, and N is the number of residual branches, two for each block (Radford et al. 2019,
    section 2.3; the standard deviation is that of the code that came with it). Biases start at
    zero. `branches` names the branches of a network of which they cannot be read off (see
    `initlab.init.branches`).
    """

    std: float = 0.02
    branches: Named = ()

    name: ClassVar[str] = "GPT-2"
    layers: ClassVar[str] = "transformers"
    source: ClassVar[str] = "radford_2019"
    formula: ClassVar[str] = (
        r"W \sim \mathcal{N}(0, \sigma^2), \quad W_{end} \sim \mathcal{N}(0, \sigma^2/N)"
    )
    preserves: ClassVar[str] = "the order of the residual sum, whatever the depth; logits near zero"
    use: ClassVar[str] = "Decoders with normalization before each branch, a tied head among them."

    def __post_init__(self) -> None:
        """Refuse what is no standard deviation."""
        check_number("std", self.std)

    def plan(self, module: nn.Module) -> dict[str, Part]:
        """See `Scheme.plan`; raises `ValueError` where the branches cannot be read off."""
        parts, found = plan(module, Normal(self.std)), branches(module, self.branches)
        for branch in found:
            scale(parts, branch.weights[-1], 1 / sqrt(len(found)))
        return parts


@spec
class TFixup(Scheme):
    """Glorot's uniform weights, with values, outputs and feed-forward weights scaled for depth.

    Huang et al. 2020, section 3: for an encoder of N blocks by 0.67 N^(−1/4), embeddings drawn
    from N(0, 1/d) and scaled by (9N)^(−1/4). It is for transformers without normalization and
    trains without warm-up. Decoders (`decoder=True`) are scaled by (9N)^(−1/4). Blocks are counted
    by two branches each: a decoder that looks at an encoder has three, and is refused.
    """

    decoder: bool = False
    branches: Named = ()

    name: ClassVar[str] = "T-Fixup"
    layers: ClassVar[str] = "transformers"
    source: ClassVar[str] = "huang_2020"
    formula: ClassVar[str] = (
        r"W_{v,o,ff} \leftarrow 0.67\,N^{-1/4}\,W, \quad E \sim (9N)^{-1/4}\,\mathcal{N}(0, 1/d)"
    )
    preserves: ClassVar[str] = "the size of a step's change of the output under Adam"
    use: ClassVar[str] = "Transformers from which normalization and warm-up are taken away."

    def plan(self, module: nn.Module) -> dict[str, Part]:
        """See `Scheme.plan`; raises `ValueError` as `_one_stack` does."""
        parts = plan(module, GlorotUniform())
        found = _one_stack(module, self.name, self.branches)
        blocks = max(1, len(found) // 2)
        small = (9 * blocks) ** -0.25
        _values_and_outputs(parts, found, small if self.decoder else 0.67 * blocks**-0.25)
        for name, part in list(parts.items()):
            if part.maps is not None and part.maps.fans.fan_in == 1 and part.rule is not None:
                width = part.maps.shape[1]
                parts[name] = part.by(Normal(small / sqrt(width)))
        return parts


@spec
class DeepNorm(Scheme):
    """Glorot's normal weights, with values, outputs and feed-forward weights times β = (8N)^(−1/4).

    Wang et al. 2022, figure 2, for N blocks of an encoder alone or a decoder alone. The shortcut's
    factor α = (2N)^(1/4), which `alpha` tells, belongs into the module, before the normalization
    that follows each sum; without it the start is not theirs.
    """

    branches: Named = ()

    name: ClassVar[str] = "DeepNorm"
    layers: ClassVar[str] = "transformers"
    source: ClassVar[str] = "wang_2022"
    formula: ClassVar[str] = (
        r"x_{l+1} = \mathrm{LN}(\alpha x_l + G(x_l)),\; \alpha = (2N)^{1/4},\;"
        r" W_{v,o,ff} \leftarrow (8N)^{-1/4}\, W"
    )
    preserves: ClassVar[str] = "the size of a step's change of the output, whatever the depth"
    use: ClassVar[str] = "Very deep transformers with normalization after each sum."
    note: ClassVar[str] = "The factor α of the shortcut is the module's own: see `alpha`."

    def alpha(self, module: nn.Module) -> float:
        """The factor of the shortcut for this network."""
        return len(_one_stack(module, self.name, self.branches)) ** 0.25

    def plan(self, module: nn.Module) -> dict[str, Part]:
        """See `Scheme.plan`; raises `ValueError` as `_one_stack` does."""
        parts = plan(module, GlorotNormal())
        found = _one_stack(module, self.name, self.branches)
        _values_and_outputs(parts, found, (4 * len(found)) ** -0.25)
        return parts
