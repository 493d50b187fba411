"""Which rule draws which parameter of a module."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from initlab.init.contract import Part, Rule
from initlab.init.fans import NORMS, WEIGHTED, Fans, fans
from initlab.init.random import Constant, Zeros
from initlab.models.blocks import Multiplier

ONES, ZEROS = Constant(1.0), Zeros()
#: For a number that starts the same whatever its fans are.
NO_FANS = Fans(1, 1)


def plan(module: nn.Module, rule: Rule, bias: Rule | None = None) -> dict[str, Part]:
    """`rule` on every weight and `bias` (zero by default) on every bias, by parameter path.

    Weights are those of linear layers, convolutions, embeddings (one term is summed in each
    output) and the projections of attention. Normalization and trained multipliers start at one
    and zero. All else, such as tokens and positions, is left alone. Parameters that several layers
    share appear once.
    """
    bias = ZEROS if bias is None else bias
    parts: dict[str, Part] = {}
    seen: set[int] = set()
    for path, layer in module.named_modules():
        own = _own(layer, rule, bias)
        for name, parameter in layer.named_parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                why = f"no rule is for {name!r} of {type(layer).__name__}"
                parts[f"{path}.{name}".lstrip(".")] = own.get(name, Part(None, why=why))
    return parts


def _own(layer: nn.Module, rule: Rule, bias: Rule) -> Mapping[str, Part]:
    """What the parameters of one layer start as, by name."""
    if parametrize.is_parametrized(layer):
        return {}  # its weight is computed from other parameters
    if isinstance(layer, WEIGHTED):
        return {"weight": Part(rule, fans(layer)), "bias": Part(bias, fans(layer))}
    if isinstance(layer, (*NORMS, Multiplier)):
        return {"weight": Part(ONES, NO_FANS), "bias": Part(ZEROS, NO_FANS)}
    if isinstance(layer, nn.Embedding):
        of = Fans(1, layer.embedding_dim)
        return {"weight": Part(rule, of, blank=layer.padding_idx)}
    if isinstance(layer, nn.MultiheadAttention):
        E, k, v = layer.embed_dim, layer.kdim, layer.vdim
        assert k is not None and v is not None
        return {
            "in_proj_weight": Part(rule, Fans(E, E), pieces=3),
            "in_proj_bias": Part(bias, Fans(E, E), pieces=3),
            "q_proj_weight": Part(rule, Fans(E, E)),
            "k_proj_weight": Part(rule, Fans(k, E)),
            "v_proj_weight": Part(rule, Fans(v, E)),
        }
    return {}


def described(module: nn.Module, parts: Mapping[str, Part]) -> list[dict[str, Any]]:
    """One row for each parameter: path, shape, kind of layer, what it starts as, fans, variance."""
    tensors: dict[str, Tensor] = dict(module.named_parameters())
    rows = []
    for name, part in parts.items():
        owner = module.get_submodule(name.rpartition(".")[0])
        rule, of = part.rule, part.fans
        rows.append(
            {
                "parameter": name,
                "shape": tuple(tensors[name].shape),
                "kind": type(owner).__name__,
                "start": rule.label if rule else f"left alone: {part.why}",
                "fan_in": of.fan_in if of else nan,
                "fan_out": of.fan_out if of else nan,
                "variance": rule.variance(of) if rule and of else nan,
            }
        )
    return rows
