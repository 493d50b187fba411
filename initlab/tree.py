"""Tensors in tuples, lists and mappings: what a network takes, and the state of a training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor


class Each(list[Any]):
    """What is no tensor and each network has of its own, in their order."""


class Stateful:
    """Something that keeps numbers of each of R networks: all of them in one tree, its state."""

    state: dict[str, Any]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these networks only."""
        self.state = take(self.state, rows)
        self.bound()

    def bound(self) -> None:
        """Renew what is made of the state, which has been replaced."""


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

    Of what `Each` network has it is those entries. Numbers, and tensors without axes, are of all
    networks together and stay as they are.

    >>> import torch
    >>> take([torch.arange(3), Each("abc"), 0.5], [2, 0])
    [tensor([2, 0]), ['c', 'a'], 0.5]
    """
    chosen = list(rows)
    if isinstance(tree, Tensor):
        return tree[chosen] if tree.dim() else tree
    if isinstance(tree, Each):
        return Each(tree[row] for row in chosen)
    if isinstance(tree, Mapping):
        return {name: take(value, chosen) for name, value in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(take(value, chosen) for value in tree)
    return tree


def part(tree: Any, where: slice | Tensor) -> Any:
    """The tree of some samples: that slice of every tensor, or these places."""
    return apply(lambda t: t[where], tree)


def row_of(tree: Any, row: int) -> Any:
    """The tree of one network: that row of every tensor."""
    return apply(lambda t: t[row], tree)


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


def filled(tree: Any, tensors: Iterable[Tensor]) -> Any:
    """The tree with other tensors, in the order of its `leaves`."""
    others = iter(tensors)
    return apply(lambda _: next(others), tree)


def first(tree: Any) -> Tensor:
    """The first tensor of a tree; raises `ValueError` where there is none."""
    for leaf in leaves(tree):
        return leaf
    raise ValueError("there is no tensor in it")
