"""Losses on numbers."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from initlab.spec import spec
from initlab.train.loss.contract import Loss, told


@spec
class OfNumbers(Loss):
    """Base of the losses on numbers: the mean of a term for each of them."""

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The term of each number."""
        raise NotImplementedError

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See `Loss`."""
        outputs, targets = _numbers(outputs, targets)
        return self.each(outputs, targets.to(outputs.dtype)).flatten(1).mean(1)

    def terms(self, outputs: Tensor, targets: Tensor) -> Tensor | int:
        """See `Loss.terms`."""
        return outputs.shape[1:].numel()

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """See `Loss.check`."""
        shape, known = targets.shape[1:], outputs.shape[1:]
        if shape != known and (*shape, 1) != tuple(known):
            raise ValueError(
                f"{type(self).__name__} takes one number for each output, {told(outputs)}, but "
                f"the targets are {told(targets)}"
            )
        if not targets.is_floating_point():
            self.check_whole(targets)

    def check_whole(self, targets: Tensor) -> None:
        """Refuse whole numbers, which are taken for classes elsewhere."""
        raise ValueError(
            f"{type(self).__name__} takes numbers, and these targets are {targets.dtype}: give "
            "targets.float() to regress on them, or loss=CrossEntropy() if they are classes"
        )


@spec
class MeanSquaredError(OfNumbers):
    """(output − target)², averaged over all numbers of the batch, as `torch.nn.MSELoss`."""

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See `OfNumbers.each`."""
        return (outputs - targets).square()


@spec
class Huber(OfNumbers):
    """Squared within `delta` of the target and linear beyond, as `torch.nn.HuberLoss`."""

    delta: float = 1.0

    def __post_init__(self) -> None:
        """Refuse widths that are not positive."""
        if not self.delta > 0:
            raise ValueError(f"delta must be > 0, not {self.delta}")

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See `OfNumbers.each`."""
        away = (outputs - targets).abs()
        inside = away.clamp(max=self.delta)
        return inside * (away - 0.5 * inside)


@spec
class BinaryCrossEntropy(OfNumbers):
    """Cross-entropy of a logit each against 0, 1 or a probability, as `BCEWithLogitsLoss`."""

    classifies: ClassVar[bool] = True

    def each(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See `OfNumbers.each`."""
        return outputs.clamp(min=0) - outputs * targets + torch.log1p((-outputs.abs()).exp())

    def right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See `Loss.right`."""
        outputs, targets = _numbers(outputs, targets)
        return ((outputs > 0) == (targets > 0.5)).flatten(1).float().mean(1)

    def check(self, outputs: Tensor, targets: Tensor) -> None:
        """See `Loss.check`."""
        super().check(outputs, targets)
        low, high = float(targets.min()), float(targets.max())
        if low < 0 or high > 1:
            raise ValueError(
                f"BinaryCrossEntropy takes targets from 0 to 1; these go from {low:.3g} to "
                f"{high:.3g}. For classes give loss=CrossEntropy(), for numbers MeanSquaredError()"
            )

    def check_whole(self, targets: Tensor) -> None:
        """Zeros and ones may be whole numbers."""


def _numbers(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Both with the same axes: a last axis of one output, which the targets do not have, is left
    away.
    """
    if targets.dim() == outputs.dim() - 1 and outputs.shape[-1] == 1:
        outputs = outputs.squeeze(-1)
    return outputs, targets
