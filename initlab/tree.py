"""Tensors in tuples, lists and mappings: what a network takes, and the state of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor


def apply(function: Callable[[Tensor], Any], tree: Any) -> Any:
    """The tree with `function` of each tensor in its place; what is no tensor stays as it is.

    >>> import torch
    >>> apply(lambda t: 2 * t, {"a": torch.ones(1), "n": 3})
    {'a': tensor([2.]), 'n': 3}
    """
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return {name: apply(function, value) for name, value in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(apply(function, value) for value in tree)
    return tree


def take(tree: Any, rows: Sequence[int]) -> Any:
    """The tree of some networks: these rows of every tensor, whose first axis counts networks.

    Numbers, and tensors without axes, are of all networks together and stay as they are.

    >>> import torch
    >>> take([torch.arange(3), 0.5], [2, 0])
    [tensor([2, 0]), 0.5]
    """
    chosen = list(rows)
    return apply(lambda t: t[chosen] if t.dim() else t, tree)


def leaves(tree: Any) -> Iterator[Tensor]:
    """Every tensor of a tree."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from leaves(value)
    elif isinstance(tree, tuple | list):
        for value in tree:
            yield from leaves(value)


def first(tree: Any) -> Tensor:
    """The first tensor of a tree; raises `ValueError` where there is none."""
    for leaf in leaves(tree):
        return leaf
    raise ValueError("there is no tensor in it")
