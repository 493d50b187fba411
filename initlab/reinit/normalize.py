"""Normalization by statistics that are taken once and then frozen."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

#: What a child's normalization is called among its children.
NAME = "lw_norm"


class LWNorm(nn.Module):
    """(x − μ)/σ of each channel, with μ and σ of the first batch that is seen in training.

    Channels lie along axis 1, as those of convolutions and the features of vectors; σ is the
    unbiased estimate, and there is no ε and nothing to train. As in the code of Zhou et al. 2022,
    but for a channel that is constant on that batch, such as that of a dead unit: it is shifted
    and not scaled, where they divide by zero. Before that batch x passes unchanged.

    >>> norm = LWNorm()
    >>> norm(torch.tensor([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])).tolist()
    [[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]
    >>> norm(torch.tensor([[4.0, 6.0]])).tolist()
    [[2.0, 1.0]]
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        """Nothing is known yet."""
        super().__init__()
        self.reset()

    def reset(self) -> None:
        """Forget the statistics: the next batch in training gives new ones."""
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """x of (batch, channels, …), normalized; raises `ValueError` for another shape."""
        if self.training and self.mean.dim() == 0:
            self._measure(x.detach())
        return (x - self.mean) / self.std

    def _measure(self, x: Tensor) -> None:
        if x.dim() < 2 or x.numel() // x.shape[1] < 2:
            raise ValueError(
                "statistics of each channel need two or more numbers of it, of (batch, channels, "
                f"…), not a batch of shape {tuple(x.shape)}"
            )
        along = [axis for axis in range(x.dim()) if axis != 1]
        std, mean = torch.std_mean(x, along, keepdim=True)
        self.mean, self.std = mean, torch.where(std > 0, std, torch.ones_like(std))


def insert(module: nn.Module, path: str) -> LWNorm:
    """Normalize what the child at `path` gives out; again, if it is normalized already.

    The normalization becomes a child of that child and is called by a hook, so that it moves, is
    copied and is saved with the module. Raises `AttributeError` for a path that there is not.
    """
    child = module.get_submodule(path)
    norm = getattr(child, NAME, None)
    if norm is None:
        norm = LWNorm()
        child.add_module(NAME, norm.train(child.training))
        child.register_forward_hook(_normalize)
    norm.reset()
    return norm


def _normalize(child: nn.Module, args: tuple, out: Tensor) -> Tensor:
    return getattr(child, NAME)(out)


def normalized(names: Mapping[str, Tensor]) -> list[str]:
    """Paths of the children whose output is normalized, from the names of a network's tensors."""
    end = f"{NAME}.mean"
    return [n.removesuffix(end).rstrip(".") for n in names if f".{n}".endswith(f".{end}")]


def restore(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Normalize as the network did whose tensors, statistics among them, are given by name."""
    for path in normalized(tensors):
        norm, before = insert(module, path), f"{path}." if path else ""
        norm.mean = tensors[f"{before}{NAME}.mean"].clone()
        norm.std = tensors[f"{before}{NAME}.std"].clone()
