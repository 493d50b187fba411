"""Losses and metrics that are functions of a user's, and a loss against a teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from initlab.imported import Imported
from initlab.spec import spec
from initlab.train.loss.contract import Loss, by_autograd


@spec
class FunctionLoss(Imported, Loss):
    """Any function of the outputs and the targets of one network, (B, …) each, that gives a number.

    `FunctionLoss.of(function)` makes one. The function is to be a mean over the batch, so that the
    loss over a whole set is the mean of those of its batches.
    """

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """See `Loss`; targets are (R, B, …), or (1, B, …) for all networks alike."""
        function = self.itself
        rows = []
        for r, out in enumerate(outputs):
            value = function(out, targets[r if len(targets) > 1 else 0])
            if not isinstance(value, Tensor) or value.dim():
                raise ValueError(
                    f"{self.label} must give one number for a batch, a tensor without axes, not "
                    f"{tuple(value.shape) if isinstance(value, Tensor) else value!r}"
                )
            rows.append(value)
        return torch.stack(rows)


@spec
class Metric(Imported):
    """A number to follow beside the loss: a function of all outputs and targets of a set.

    `Metric.of(function)` makes one. The function gets those of one network, (N, …) each, and gives
    a number. Statistics of curves are called `test_NAME`, with the function's name.
    """

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The number of each network: (R, N, …) and (R or 1, N, …) → (R,).

        Raises:
            ValueError: If the function gives no number.
        """
        values = []
        for r, out in enumerate(outputs):
            value = self.itself(out, targets[r if len(targets) > 1 else 0])
            try:
                values.append(float(value))
            except (TypeError, ValueError) as error:
                raise ValueError(f"{self.label} must give one number, not {value!r:.80}") from error
        return outputs.new_tensor(values, dtype=torch.float64)


@dataclass(frozen=True)
class DistillationLoss:
    """A loss against a teacher's probabilities plus `weight` times one against the labels.

    Targets are both side by side, (R, B, 2 · classes): the probabilities, then the labels.
    """

    teacher: Loss
    labels: Loss
    weight: float

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each of R networks, (R, B, classes) → (R,)."""
        taught, labels = targets.split(outputs.shape[-1], -1)
        return self.teacher(outputs, taught) + self.weight * self.labels(outputs, labels)

    def gradient(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The losses, and their gradient by the outputs: (R,), (R, B, classes)."""
        return by_autograd(self, outputs, targets)


#: What a step may learn by.
LossFn: TypeAlias = Loss | DistillationLoss
