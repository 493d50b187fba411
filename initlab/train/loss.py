"""Losses of many networks at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import ClassVar, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from initlab.imported import Imported
from initlab.spec import spec

#: The least probability in a gradient. Arithmetic with numbers that float32 can hardly hold takes
#: several times as long, and confident networks are full of them. A step gains or loses its last
#: digit by this at most, and that is rare: the first of a difference was seen after 14,000 steps.
LEAST = 1e-30


@spec
class Loss:
    """What training makes small: the mean over a batch, of each of R networks.

    Outputs are (R, B, …). Targets are (B, …) for all networks alike, or (R, B, …). Everything that
    differs from loss to loss is here: a new one is a class of its own and nothing else.
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
                f"classes for outputs {_shape(outputs)} must have shape {_shape(outputs, -1)}, one "
                f"for each place, not {_shape(targets)}"
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
            f"{loss} takes classes, whole numbers of shape {_shape(outputs, -1)}, or probabilities "
            f"of shape {_shape(outputs)}; these targets are {_shape(targets)} of "
            f"{targets.dtype}: for numbers to regress on give loss=MeanSquaredError()"
        )
    sums = targets.sum(-1)
    if bool((targets < 0).any()) or bool((sums - 1).abs().max() > 1e-3):
        raise ValueError(
            f"{loss} takes classes or probabilities, which are ≥ 0 and sum to 1; these targets go "
            f"from {float(targets.min()):.3g} to {float(targets.max()):.3g}, with sums "
            f"up to {float(sums.max()):.3g}. For numbers to regress on give loss=MeanSquaredError()"
        )


def _shape(t: Tensor, less: int | None = None) -> str:
    """A shape with the samples as B."""
    return f"({', '.join(['B', *map(str, t.shape[1:less])])})"


def by_autograd(
    loss: Callable[[Tensor, Tensor], Tensor], outputs: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """The losses of any loss, and their gradient by the outputs: (R,), and their shape."""
    with torch.enable_grad():
        leaf = outputs.detach().requires_grad_()
        losses = loss(leaf, targets)
        (g,) = torch.autograd.grad(losses.sum(), leaf)
    return losses.detach(), g


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
                f"{type(self).__name__} takes one number for each output, {_shape(outputs)}, but "
                f"the targets are {_shape(targets)}"
            )
        if not targets.is_floating_point():
            self.check_whole(targets)

    def check_whole(self, targets: Tensor) -> None:
        """Refuse whole numbers, which are taken for classes elsewhere."""
        raise ValueError(
            f"{type(self).__name__} takes numbers, and these targets are {targets.dtype}: give "
            "targets.float() to regress on them, or loss=CrossEntropy() if they are classes"
        )


def _numbers(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Both as (R, B, …): a last axis of one output, which the targets do not have, is left away."""
    axes = outputs.dim()
    if outputs.shape[-1] == 1 and targets.shape[-1] != 1:
        outputs, axes = outputs.squeeze(-1), axes - 1
    if targets.dim() == axes - 1:
        targets = targets.unsqueeze(0)
    return outputs, targets


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
