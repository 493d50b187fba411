"""What each parameter of any module starts as under one rule."""

from __future__ import annotations

from math import nan
from typing import Any

from torch import nn

from initlab.init.contract import Part, Rule, Scheme
from initlab.init.fans import NORMS, WEIGHTED, Fans, fans
from initlab.init.random import Constant, Zeros
from initlab.init.wrappers import Blank, Stacked
from initlab.models.blocks import Multiplier

#: Modules that multiply by `weight` and add `bias`: at first one and zero.
AFFINE = (*NORMS, Multiplier)


def describe(
    module: nn.Module, rule: Rule | Scheme, bias: Rule | None = None
) -> list[dict[str, Any]]:
    """One row for every parameter of a module, also of those left alone.

    Columns: `parameter`, `shape`, `kind` of its layer, `start` (the rule's label, or why it is left
    alone), `fan_in`, `fan_out`, and the declared `variance`.

    >>> describe(nn.Linear(3, 2), Constant(0.5))[0]["start"]
    'Constant'
    """
    tensors = dict(module.named_parameters())
    rows = []
    for name, part in plan(module, rule, bias).items():
        rule_of, of = part.rule, part.fans
        rows.append(
            {
                "parameter": name,
                "shape": tuple(tensors[name].shape),
                "kind": type(module.get_submodule(name.rpartition(".")[0])).__name__,
                "start": rule_of.label if rule_of else f"left alone: {part.why}",
                "fan_in": of.fan_in if of else nan,
                "fan_out": of.fan_out if of else nan,
                "variance": rule_of.variance(of) if rule_of and of else nan,
            }
        )
    return rows


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
        of = Fans(1, layer.embedding_dim)  # a look-up sums one term
        row = layer.padding_idx
        return Part(rule if row is None else Blank(rule, row), of)
    if isinstance(layer, nn.MultiheadAttention):
        if name == "in_proj_bias":
            return Part(bias, Fans(layer.embed_dim, layer.embed_dim))
        if name == "in_proj_weight":
            return Part(Stacked(rule, 3), Fans(layer.embed_dim, layer.embed_dim))
        if name.endswith("proj_weight"):
            inputs = {"q": layer.embed_dim, "k": layer.kdim, "v": layer.vdim}[name[0]]
            return Part(rule, Fans(inputs, layer.embed_dim))
    return Part(None, None, f"no rule is for {name!r} of {type(layer).__name__}")
