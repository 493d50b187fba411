"""Training many networks as one: one step moves every network of a group.

The networks of a group share architecture, data, batches and optimizer; they differ in where
they start. A network that has reached its target leaves the group, so that the others get its
time.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor

from initlab.data import DataSet, Split
from initlab.models import Model, Params
from initlab.spec import spec

#: How far below the target an accuracy on 500 or more examples must lie for the whole test set
#: not to be asked: about four standard errors.
MARGIN = 0.07


@spec
class SGD:
    """Plain stochastic gradient descent: θ ← θ − lr ∇L."""

    lr: float = 0.01

    def __post_init__(self) -> None:
        """Refuse rates that are not positive."""
        if not self.lr > 0:
            raise ValueError(f"lr must be > 0, not {self.lr}")


@spec
class Budget:
    """How long to train, and what counts as having started.

    Training ends after `epochs`, or when test accuracy reaches `target`, or when the loss is
    no longer finite. Networks are looked at after every step at first, and then each time that
    the number of steps has grown by `resolution`: a start is located to that relative precision.
    """

    epochs: int = 100
    batch_size: int = 1024
    target: float | None = None
    resolution: float = 0.03

    def __post_init__(self) -> None:
        """Refuse empty budgets and targets that are no accuracies."""
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be ≥ 1, not {getattr(self, name)}")
        if self.target is not None and not 0 < self.target <= 1:
            raise ValueError(f"target is an accuracy in (0, 1], not {self.target}")
        if not self.resolution > 0:
            raise ValueError(f"resolution must be > 0, not {self.resolution}")

    def check_steps(self, last: int) -> set[int]:
        """The steps after which networks are looked at, up to and including `last`.

        >>> sorted(Budget(resolution=0.5).check_steps(20))
        [1, 2, 3, 5, 8, 12, 18, 20]
        """
        steps, step = {last}, 1
        while step < last:
            steps.add(step)
            step = max(step + 1, ceil(step * (1 + self.resolution)))
        return steps


@dataclass(frozen=True)
class Outcome:
    """How one network's training ended.

    `epochs` is where the target was first seen reached, or the budget where it was not
    (`reached` is False: the value is censored). `diverged`: the loss was no longer finite.
    """

    epochs: float
    reached: bool
    diverged: bool
    train_loss: float
    test_accuracy: float

    def rows(self) -> list[tuple[str, float]]:
        """(statistic, value) of each field."""
        return [(name, float(value)) for name, value in vars(self).items()]


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean softmax cross-entropy of each network, (R, B, classes), (B,) → (R,)."""
    R, B, _ = logits.shape
    losses = F.cross_entropy(logits.flatten(0, 1), y.repeat(R), reduction="none")
    return losses.view(R, B).mean(1)


@torch.no_grad()
def accuracy(model: Model, params: Params, split: Split, batch_size: int = 2048) -> Tensor:
    """Share of `split` that each of R networks classifies rightly: (R,)."""
    right = torch.zeros((), device=split.y.device)
    for x, y in zip(split.x.split(batch_size), split.y.split(batch_size), strict=True):
        right = right + (model.forward(params, x).argmax(-1) == y).sum(-1)
    return right / len(split.y)


def fit(
    model: Model,
    params: Params,
    data: DataSet,
    *,
    optimizer: SGD,
    budget: Budget,
    order: torch.Generator,
) -> list[Outcome]:
    """Train R networks from `params`, (R, *shape) each; how each of them ended.

    All networks see the same batches, drawn anew for every epoch by `order`. Inputs are
    flattened when the model takes vectors. An untrained network that is already at the target
    counts as reached at epoch 0.
    """
    data = _shaped(model, data)
    names = list(params)
    theta = [params[n].detach().clone() for n in names]
    alive = list(range(theta[0].shape[0]))  # which run each row of theta is
    outcomes: dict[int, Outcome] = {}
    count = len(data.train.y)
    steps = ceil(count / budget.batch_size)  # of one epoch; the last batch may be smaller
    check_at = budget.check_steps(steps * budget.epochs)
    loss = torch.zeros(len(alive))
    # A network far from the target is told apart on a tenth of a large test set.
    every = 10 if len(data.test.y) >= 5000 else 1
    glance = Split(data.test.x[::every], data.test.y[::every])

    def check(epoch: float, last: bool) -> None:
        nonlocal theta, alive, loss
        finite = torch.isfinite(loss).tolist()
        rows = list(range(len(alive)))
        if budget.target is not None and not last:
            near = accuracy(model, _named(names, theta), glance) >= budget.target - MARGIN
            rows = [r for r in rows if near[r] or not finite[r]]
        if not rows:
            return
        seen = accuracy(model, _named(names, [t[rows] for t in theta]), data.test).tolist()
        for row, a in zip(rows, seen, strict=True):
            reached = finite[row] and budget.target is not None and a >= budget.target
            if reached or last or not finite[row]:
                at = epoch if reached else float(budget.epochs)
                ended = Outcome(at, reached, not finite[row], float(loss[row]), a)
                outcomes[alive[row]] = ended
        kept = [row for row, run in enumerate(alive) if run not in outcomes]
        if len(kept) < len(alive):
            theta = [t[kept] for t in theta]
            alive, loss = [alive[row] for row in kept], loss[kept]

    check(0.0, last=False)
    for epoch in range(budget.epochs):
        shuffled = torch.randperm(count, generator=order).to(data.train.y.device)
        for step, chosen in enumerate(shuffled.split(budget.batch_size), 1):
            if not alive:
                return [outcomes[r] for r in sorted(outcomes)]
            leaves = [t.requires_grad_() for t in theta]
            logits = model.forward(_named(names, leaves), data.train.x[chosen])
            losses = cross_entropy(logits, data.train.y[chosen])
            gradients = torch.autograd.grad(losses.sum(), leaves)
            theta = [t.detach() for t in leaves]
            torch._foreach_add_(theta, gradients, alpha=-optimizer.lr)
            loss = losses.detach()
            if epoch * steps + step in check_at:
                check(epoch + step / steps, last=step == steps and epoch + 1 == budget.epochs)
    return [outcomes[r] for r in sorted(outcomes)]


def _named(names: list[str], tensors: list[Tensor]) -> Params:
    return dict(zip(names, tensors, strict=True))


def _shaped(model: Model, data: DataSet) -> DataSet:
    shape = model.input_shape

    def split(s: Split) -> Split:
        return s if s.x.shape[1:] == shape else Split(s.x.reshape(len(s.x), *shape), s.y)

    if data.features != torch.Size(shape).numel():
        raise ValueError(
            f"{data.name} has inputs of {data.features} numbers, but the model takes {shape}"
        )
    if model.outputs != data.classes:
        raise ValueError(
            f"{data.name} has {data.classes} classes, but the model has {model.outputs} outputs"
        )
    return DataSet(data.name, split(data.train), split(data.test), data.classes)
