"""The steps of one group in training, and who leaves it when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from math import isfinite

import torch
from torch import Tensor

from initlab.augment import Augment
from initlab.data import DataSet, Split
from initlab.models import Model, Params, products
from initlab.precision import precision
from initlab.reinit import Stages
from initlab.train.batches import Batches
from initlab.train.budget import Budget, Curves, Outcome, Watch
from initlab.train.dense import Dense
from initlab.train.evaluate import evaluate, grouped, tenth
from initlab.train.graphs import Replayed
from initlab.train.group import Rows
from initlab.train.loss import Lesson, Loss
from initlab.train.notes import Notes
from initlab.train.optim import Optimizer, Step
from initlab.train.schedule import Schedule
from initlab.train.staged import Fresh, Staged
from initlab.tree import take

#: How far below the goal an accuracy on 500 or more examples must lie for the whole set not to
#: be asked: about four standard errors.
MARGIN = 0.07
#: How many times the goal the loss of one batch must be for the whole set not to be asked.
FAR = 2.0


class Training:
    """One group in training; `run` gives the outcomes in the order of the networks."""

    def __init__(
        self,
        model: Model,
        params: Params,
        data: DataSet,
        optimizers: Sequence[Optimizer],
        budget: Budget,
        orders: Sequence[torch.Generator],
        loss: Loss,
        schedule: Schedule,
        augment: Augment | None,
        curves: Curves | None,
        watch: Watch | None,
        precision: str,
        rates: Mapping[str, float | Tensor],
        stages: Sequence[Stages] | None,
        fresh: Fresh | None,
        image: tuple[int, ...],
        truth: Tensor | None,
    ) -> None:
        """What `fit` takes, of one part of its networks; images have the shape `image`, whatever
        the model takes.
        """
        self.data, self.budget, self.loss, self.schedule = data, budget, loss, schedule
        self.precision = precision
        # A normalization that comes later is hooked into modules.
        hooked = stages is not None and stages[0].method.normalizes
        self.group = Rows(model, params) if hooked else grouped(model, params, precision)
        own = [rates.get(name, 1.0) for name in self.group.names]
        same = all(isinstance(rate, float) and rate == 1 for rate in own)
        self.update = Step(optimizers, self.group.names, None if same else own)
        self.state = self.update.begin(self.group.theta)
        self.batches = Batches(data.train, budget.batch_size, orders, augment, image)
        R, per_epoch = len(optimizers), self.batches.steps
        self.staged, self.last = None, per_epoch * budget.epochs
        if stages is not None and fresh is not None:
            self.staged = Staged(stages, fresh, model, self.group, budget, per_epoch, loss)
            self.last = self.staged.steps
        self.alive = list(range(R))  # which run each row is
        self.losses, self.total, self.waited = torch.zeros(3, R, device=data.train.x.device)
        self.best = torch.full_like(self.total, torch.inf)
        self.outcomes: dict[int, Outcome] = {}
        ends = self.staged.ends if self.staged else ()
        self.notes = Notes(curves, watch, self.group, self.last, ends, truth)
        self.factor: tuple[float, Tensor] | None = None
        self.descends = (
            self.staged is None
            and isinstance(self.group, Dense)
            and self.group.steps(loss, data.train.y)
            and self.update.descends
        )
        self.replayed = None
        if self.staged is None and self.losses.device.type == "cuda":
            self.replayed = Replayed(self._step)

    def run(self) -> list[Outcome]:
        """Train until every network has ended."""
        # Steps are computed in the precision that is asked for, and all else in float32.
        # The fast products are in float32 alone.
        fast = nullcontext() if self.precision == "bf16" else products.fast()
        try:
            with fast, precision("float32", self.losses.device):
                return self._run()
        finally:
            if self.replayed is not None:
                self.replayed.forget()

    def _run(self) -> list[Outcome]:
        per_epoch, last = self.batches.steps, self.last
        ends = set(self.staged.ends) if self.staged else set()
        check_at = self.budget.check_steps(last) | ends
        self._look(0)
        self._check(0, per_epoch, last)
        for epoch in range(last // per_epoch):
            if self.alive:
                if self.staged:
                    self.staged.begin(epoch * per_epoch, self.group, self._reset)
                self.batches.shuffle()
                self.total.zero_()
            for i in range(per_epoch):
                if not self.alive:
                    break
                step = epoch * per_epoch + i
                along = self.staged.along(step) if self.staged else (step, last)
                factor = self.schedule.factor(*along, per_epoch)
                pulls = self.notes.pulls_at(step + 1)
                if self.replayed is not None and not pulls:
                    self.losses = self.replayed(self._on_device(factor), *self._batch(i))
                elif isinstance(self.group, Dense) and self.descends and not pulls:
                    times = self.update.times(self.state, factor, len(self.alive))
                    self.losses = self.group.step(*self._samples(i), times)
                else:
                    grads = self._gradients(*self.batches.batch(i))
                    self.notes.pull(step + 1, grads)
                    self.update(self.state, self.group.theta, grads, factor)
                if self.budget.patience is not None:
                    self.total += self.losses
                self._look(step + 1)
                if step + 1 in ends and self.notes.curves is not None:
                    self._stage_ended(step + 1)
                if step + 1 in check_at:
                    self._check(step + 1, per_epoch, last)
            if self.budget.patience is not None and self.alive:
                self._wait((epoch + 1) * per_epoch, per_epoch)
        if self.staged:
            self.staged.check_spent(self.outcomes.values())
        return [self.outcomes[r] for r in sorted(self.outcomes)]

    def _gradients(self, x: Tensor, y: Tensor) -> list[Tensor]:
        """Of one batch; its losses are noted."""
        loss: Lesson = self.loss
        with precision(self.precision, self.losses.device):
            if self.staged:
                y, loss = self.staged.lesson(x, y, self.loss)
            self.losses, grads = self.group.gradients(x, y, loss)
        return grads

    def _batch(self, i: int) -> tuple[Tensor, ...]:
        """What `_step` is to learn from: samples by number, or inputs and targets."""
        if self.batches.augment is None:
            return (self.batches.chosen(i),)
        return self.batches.batch(i)

    def _samples(self, i: int) -> tuple[Tensor, Tensor | None, Tensor]:
        """What a compiled step is to learn from: samples, those of them chosen, and targets."""
        if self.batches.augment is not None:
            x, y = self.batches.batch(i)
            return x, None, y
        chosen = self.batches.chosen(i)
        return self.batches.train.x, chosen, self.batches.targets(chosen)

    def _step(self, factor: Tensor, *batch: Tensor) -> Tensor:
        """One step on the device alone, which can be captured; its losses."""
        x, y = self.batches.of(*batch) if len(batch) == 1 else batch
        grads = self._gradients(x, y)
        self.update(self.state, self.group.theta, grads, factor)
        return self.losses

    def _reset(self) -> None:
        self.update.reset(self.state)

    def _on_device(self, factor: float) -> Tensor:
        """A factor on the rate where a captured step can read it."""
        if self.factor is None or self.factor[0] != factor:
            device = self.losses.device
            self.factor = factor, torch.full((), factor, dtype=torch.float64, device=device)
        return self.factor[1]

    def _check(self, step: int, per_epoch: int, last: int) -> None:
        """Let networks go that are at their goal, have diverged, or are at the last step."""
        finite = torch.isfinite(self.losses).tolist()
        goal, rows = self.budget.goal, list(range(len(self.alive)))
        reached = [False] * len(rows)
        if goal is not None:
            asked = [r for r in rows if finite[r]]
            split = self.data.test if self.budget.target is not None else self.batches.train
            if self.budget.loss is not None:
                # A network whose last batch is far above the goal need not be asked.
                asked = [r for r in asked if self.losses[r] <= FAR * goal]
            # A network far from its goal is told apart on a tenth of a large set.
            elif len(split.x) >= 5000 and asked:
                a = self._whole(tenth(split), asked)[1]
                asked = [r for r, near in zip(asked, a >= goal - MARGIN, strict=True) if near]
            if asked:
                losses, a = self._whole(split, asked)
                there = a >= goal if self.budget.loss is None else losses <= goal
                for row, value in zip(asked, there.tolist(), strict=True):
                    reached[row] = value
        ended = [r for r in rows if reached[r] or not finite[r] or step == last]
        self._end(ended, step, per_epoch, reached)

    def _wait(self, step: int, per_epoch: int) -> None:
        """Let networks go whose training loss has stopped falling."""
        better = self.total < self.best
        self.best = torch.where(better, self.total, self.best)
        self.waited = torch.where(better, torch.zeros_like(self.waited), self.waited + 1)
        assert self.budget.patience is not None
        ended = (self.waited >= self.budget.patience).nonzero().flatten().tolist()
        self._end(ended, step, per_epoch, [False] * len(self.alive))

    def _end(self, rows: Sequence[int], step: int, per_epoch: int, reached: Sequence[bool]) -> None:
        if not rows:
            return
        of, split = self._judged_on
        seen = self._whole(split, rows)[1].tolist() if split else [None] * len(rows)
        params = self.group.params()
        if len(rows) < len(self.alive):  # not views: the others go on, and move
            params = {name: t[list(rows)] for name, t in params.items()}
        for i, (row, accuracy) in enumerate(zip(rows, seen, strict=True)):
            run, loss = self.alive[row], float(self.losses[row])
            self.notes.see(row, run, step, self.group, self._data, last=True)
            self.outcomes[run] = Outcome(
                epochs=(step if reached[row] else self.last) / per_epoch,
                reached=reached[row],
                diverged=not isfinite(loss),
                train_loss=loss,
                test_accuracy=accuracy if of == "test" else None,
                val_accuracy=accuracy if of == "val" else None,
                steps=step,
                curves=tuple(self.notes.curve[run]),
                seen=tuple(self.notes.seen[run]),
                params={name: t[i] for name, t in params.items()},
            )
        kept = [row for row in range(len(self.alive)) if row not in set(rows)]
        if not kept:
            self.alive = []
            return
        self.group.keep(kept)
        self.state = take(self.state, kept)
        self.batches.keep(kept)
        if self.staged:
            self.staged.keep(kept)
        self.notes.keep(kept)
        if self.replayed is not None:
            self.replayed.forget()
        self.losses, self.total = self.losses[kept], self.total[kept]
        self.best, self.waited = self.best[kept], self.waited[kept]
        self.alive = [self.alive[row] for row in kept]

    def _stage_ended(self, step: int) -> None:
        """Note how good the networks are that a stage ends with."""
        assert self.staged is not None
        rows = range(len(self.alive))
        of, split = self._judged_on
        found: dict[str, Tensor | None] = {}
        found["stage_train_accuracy"] = self._whole(self.batches.train, rows)[1]
        if split:
            found[f"stage_{of}_accuracy"] = self._whole(split, rows)[1]
            found["ensemble_accuracy"] = self.staged.ensemble(self.group, split)
        for name, values in found.items():
            if values is not None:
                self.notes.add(step, name, values, self.alive)

    def _look(self, step: int) -> None:
        self.notes.look(step, self.group, self.alive, self._data, self.loss)

    @property
    def _judged_on(self) -> tuple[str, Split | None]:
        """On what the end of a run or a stage is judged: the test set, else validation samples."""
        return ("test", self.data.test) if len(self.data.test.y) else ("val", self.data.val)

    @property
    def _data(self) -> DataSet:
        """The sets, with the training labels of the runs that are alive."""
        return replace(self.data, train=self.batches.train)

    def _whole(self, split: Split, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Loss and accuracy of the networks in `rows` on a whole set."""
        return evaluate(self.group, split, self.loss, rows)
