"""What each parameter of any module starts as under one rule."""

from __future__ import annotations

from torch import nn

from initlab.init.contract import Part, Rule, Scheme
from initlab.init.fans import NORMS, WEIGHTED, Fans, fans
from initlab.init.random import Constant, Zeros
from initlab.init.scaled import Stacked
from initlab.models.blocks import Multiplier

#: Modules that multiply by `weight` and add `bias`: at first one and zero.
AFFINE = (*NORMS, Multiplier)
_LEFT = Part(None, None, "no rule is for it: it keeps the module's own value")


def plan(module: nn.Module, rule: Rule | Scheme, bias: Rule | None = None) -> dict[str, Part]:
    """What each parameter starts as, by its name; a scheme's own plan, or one rule everywhere.

    A rule draws the weights of linear layers, convolutions and embeddings, and attention's product
    of queries, keys and values as linear maps of their own. Biases are drawn by `bias` (zero by
    default), normalization starts at one and zero, and all other parameters are left alone.

    >>> parts = plan(nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2)), Constant(0.5))
    >>> {name: part.rule.label for name, part in parts.items() if part.rule}
    {'0.weight': 'Constant', '0.bias': 'Zeros', '1.weight': 'Constant', '1.bias': 'Zeros'}
    """
    if isinstance(rule, Scheme):
        return rule.plan(module)
    found = {}
    for name, _ in module.named_parameters():
        path, _, last = name.rpartition(".")
        found[name] = _part(module.get_submodule(path), last, rule, bias or Zeros())
    return found


def _part(layer: nn.Module, name: str, rule: Rule, bias: Rule) -> Part:
    """One parameter of one layer."""
    if isinstance(layer, WEIGHTED) and name in ("weight", "bias"):
        return Part(rule if name == "weight" else bias, fans(layer))
    if isinstance(layer, AFFINE) and name in ("weight", "bias"):
        return Part(Constant(1.0) if name == "weight" else Zeros(), Fans(1, 1))
    if isinstance(layer, nn.Embedding):
        return Part(rule, Fans(1, layer.embedding_dim))  # a look-up sums one term
    if isinstance(layer, nn.MultiheadAttention):
        if name == "in_proj_bias":
            return Part(bias, Fans(layer.embed_dim, layer.embed_dim))
        if name == "in_proj_weight":
            return Part(Stacked(rule, 3), Fans(layer.embed_dim, layer.embed_dim))
        if name.endswith("proj_weight"):
            inputs = {"q": layer.embed_dim, "k": layer.kdim, "v": layer.vdim}[name[0]]
            return Part(rule, Fans(inputs, layer.embed_dim))
    return _LEFT
