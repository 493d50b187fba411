"""Losses on classes."""

from __future__ import annotations

from math import log
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from initlab.spec import spec
from initlab.train.loss.contract import Loss, by_autograd, told

#: The least probability in a gradient. Arithmetic with numbers that float32 can hardly hold takes
#: several times as long, and confident networks are full of them. A step gains or loses its last
#: digit by this at most, and that is rare: the first of a difference was seen after 14,000 steps.
LEAST = 1e-30


@spec
class OfClasses(Loss):
    """Base of the losses on classes: targets are whole numbers, or probabilities."""

    classifies: ClassVar[bool] = True

    @property
    def left_out(self) -> int | None:
        """The class that counts for nothing, if there is one."""
        return None

    def terms(self, outputs: Tensor, targets: Tensor) -> Tensor | int:
        """See `Loss.terms`."""
        if self.left_out is None or targets.is_floating_point():
            return outputs.shape[1:-1].numel()
        kept = targets.expand(outputs.shape[:-1]) != self.left_out
        return kept.flatten(1).sum(1)

    def right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See `Loss.right`."""
        classes = targets.argmax(-1) if targets.is_floating_point() else targets
        same = outputs.argmax(-1) == classes
        if self.left_out is not None:
            same = same & (classes != self.left_out)
        return same.flatten(1).sum(1) / self.terms(outputs, targets)

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """See `Loss.check`."""
        classes = outputs.shape[-1]
        if targets.is_floating_point():
            _check_probabilities(type(self).__name__, outputs, targets)
            return
        if targets.shape[1:] != outputs.shape[1:-1]:
            raise ValueError(
                f"classes for outputs {told(outputs)} must have shape {told(outputs, -1)}, one "
                f"for each place, not {told(targets)}"
            )
        kept = targets if self.left_out is None else targets[targets != self.left_out]
        least, most = (int(kept.min()), int(kept.max())) if kept.numel() else (0, 0)
        if least < 0:
            raise ValueError(
                f"classes must be ≥ 0, but a target is {least}; CrossEntropy(ignore_index={least}) "
                "leaves such targets out"
            )
        if most >= classes:
            raise ValueError(
                f"a target is of class {most}, but the network has {classes} outputs: it needs "
                f"{most + 1} or more"
            )


@spec
class CrossEntropy(OfClasses):
    """Softmax cross-entropy, averaged over the batch, or over all places of the sequences in it.

    Outputs are logits (R, B, classes), or (R, B, T, classes) for sequences. Targets are classes, of
    the outputs' shape without the last axis, or probabilities of the outputs' shape. Classes that
    are `ignore_index` count for nothing. `smoothing` and `ignore_index` are as in
    `torch.nn.functional.cross_entropy`.
    """

    smoothing: float = 0.0
    ignore_index: int | None = None

    def __post_init__(self) -> None:
        """Refuse smoothing outside [0, 1)."""
        if not 0 <= self.smoothing < 1:
            raise ValueError(f"smoothing must be ≥ 0 and < 1, not {self.smoothing}")

    @property
    def left_out(self) -> int | None:
        """See `OfClasses.left_out`."""
        return self.ignore_index

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See `Loss`."""
        logits, targets = _rows(outputs, targets)
        # Models whose examples lie along the last axis in memory are taken as they lie.
        logs = F.log_softmax(logits.transpose(-1, -2), -2)  # (R, classes, B)
        if targets.is_floating_point():
            s = self.smoothing
            soft = targets if s == 0 else (1 - s) * targets + s / logits.shape[-1]
            return -(soft.transpose(-1, -2) * logs).sum(-2).mean(-1)
        chosen = targets.expand(logits.shape[:-1]).unsqueeze(-2)
        kept = None if self.ignore_index is None else chosen.squeeze(-2) != self.ignore_index
        right = -logs.gather(-2, chosen if kept is None else chosen.clamp(min=0)).squeeze(-2)
        if self.smoothing:
            right = (1 - self.smoothing) * right - self.smoothing * logs.mean(-2)
        return right.mean(-1) if kept is None else (right * kept).sum(-1) / kept.sum(-1)

    def gradient(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """See `Loss.gradient`."""
        plain = self.smoothing == 0 and self.ignore_index is None
        if not plain or targets.is_floating_point() or outputs.dim() > 3:
            return by_autograd(self, outputs, targets)
        # The two numbers of which the gradient, softmax minus one-hot, can be made in place.
        logs = F.log_softmax(outputs.transpose(-1, -2), -2)
        chosen = targets.expand(outputs.shape[:-1]).unsqueeze(-2)
        losses = -logs.gather(-2, chosen).squeeze(-2).mean(-1)
        g = logs.clamp_(min=log(LEAST)).exp_()
        g.scatter_add_(-2, chosen, g.new_full((), -1.0).expand(chosen.shape))
        return losses, g.div_(outputs.shape[-2]).transpose(-1, -2)


@spec
class ClippedCrossEntropy(OfClasses):
    """Softmax cross-entropy of probabilities clipped to [ε, 1 − ε], as Keras computes it.

    Where the clip acts there is no gradient: a sample that is predicted wrongly with certainty
    costs −ln ε (16.1 for Keras' ε of 1e-7) and pulls at nothing. Outputs and targets are those of
    `CrossEntropy`.
    """

    eps: float = 1e-7

    def __post_init__(self) -> None:
        """Refuse bounds that leave no probability."""
        if not 0 < self.eps < 0.5:
            raise ValueError(f"eps must be > 0 and < 0.5, not {self.eps}")

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See `Loss`."""
        logits, targets = _rows(outputs, targets)
        p = F.softmax(logits.transpose(-1, -2), -2)  # (R, classes, B)
        if targets.is_floating_point():
            logs = p.clamp(self.eps, 1 - self.eps).log()
            return -(targets.transpose(-1, -2) * logs).sum(-2).mean(-1)
        chosen = targets.expand(logits.shape[:-1]).unsqueeze(-2)
        right = p.gather(-2, chosen).squeeze(-2)
        return -right.clamp(self.eps, 1 - self.eps).log().mean(-1)

    def gradient(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """See `Loss.gradient`."""
        if targets.is_floating_point() or outputs.dim() > 3:
            return by_autograd(self, outputs, targets)
        p = F.softmax(outputs.transpose(-1, -2), -2)
        chosen = targets.expand(outputs.shape[:-1]).unsqueeze(-2)
        right = p.gather(-2, chosen)
        p.clamp_(min=LEAST)
        losses = -right.clamp(self.eps, 1 - self.eps).log().squeeze(-2).mean(-1)
        free = (right >= self.eps) & (right <= 1 - self.eps)
        p.scatter_add_(-2, chosen, p.new_full((), -1.0).expand(chosen.shape)).mul_(free)
        return losses, p.div_(outputs.shape[-2]).transpose(-1, -2)


def _rows(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs (R, B, classes), with all places of sequences in one row, and targets likewise."""
    if outputs.dim() == 3:
        return outputs, targets
    axes = outputs.dim() - 2 if targets.is_floating_point() else outputs.dim() - 1
    flat = outputs.flatten(1, -2)
    if targets.is_floating_point():
        return flat, targets.expand(outputs.shape).flatten(1, -2)
    first = targets.dim() - (axes - 1)
    return flat, targets.flatten(first)


def _check_probabilities(loss: str, outputs: Tensor, targets: Tensor) -> None:
    if targets.shape[1:] != outputs.shape[1:]:
        raise ValueError(
            f"{loss} takes classes, whole numbers of shape {told(outputs, -1)}, or probabilities "
            f"of shape {told(outputs)}; these targets are {told(targets)} of "
            f"{targets.dtype}: for numbers to regress on give loss=MeanSquaredError()"
        )
    sums = targets.sum(-1)
    if bool((targets < 0).any()) or bool((sums - 1).abs().max() > 1e-3):
        raise ValueError(
            f"{loss} takes classes or probabilities, which are ≥ 0 and sum to 1; these targets go "
            f"from {float(targets.min()):.3g} to {float(targets.max()):.3g}, with sums "
            f"up to {float(sums.max()):.3g}. For numbers to regress on give loss=MeanSquaredError()"
        )
