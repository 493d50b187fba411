"""The steps of one group in training, and who leaves it when."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from math import isfinite

import torch
from torch import Tensor

from initlab.data import DataSet, Split
from initlab.models import Params, products
from initlab.precision import precision
from initlab.reinit import Stages
from initlab.train.batches import Batches
from initlab.train.best import Best
from initlab.train.budget import Outcome
from initlab.train.choose import ensemble
from initlab.train.ensemble import Batch
from initlab.train.evaluate import evaluate, thinned
from initlab.train.fused import FusedMLP
from initlab.train.given import multipliers, sample
from initlab.train.graphs import Replayed
from initlab.train.loss import LossFn, Metric
from initlab.train.optim import Step
from initlab.train.recipe import Members, Recipe
from initlab.train.recorder import Recorder
from initlab.train.staged import Staged
from initlab.tree import Each, Stateful, leaves

#: How far below the goal an accuracy on 500 or more examples must lie for the whole set not to
#: be asked: about four standard errors.
MARGIN = 0.07
#: How many times the goal the loss of one batch must be for the whole set not to be asked.
FAR = 2.0


class Training(Stateful):
    """One group in training; `run` gives the outcomes in the order of the networks.

    Its own state is which run each row is (`alive`), the losses of the last step and, of the epoch,
    their sum, the least sum so far and how many epochs ago that was.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: DataSet,
        params: Params,
        members: Members,
        *,
        precision: str = "float32",
        image: tuple[int, ...] = (),
        truth: Tensor | None = None,
    ) -> None:
        """A group before its first step; images have the shape `image`, whatever the model takes,
        and `truth` are the right classes where the training labels are not all right.
        """
        assert recipe.budget is not None
        self.recipe, self.data, self.budget = recipe, data, recipe.budget
        self.precision = precision
        R, device = len(members.optimizers), data.train.y.device
        self.batches = Batches(
            data.train, self.budget.batch_size, members.orders, recipe.augment, image,
            members.labels,
        )  # fmt: skip
        # A normalization that comes later is hooked into modules.
        hooked = members.stages is not None and members.stages[0].method.normalizes
        self.group = ensemble(
            recipe.model, params, precision=precision, noise=members.noise, hooked=hooked,
            batch=sample(recipe, data, members.labels), loss=recipe.loss,
        )  # fmt: skip
        rates = multipliers(members.rates, params)
        own = [rates.get(name, 1.0) for name in self.group.names]
        same = all(isinstance(rate, float) and rate == 1 for rate in own)
        self.update = Step(members.optimizers, self.group.names, None if same else own)
        self.staged, self.last = None, self.batches.steps * self.budget.epochs
        if members.stages is not None and members.fresh is not None:
            self.staged = self._staged(members.stages, members)
            self.last = self.staged.steps
        ends = self.staged.ends if self.staged else ()
        self.recorder = Recorder(recipe, data, self.group, self.last, ends, truth)
        self.best = Best(recipe, data, R) if self.budget.select else None
        losses, total, waited = torch.zeros(3, R, device=device)
        self.state = {
            "alive": Each(range(R)),
            "losses": losses,
            "total": total,
            "least": torch.full_like(total, torch.inf),
            "waited": waited,
            "optimizer": self.update.begin(self.group.theta),
        }
        self.outcomes: dict[int, Outcome] = {}
        self.factor: tuple[float, Tensor] | None = None
        plain = self.staged is None and type(recipe).on_gradients is Recipe.on_gradients
        labels = data.train.y if members.labels is None else members.labels
        self.fused = (
            plain
            and isinstance(self.group, FusedMLP)
            and self.group.steps(recipe.loss, labels)
            and self.update.is_plain_sgd
        )
        # What a network draws itself comes from seeds that a captured step cannot set.
        capturable = plain and self.group.state.get("noise") is None
        self.replayed = Replayed(self._step) if capturable and device.type == "cuda" else None

    def _staged(self, stages: Sequence[Stages], members: Members) -> Staged:
        assert members.fresh is not None
        return Staged(
            stages, members.fresh, self.recipe.model, self.group, self.budget,
            self.batches.steps, self.recipe.loss,
        )  # fmt: skip

    @property
    def alive(self) -> list[int]:
        """Which run each row is."""
        alive: list[int] = self.state["alive"]
        return alive

    @property
    def losses(self) -> Tensor:
        """Of the last step, (R,)."""
        losses: Tensor = self.state["losses"]
        return losses

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
        self._record(0)
        self._check(0)
        for epoch in range(last // per_epoch):
            if self.alive:
                if self.staged:
                    self.staged.begin(epoch * per_epoch, self.group, self._reset)
                self.batches.shuffle()
                self.state["total"].zero_()
            for i in range(per_epoch):
                if not self.alive:
                    break
                step = epoch * per_epoch + i
                self._train(step, i)
                if self.budget.patience is not None:
                    self.state["total"] += self.losses
                self._record(step + 1)
                if self.best is not None and i + 1 == per_epoch:
                    self.best.look(step + 1, self.group)
                if step + 1 in ends and self.recipe.curves is not None:
                    self._stage_ended(step + 1)
                if step + 1 in check_at:
                    self._check(step + 1)
            if self.budget.patience is not None and self.alive:
                self._wait((epoch + 1) * per_epoch)
        if self.staged:
            self.staged.check_spent(self.outcomes.values())
        return [self.outcomes[r] for r in sorted(self.outcomes)]

    def _train(self, step: int, i: int) -> None:
        """The step after `step` others, on the `i`-th batch of its epoch."""
        along = self.staged.along(step) if self.staged else (step, self.last)
        factor = self.recipe.schedule.factor(*along, self.batches.steps)
        followed = self.recorder.wants_gradients(step + 1)
        if self.replayed is not None and not followed:
            self.state["losses"] = self.replayed(self._on_device(factor), *self._tensors(i))
        elif self.fused and not followed:
            assert isinstance(self.group, FusedMLP)
            times = self.update.neg_lr(self.state["optimizer"], factor, len(self.alive))
            self.state["losses"] = self.group.step(*self._samples(i), times)
        else:
            grads = self._gradients(self.batches.batch(i))
            self.recorder.record_gradients(step + 1, grads)
            self._move(self.recipe.on_gradients(step + 1, grads), factor)

    def _move(self, grads: list[Tensor], factor: float | Tensor) -> None:
        """Let the optimizer take a step."""
        self.update(self.state["optimizer"], self.group.theta, grads, factor)

    def _reset(self) -> None:
        self.update.reset(self.state["optimizer"])

    def _gradients(self, batch: Batch) -> list[Tensor]:
        """Of one batch; its losses are noted."""
        loss: LossFn = self.recipe.loss
        with precision(self.precision, self.losses.device):
            if self.staged:
                batch, loss = self.staged.lesson(batch, self.recipe.loss)
            self.state["losses"], grads = self.group.gradients(batch, loss)
        return grads

    def _tensors(self, i: int) -> tuple[Tensor, ...]:
        """What `_step` is to learn from: samples by number, or inputs and targets."""
        if self.recipe.augment is None:
            return (self.batches.chosen(i),)
        batch = self.batches.batch(i)
        return (*leaves(batch.x), batch.y)

    def _step(self, factor: Tensor, *given: Tensor) -> Tensor:
        """One step on a device, which is captured: the losses."""
        if self.recipe.augment is None:
            batch = self.batches.of(*given)
        else:
            own = self.batches.shared is None
            x, y = given  # what is augmented is one tensor
            batch = Batch(x, y, own, own or self.batches.labels is not None)
        grads = self._gradients(batch)
        self._move(grads, factor)
        return self.losses

    def _samples(self, i: int) -> tuple[Tensor, Tensor | None, Tensor]:
        """A batch for a fused step: all samples and which of them, or the batch itself."""
        if self.recipe.augment is not None:
            batch = self.batches.batch(i)
            assert isinstance(batch.x, Tensor)
            return batch.x, None, batch.y
        chosen, x = self.batches.chosen(i), self.data.train.x
        assert isinstance(x, Tensor)
        return x, chosen, self.batches.targets(chosen)[0]

    def _on_device(self, factor: float) -> Tensor:
        """The factor of the rate as a tensor, made when it changes."""
        if self.factor is None or self.factor[0] != factor:
            self.factor = (
                factor,
                torch.tensor(factor, dtype=torch.float64, device=self.losses.device),
            )
        return self.factor[1]

    def _check(self, step: int) -> None:
        """Remove networks that reached their goal, diverged, or are at the last step."""
        finite = torch.isfinite(self.losses).tolist()
        rows = list(range(len(self.alive)))
        reached = [False] * len(rows)
        for row in self._at_goal([r for r in rows if finite[r]]):
            reached[row] = True
        ended = [r for r in rows if reached[r] or not finite[r] or step == self.last]
        self._end(ended, step, reached)

    def _at_goal(self, asked: list[int]) -> list[int]:
        """Those of some rows that are at the goal of the budget."""
        goal = self.budget.goal
        if goal is None:
            return []
        testing = self.budget.target_test_accuracy is not None
        split = self.data.test if testing else self.data.train
        labels = None if testing else self.batches.labels
        by_loss = self.budget.target_train_loss is not None
        if by_loss:
            # A network whose last batch is far above the goal need not be asked.
            asked = [r for r in asked if self.losses[r] <= FAR * goal]
        # A network far from its goal is told apart on a tenth of a large set.
        elif len(split) >= 5000 and asked:
            few, few_labels = thinned(split, labels)
            a = self._whole(few, asked, few_labels)["accuracy"]
            asked = [r for r, near in zip(asked, a >= goal - MARGIN, strict=True) if near]
        if not asked:
            return []
        found = self._whole(split, asked, labels)
        there = found["loss"] <= goal if by_loss else found["accuracy"] >= goal
        return [row for row, value in zip(asked, there.tolist(), strict=True) if value]

    def _wait(self, step: int) -> None:
        """Remove networks whose loss has stopped falling: in training, or on validation samples."""
        assert self.budget.patience is not None
        if self.best is not None:
            waited: Tensor = self.best.state["waited"]
        else:
            total, least = self.state["total"], self.state["least"]
            better = total < least
            self.state["least"] = torch.where(better, total, least)
            waited = torch.where(better, 0.0, self.state["waited"] + 1)
            self.state["waited"] = waited
        ended = (waited >= self.budget.patience).nonzero().flatten().tolist()
        self._end(ended, step, [False] * len(self.alive))

    def _end(self, rows: Sequence[int], step: int, reached: Sequence[bool]) -> None:
        """Note how the networks in these rows ended, and go on with the others."""
        if not rows:
            return
        of, split = self._judged_on
        metrics = self.recipe.metrics
        ends = self._whole(split, rows, metrics=metrics) if split else {}
        best = {}
        if self.best is not None:
            best = self.best.of(rows, step, self.batches.steps, self.group)
        params = self.group.params() if self.best is None else self.best.params
        if len(rows) < len(self.alive):  # not views: the others go on, and move
            params = {name: t[list(rows)] for name, t in params.items()}
        judged = f"{of}_{'accuracy' if self.recipe.loss.classifies else 'loss'}"
        beside = [f"{of}_{metric.label}" for metric in metrics if split]
        per_epoch = self.batches.steps
        for i, row in enumerate(rows):
            run, loss = self.alive[row], float(self.losses[row])
            labels = self.batches.labels
            self.recorder.see(row, run, step, self.group, labels, last=True)
            told = {f"{of}_{name}": float(values[i]) for name, values in ends.items()}
            self.outcomes[run] = Outcome(
                epochs=(step if reached[row] else self.last) / per_epoch,
                reached=reached[row],
                diverged=not isfinite(loss),
                train_loss=loss,
                steps=step,
                metrics=tuple((name, told[name]) for name in beside),
                best=tuple((name, float(values[i])) for name, values in best.items()),
                curves=tuple(self.recorder.curve[run]),
                seen=tuple(self.recorder.seen[run]),
                params={name: t[i] for name, t in params.items()},
                **({judged: told[judged]} if split else {}),  # type: ignore[arg-type]
            )
        gone = set(rows)
        kept = [row for row in range(len(self.alive)) if row not in gone]
        if not kept:
            self.state["alive"] = Each()
            return
        parts: list[Stateful | None] = [self, self.group, self.batches, self.recorder]
        for part in [*parts, self.staged, self.best]:
            if part is not None:
                part.keep(kept)
        if self.replayed is not None:
            self.replayed.forget()

    def _stage_ended(self, step: int) -> None:
        """Note how good the networks are that a stage ends with."""
        assert self.staged is not None
        rows = range(len(self.alive))
        of, split = self._judged_on
        found: dict[str, Tensor | None] = {}
        train = self._whole(self.data.train, rows, self.batches.labels)
        found["stage_train_accuracy"] = train.get("accuracy")
        if split:
            found[f"stage_{of}_accuracy"] = self._whole(split, rows).get("accuracy")
            found["ensemble_accuracy"] = self.staged.ensemble(self.group, split)
        for name, values in found.items():
            if values is not None:
                self.recorder.add(step, name, values, self.alive)

    def _record(self, step: int) -> None:
        self.recorder.record(step, self.group, self.alive, self.batches.labels)

    @property
    def _judged_on(self) -> tuple[str, Split | None]:
        """On what the end of a run or a stage is judged: the test set, else validation samples."""
        return ("test", self.data.test) if len(self.data.test) else ("val", self.data.val)

    def _whole(
        self,
        split: Split,
        rows: Sequence[int],
        labels: Tensor | None = None,
        metrics: Sequence[Metric] = (),
    ) -> dict[str, Tensor]:
        """What the networks in `rows` are like on a whole set."""
        return evaluate(self.group, split, self.recipe.loss, rows, labels, metrics)
