"""What the networks of a group share, and what each of them has of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace

import torch
from torch import Tensor

from initlab.augment import Augment
from initlab.data import Data
from initlab.models import AnyModel
from initlab.reinit import Stages
from initlab.spec import spec
from initlab.tensors import Tensors
from initlab.train.budget import STATISTICS, Budget, Curves, Observer
from initlab.train.loss import CrossEntropy, Loss, Metric
from initlab.train.optim import Optimizer
from initlab.train.schedule import ConstantRate, Schedule

#: θ′ of a network, by name: called with its number and the stage that begins (from 1).
Fresh = Callable[[int, int], Mapping[str, Tensor]]


@spec
class Recipe:
    """What the networks of a group share. A field that is added here is a field of every run."""

    model: AnyModel
    _: KW_ONLY
    data: Data | Tensors | None = None
    budget: Budget | None = None
    loss: Loss = CrossEntropy()
    schedule: Schedule = ConstantRate()
    augment: Augment | None = None
    curves: Curves | None = None
    observer: Observer | None = None
    metrics: tuple[Metric, ...] = ()

    def __post_init__(self) -> None:
        """Refuse statistics that nothing gives."""
        names = [metric.label for metric in self.metrics]
        if len(set(names)) < len(names) or {"loss", "accuracy"} & set(names):
            raise ValueError(
                f"metrics need names of their own, not loss, accuracy or one twice: {names}"
            )
        if self.curves is not None:
            known = {*STATISTICS, *(f"{s}_{n}" for s in ("train", "val", "test") for n in names)}
            if not self.loss.classifies:
                known -= {f"{split}_accuracy" for split in ("train", "val", "test")}
                known.discard("wrong_fitted")
            if unknown := sorted(set(self.curves.statistics) - known):
                raise ValueError(
                    f"curves of {', '.join(unknown)} cannot be had with {self._of()}; known: "
                    f"{', '.join(sorted(known))}"
                )
        if self.budget is not None and not self.loss.classifies and self.budget.by_accuracy:
            raise ValueError(
                f"{self.budget.by_accuracy} is an accuracy, and {self._of()} has none: give a "
                "budget that ends at a loss, or with select='val_loss'"
            )

    def _of(self) -> str:
        return f"the loss {type(self.loss).__name__}"

    def on_gradients(self, step: int, grads: list[Tensor]) -> list[Tensor]:
        """What the optimizer is given in place of the gradients, (R, *shape) each, of a step.

        For a field of a subclass that acts here; the gradients may be overwritten.
        """
        return grads


@dataclass(frozen=True)
class Members:
    """What each network has of its own, one entry for each.

    `orders` are generators, which networks may share; `rates` multiplies the learning rate of the
    parameters that it names; `labels`, (R, N, …), are targets; `noise` seeds what a network draws
    itself; `fresh(r, s)` is the θ′ of network r where stage s begins.
    """

    optimizers: Sequence[Optimizer]
    orders: Sequence[torch.Generator]
    rates: Sequence[Mapping[str, float]]
    labels: Tensor | None = None
    stages: Sequence[Stages] | None = None
    fresh: Fresh | None = None
    noise: Sequence[int] | None = None

    def part(self, rows: range) -> Members:
        """Some of them, with copies of the generators, so that all parts draw the same batches."""
        cut, fresh = slice(rows.start, rows.stop), self.fresh
        copies = {id(g): g.clone_state() for g in self.orders[cut]}
        return replace(
            self,
            optimizers=self.optimizers[cut],
            orders=[copies[id(g)] for g in self.orders[cut]],
            rates=self.rates[cut],
            labels=None if self.labels is None else self.labels[cut],
            stages=None if self.stages is None else self.stages[cut],
            fresh=None if fresh is None else lambda r, stage: fresh(rows.start + r, stage),
            noise=None if self.noise is None else self.noise[cut],
        )
