"""Fully connected networks that a user has written, recognized by what they compute."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

#: Activations that `initlab.train.fused` knows, as modules, functions and methods.
_MODULES = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}
_FUNCTIONS: dict[Any, str] = {
    torch.relu: "relu", F.relu: "relu", torch.tanh: "tanh", F.tanh: "tanh",
    torch.sigmoid: "sigmoid", F.sigmoid: "sigmoid",
}  # fmt: skip
_METHODS = ("relu", "tanh", "sigmoid")


@dataclass(frozen=True)
class Chain:
    """Linear layers by their names, in order, with the same activation between any two."""

    layers: tuple[str, ...]
    activation: str


def chain(module: nn.Module) -> Chain | None:
    """The linear layers that a module is, one after the other; None where it is anything else.

    >>> chain(nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))
    Chain(layers=('1', '3'), activation='relu')
    """
    try:
        nodes = list(fx.symbolic_trace(module).graph.nodes)
    except Exception:  # whatever a forward does that cannot be traced, it is no chain
        return None
    layers, between = [], []
    for before, node in pairwise(nodes):
        if node.all_input_nodes != [before]:
            return None
        if _linear(module, node):
            layers.append(str(node.target))
        elif node.op == "output":
            break
        elif name := _activation(module, node):
            between.append((len(layers), name))
        elif layers or not _flattens(module, node):
            return None
    theirs = sorted(
        f"{name}.{n}" for name in layers for n, _ in module.get_submodule(name).named_parameters()
    )
    activations = {name for _, name in between}
    places = [place for place, _ in between]
    if (
        len(layers) < 2
        or theirs != sorted(n for n, _ in module.named_parameters())
        or not all(p.requires_grad for p in module.parameters())
        or any(True for _ in module.buffers())
        or any(_hooked(m) for m in module.modules())
        or places != list(range(1, len(layers)))
        or len(activations) != 1
    ):
        return None
    return Chain(tuple(layers), activations.pop())


def _hooked(module: nn.Module) -> bool:
    hooks = module._forward_hooks, module._forward_pre_hooks, module._backward_hooks
    return any(hooks)


def _linear(module: nn.Module, node: fx.Node) -> bool:
    return node.op == "call_module" and type(module.get_submodule(str(node.target))) is nn.Linear


def _activation(module: nn.Module, node: fx.Node) -> str | None:
    if node.op == "call_module":
        return _MODULES.get(type(module.get_submodule(str(node.target))))
    if node.op == "call_function":
        return _FUNCTIONS.get(node.target)
    return str(node.target) if node.op == "call_method" and node.target in _METHODS else None


def _flattens(module: nn.Module, node: fx.Node) -> bool:
    """Whether all axes of a sample become one."""
    if node.op == "call_module":
        made = module.get_submodule(str(node.target))
        return type(made) is nn.Flatten and (made.start_dim, made.end_dim) == (1, -1)
    known = node.target is torch.flatten or (node.op == "call_method" and node.target == "flatten")
    return known and node.args[1:] == (1,) and not node.kwargs
