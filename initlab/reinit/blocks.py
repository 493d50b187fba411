"""The blocks of any network, read off its children."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch import nn

#: Children that are only a list of their own children.
_LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
#: Where torch keeps the layers that come after a block's output: they pool it or flatten it.
_AFTER = ("torch.nn.modules.pooling", "torch.nn.modules.flatten")


class Block(NamedTuple):
    """One block: the path of the child that it begins with, the path of the child whose output is
    the block's, and the names of its parameters.
    """

    path: str
    end: str
    parameters: tuple[str, ...]


def blocks(module: nn.Module) -> list[Block]:
    """The blocks of a network after its stem, in the order in which its children are registered.

    A block begins with each child that has a weight of two or more dimensions; what follows
    without one (normalization, activation, pooling) belongs to it, and the first is the stem,
    which is no block. Lists of children, `nn.Sequential` among them, are looked into; other
    modules of one's own are one block each. A ResNet-18 has eight blocks and its head, as in the
    code of Zhou et al. 2022; a network of one layer has that layer as its only block.

    Raises `ValueError` for a network without weights.

    >>> from initlab.models import MLP, ResNet18
    >>> [block.path for block in blocks(MLP((8, 8), norm="batch").build("meta"))]
    ['layer2', 'head']
    >>> len(blocks(ResNet18(width=1).build("meta")))
    9
    """
    children = list(_unfolded(module)) or [("", module)]
    begins = [i for i, (_, child) in enumerate(children) if _weighted(child)]
    if not begins:
        raise ValueError(f"{type(module).__name__} has no weights, so it has no blocks")
    begins = begins[1:] or begins
    names = [name for name, _ in module.named_parameters()]
    found = []
    for first, after in zip(begins, [*begins[1:], len(children)], strict=True):
        inside = children[first:after]
        end = inside[0][0]
        for path, child in inside[1:]:
            if type(child).__module__ in _AFTER:
                break
            end = path
        paths = tuple(f"{path}." if path else "" for path, _ in inside)
        own = tuple(n for n in names if n.startswith(paths))
        found.append(Block(inside[0][0], end, own))
    return found


def _unfolded(module: nn.Module, before: str = "") -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if isinstance(child, _LISTS):
            yield from _unfolded(child, f"{before}{name}.")
        else:
            yield before + name, child


def _weighted(module: nn.Module) -> bool:
    return any(p.dim() >= 2 for p in module.parameters())
