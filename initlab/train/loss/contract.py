"""The contract of every loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from initlab.spec import spec


@spec
class Loss:
    """What training makes small: the mean over a batch, of each of R networks.

    Outputs are (R, B, …). Targets are (1, B, …) for all networks alike, or (R, B, …). Everything
    that differs from loss to loss is here: a new one is a class of its own and nothing else.
    """

    #: Whether an accuracy goes with it.
    classifies: ClassVar[bool] = False

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each network, (R,)."""
        raise NotImplementedError

    def gradient(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The losses, and their gradient by the outputs: (R,), and the shape of the outputs."""
        return by_autograd(self, outputs, targets)

    def terms(self, outputs: Tensor, targets: Tensor) -> Tensor | int:
        """Of how many terms the loss of each network is the mean: one number, or (R,)."""
        return outputs.shape[1]

    def right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Share of the terms that each network classifies rightly, (R,)."""
        raise NotImplementedError

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """Refuse targets of another kind or shape than the loss takes.

        Args:
            outputs: Those of one network, (B, …); only their shape is looked at.
            targets: All that there are, (N, …).

        Raises:
            ValueError: If these are not targets for such outputs.
        """


def by_autograd(
    loss: Callable[[Tensor, Tensor], Tensor], outputs: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """The losses of any loss, and their gradient by the outputs: (R,), and their shape."""
    with torch.enable_grad():
        leaf = outputs.detach().requires_grad_()
        losses = loss(leaf, targets)
        (g,) = torch.autograd.grad(losses.sum(), leaf)
    return losses.detach(), g


def told(t: Tensor, less: int | None = None) -> str:
    """A shape with the samples as B."""
    return f"({', '.join(['B', *map(str, t.shape[1:less])])})"
