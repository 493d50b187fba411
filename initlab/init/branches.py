"""Residual branches of any network: what is added to a shortcut, read off the network's own graph.

The network is traced symbolically (`torch.fx`): nothing is computed and nothing is changed. At
each sum of two terms that come from one point, the term that passes through more weighted layers
is the branch and the other is the shortcut, be it the identity or a projection.
"""

from __future__ import annotations

import operator
from typing import NamedTuple

import torch
from torch import fx, nn

from initlab.init.fans import NORMS, WEIGHTED

_SUMS = {operator.add, operator.iadd, torch.add, "add", "add_"}
_PRODUCTS = {operator.mul, operator.imul, torch.mul, "mul", "mul_"}
#: What may follow a branch's last layer without changing more than its scale.
_PASSED = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.Dropout3d)
_PASSED_BY_NAME = {"dropout", "stochastic_depth"}


class Branch(NamedTuple):
    """Names of the parameters on one residual branch, in the order in which they are used.

    `norms` are the weights of normalization, `scalars` single numbers that the branch is
    multiplied by, `shifts` single numbers that are added. `end` is what its last step is: the
    name of a weight, that of a normalization's weight, or the name of a function.
    """

    weights: tuple[str, ...]
    biases: tuple[str, ...]
    norms: tuple[str, ...]
    scalars: tuple[str, ...]
    shifts: tuple[str, ...]
    end: str


class _Tracer(fx.Tracer):
    """Does not look into layers with weights, be they torch's or somebody's own kind of these."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, WEIGHTED) or super().is_leaf_module(m, module_qualified_name)


def branches(module: nn.Module) -> list[Branch]:
    """The residual branches of a network, in the order in which they are computed.

    Empty for a network that adds nothing to a shortcut. Raises `ValueError` for a network that
    `torch.fx` cannot trace, because its computation depends on the values of its input.

    >>> from initlab.models import ResNet9
    >>> branches(ResNet9(norm="none").build("meta"))[0].weights
    ('block1.layer1.conv.weight', 'block1.layer2.conv.weight')
    """
    try:
        graph = _Tracer().trace(module)
    except Exception as error:  # whatever the module's own code raises when it meets a proxy
        raise ValueError(
            f"the residual branches of {type(module).__name__} cannot be read off: torch.fx does "
            f"not trace it ({str(error).splitlines()[0]})"
        ) from error
    position = {node: i for i, node in enumerate(graph.nodes)}
    past: dict[fx.Node, set[fx.Node]] = {}
    found = []
    for node in graph.nodes:
        past[node] = {node}.union(*(past[before] for before in node.all_input_nodes))
        terms = [a for a in node.args if isinstance(a, fx.Node)]
        if node.target not in _SUMS or len(terms) != 2 or terms[0] is terms[1]:
            continue
        one, two = terms
        shared = past[one] & past[two]
        sides = [past[one] - shared, past[two] - shared]
        counts = [sum(len(_weights(module, n)) for n in side) for side in sides]
        if shared and counts[0] != counts[1]:
            side, end = (sides[0], one) if counts[0] > counts[1] else (sides[1], two)
            found.append(_branch(module, sorted(side, key=position.__getitem__), end))
    return found


def _weights(module: nn.Module, node: fx.Node) -> list[str]:
    """Names of the weights of a module that is called."""
    if node.op != "call_module":
        return []
    path, names = str(node.target), []
    for inner, layer in module.get_submodule(path).named_modules(prefix=path):
        if isinstance(layer, nn.MultiheadAttention) and layer.in_proj_weight is not None:
            names.append(f"{inner}.in_proj_weight")
        if isinstance(layer, WEIGHTED):
            names.append(f"{inner}.weight")
    return names


def _branch(module: nn.Module, nodes: list[fx.Node], end: fx.Node) -> Branch:
    names = dict(module.named_parameters())
    weights = [name for node in nodes for name in _weights(module, node)]
    biases = [name[: -len("weight")] + "bias" for name in weights]
    norms: list[str] = []
    scalars: list[str] = []
    shifts: list[str] = []
    for node in nodes:
        if node.op == "call_module" and _is_norm(module, node):
            norms.append(f"{node.target}.weight")
        elif node.op == "get_attr" and _is_number(names.get(str(node.target))):
            multiplies = all(user.target in _PRODUCTS for user in node.users)
            (scalars if multiplies else shifts).append(str(node.target))
    return Branch(
        tuple(weights),
        tuple(name for name in biases if name in names),
        tuple(name for name in norms if name in names),
        tuple(scalars),
        tuple(shifts),
        _last(module, end),
    )


def _is_norm(module: nn.Module, node: fx.Node) -> bool:
    return isinstance(module.get_submodule(str(node.target)), NORMS)


def _is_number(parameter: nn.Parameter | None) -> bool:
    return parameter is not None and parameter.numel() == 1


def _last(module: nn.Module, node: fx.Node) -> str:
    """What a branch ends in, seen through factors, shifts and dropout."""
    while True:
        inputs = [n for n in node.all_input_nodes if n.op != "get_attr"]
        layer = module.get_submodule(str(node.target)) if node.op == "call_module" else None
        name = getattr(node.target, "__name__", str(node.target))
        scaled = node.target in _PRODUCTS | _SUMS or node.target is operator.getitem
        passed = scaled or name in _PASSED_BY_NAME or isinstance(layer, _PASSED)
        if len(inputs) != 1 or not passed:
            break
        [node] = inputs
    if layer is None:
        return name
    if weights := _weights(module, node):
        return weights[-1]
    return f"{node.target}.weight" if _is_norm(module, node) else type(layer).__name__.lower()
