"""Losses of many networks at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from initlab.spec import spec

#: The least probability in a gradient. Arithmetic with numbers that float32 can hardly hold takes
#: several times as long, and confident networks are full of them. A step gains or loses its last
#: digit by this at most, and that is rare: the first of a difference was seen after 14,000 steps.
LEAST = 1e-30


@spec
class CrossEntropy:
    """Softmax cross-entropy, averaged over the batch; `smoothing` as in
    `torch.nn.functional.cross_entropy`.
    """

    smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Refuse smoothing outside [0, 1)."""
        if not 0 <= self.smoothing < 1:
            raise ValueError(f"smoothing must be ≥ 0 and < 1, not {self.smoothing}")

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each of R networks, (R, B, classes) → (R,).

        `targets` are classes, (B,), (1, B) or (R, B), or soft: probabilities with the classes as
        one more axis.
        """
        # Models whose examples lie along the last axis in memory are taken as they lie.
        logs = F.log_softmax(logits.transpose(-1, -2), -2)  # (R, classes, B)
        if targets.is_floating_point():
            s = self.smoothing
            soft = targets if s == 0 else (1 - s) * targets + s / logits.shape[-1]
            return -(soft.transpose(-1, -2) * logs).sum(-2).mean(-1)
        chosen = targets.expand(logits.shape[:-1]).unsqueeze(-2)
        right = -logs.gather(-2, chosen).squeeze(-2)
        if self.smoothing == 0:
            return right.mean(-1)
        return ((1 - self.smoothing) * right - self.smoothing * logs.mean(-2)).mean(-1)

    def gradient(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The losses, and their gradient by the logits: (R,), (R, B, classes)."""
        if self.smoothing or targets.is_floating_point():
            return by_autograd(self, logits, targets)
        # The two numbers of which the gradient, softmax minus one-hot, can be made in place.
        logs = F.log_softmax(logits.transpose(-1, -2), -2)
        chosen = targets.expand(logits.shape[:-1]).unsqueeze(-2)
        losses = -logs.gather(-2, chosen).squeeze(-2).mean(-1)
        g = logs.clamp_(min=log(LEAST)).exp_()
        g.scatter_add_(-2, chosen, g.new_full((), -1.0).expand(chosen.shape))
        return losses, g.div_(logits.shape[-2]).transpose(-1, -2)


def by_autograd(
    loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """The losses of any loss, and their gradient by the logits: (R,), (R, B, classes)."""
    with torch.enable_grad():
        leaf = logits.detach().requires_grad_()
        losses = loss(leaf, targets)
        (g,) = torch.autograd.grad(losses.sum(), leaf)
    return losses.detach(), g


@spec
class ClippedCrossEntropy:
    """Softmax cross-entropy of probabilities clipped to [ε, 1 − ε], as Keras computes it.

    Where the clip acts there is no gradient: a sample that is predicted wrongly with certainty
    costs −ln ε (16.1 for Keras' ε of 1e-7) and pulls at nothing.
    """

    eps: float = 1e-7

    def __post_init__(self) -> None:
        """Refuse bounds that leave no probability."""
        if not 0 < self.eps < 0.5:
            raise ValueError(f"eps must be > 0 and < 0.5, not {self.eps}")

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each of R networks; see `CrossEntropy`."""
        p = F.softmax(logits.transpose(-1, -2), -2)  # (R, classes, B)
        if targets.is_floating_point():
            logs = p.clamp(self.eps, 1 - self.eps).log()
            return -(targets.transpose(-1, -2) * logs).sum(-2).mean(-1)
        chosen = targets.expand(logits.shape[:-1]).unsqueeze(-2)
        right = p.gather(-2, chosen).squeeze(-2)
        return -right.clamp(self.eps, 1 - self.eps).log().mean(-1)

    def gradient(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The losses, and their gradient by the logits: (R,), (R, B, classes)."""
        if targets.is_floating_point():
            return by_autograd(self, logits, targets)
        p = F.softmax(logits.transpose(-1, -2), -2)
        chosen = targets.expand(logits.shape[:-1]).unsqueeze(-2)
        right = p.gather(-2, chosen)
        p.clamp_(min=LEAST)
        losses = -right.clamp(self.eps, 1 - self.eps).log().squeeze(-2).mean(-1)
        free = (right >= self.eps) & (right <= 1 - self.eps)
        p.scatter_add_(-2, chosen, p.new_full((), -1.0).expand(chosen.shape)).mul_(free)
        return losses, p.div_(logits.shape[-2]).transpose(-1, -2)


Loss: TypeAlias = CrossEntropy | ClippedCrossEntropy


@dataclass(frozen=True)
class Taught:
    """A loss against a teacher's probabilities plus `weight` times one against the labels.

    Targets are both side by side, (R, B, 2 · classes): the probabilities, then the labels.
    """

    teacher: Loss
    labels: Loss
    weight: float

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each of R networks, (R, B, classes) → (R,)."""
        taught, labels = targets.split(logits.shape[-1], -1)
        return self.teacher(logits, taught) + self.weight * self.labels(logits, labels)

    def gradient(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The losses, and their gradient by the logits: (R,), (R, B, classes)."""
        return by_autograd(self, logits, targets)


#: What a step may learn by.
Lesson: TypeAlias = Loss | Taught
