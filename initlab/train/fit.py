"""Training many networks as one: one step moves every network of a group.

The networks of a group share architecture, data, batch size and kind of optimizer. They may
differ in where they start, in every number of the optimizer, in their labels and in the order
of their batches. A network that has reached its end leaves the group, so that the others get
its time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite

import torch
from torch import Tensor

from initlab.augment import Augment
from initlab.data import DataSet, Split
from initlab.models import MLP, Model, ModuleModel, Params, products
from initlab.reinit import Stages
from initlab.reinit.normalize import normalized
from initlab.threads import in_threads
from initlab.train.batches import Batches, per_network
from initlab.train.budget import Budget, Curves, Outcome, Watch, spaced
from initlab.train.dense import Dense
from initlab.train.given import each, factors, relabelled, shaped
from initlab.train.group import EVALUATED, Rows, Stacked
from initlab.train.loss import CrossEntropy, Lesson, Loss
from initlab.train.memory import networks_at_once
from initlab.train.optim import Optimizer, Step
from initlab.train.schedule import ConstantRate, Schedule
from initlab.train.staged import Fresh, Staged, check_stages

#: How far below the goal an accuracy on 500 or more examples must lie for the whole set not to
#: be asked: about four standard errors.
MARGIN = 0.07
#: How many times the goal the loss of one batch must be for the whole set not to be asked.
FAR = 2.0
PRECISIONS = ("float32", "tf32", "bf16")


def fit(
    model: Model,
    params: Params,
    data: DataSet,
    *,
    optimizer: Optimizer | Sequence[Optimizer],
    budget: Budget,
    order: torch.Generator | Sequence[torch.Generator],
    loss: Loss | None = None,
    schedule: Schedule | None = None,
    targets: Tensor | None = None,
    augment: Augment | None = None,
    curves: Curves | None = None,
    watch: Watch | None = None,
    precision: str = "float32",
    rates: Mapping[str, float] | Sequence[Mapping[str, float]] | None = None,
    stages: Stages | Sequence[Stages] | None = None,
    fresh: Fresh | None = None,
) -> list[Outcome]:
    """Train R networks from `params`, (R, *shape) each; how each of them ended.

    `optimizer` and `order` are one for all networks, or one for each; networks whose order is
    the same generator see the same batches, drawn anew for every epoch. `targets` replaces the
    training classes: (N,) or (R, N) classes, or soft targets (N, classes) or (R, N, classes).
    Inputs are flattened when the model takes vectors. `precision` is "float32", "tf32" (only
    changes products on CUDA) or "bf16" (autocast). `rates` multiplies the learning rate of the
    parameters that it names, as `torch.optim`'s parameter groups do, for all networks alike or with
    one mapping for each; the others keep theirs. The group is cut into parts that are fast to
    train at once; on the CPU they are shared out among torch's threads. The generators are copied,
    not moved on.

    With `stages`, one for all or one for each network with a method of its own, networks are
    re-initialized on the way: `fresh(r, s)` is the θ′ of network r where stage s (from 1) begins,
    by name, such as `stages.method.draw(module, rule, generator)`. Curves then have, at the end of
    every stage, `stage_train_accuracy`, `stage_test_accuracy` and, with a teacher, the
    `ensemble_accuracy` of the mean probabilities of all students so far (the first stage is their
    teacher and none of them). The loss of a run that is taught is that against its teacher.

    An untrained network that is already at its goal counts as reached at epoch 0.

    Raises `ValueError` when model, data, targets and numbers of networks do not fit together.
    """
    data = shaped(model, data)
    R = next(iter(params.values())).shape[0]
    optimizers, orders = each("optimizer", optimizer, R), each("order", order, R)
    multipliers = factors(each("rates", rates or {}, R), params)
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    if targets is not None:
        data = relabelled(data, targets, R)
    staged = None if stages is None else each("stages", stages, R)
    if staged is not None:
        check_stages(staged, budget)
        if fresh is None:
            raise ValueError("stages draw parameters anew: give fresh=…, see fit")

    def part(rows: range) -> list[Outcome]:
        cut = slice(rows.start, rows.stop)
        # Each part has copies of its generators, so that all parts draw the same batches.
        generators = {id(g): g.clone_state() for g in orders[cut]}
        y = data.train.y[cut] if per_network(data.train.y) else data.train.y
        return _Training(
            model,
            {name: p[cut] for name, p in params.items()},
            DataSet(data.name, Split(data.train.x, y), data.test, data.classes),
            optimizers[cut],
            budget,
            [generators[id(g)] for g in orders[cut]],
            loss or CrossEntropy(),
            schedule or ConstantRate(),
            augment,
            curves,
            watch,
            precision,
            {name: f if isinstance(f, float) else f[cut] for name, f in multipliers.items()},
            None if staged is None else staged[cut],
            None if fresh is None else lambda r, stage: fresh(rows.start + r, stage),
        ).run()

    cpu = data.train.x.device.type == "cpu"
    threads = torch.get_num_threads() if cpu else 1
    size = networks_at_once(model, budget.batch_size, optimizers[0], str(data.train.x.device))
    parts = max(-(-R // size), min(threads, R))
    cuts = [range(i * R // parts, (i + 1) * R // parts) for i in range(parts)]
    if not cpu:
        return [outcome for cut in cuts for outcome in part(cut)]
    with products.one_blas_thread():
        return [outcome for outcomes in in_threads(part, cuts) for outcome in outcomes]


class _Training:
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
    ) -> None:
        self.data, self.budget, self.loss, self.schedule = data, budget, loss, schedule
        self.curves, self.watch, self.precision = curves, watch, precision
        # A normalization that comes later is hooked into modules.
        hooked = stages is not None and stages[0].method.normalizes
        self.group = Rows(model, params) if hooked else group(model, params)
        own = [rates.get(name, 1.0) for name in self.group.names] if rates else None
        self.update = Step(optimizers, self.group.theta, own)
        self.batches = Batches(data.train, budget.batch_size, orders, augment)
        R, per_epoch = len(optimizers), self.batches.steps
        self.staged, self.last = None, per_epoch * budget.epochs
        if stages is not None and fresh is not None:
            self.staged = Staged(stages, fresh, model, self.group, budget, per_epoch, loss)
            self.last = self.staged.steps
        self.alive = list(range(R))  # which run each row is
        self.losses, self.total, self.waited = torch.zeros(3, R, device=data.train.x.device)
        self.best = torch.full_like(self.total, torch.inf)
        self.outcomes: dict[int, Outcome] = {}
        self.curve: dict[int, list[tuple[int, str, float]]] = {r: [] for r in self.alive}
        followed = curves.statistics if curves is not None else ()
        distance = "distance" in followed
        # Lengths of the last gradients, where they are followed: the gradients do not last.
        self.pulls = torch.zeros_like(self.total) if "grad_norm" in followed else None
        self.seen: dict[int, list[tuple[int, int, str, float]]] = {r: [] for r in self.alive}
        self.start = [t.clone() for t in self.group.theta] if distance or watch else []

    def run(self) -> list[Outcome]:
        """Train until every network has ended."""
        with products.fast():
            return self._run()

    def _run(self) -> list[Outcome]:
        per_epoch, last = self.batches.steps, self.last
        ends = set(self.staged.ends) if self.staged else set()
        check_at = self.budget.check_steps(last) | ends
        look_at = self.curves.steps(last) | ends if self.curves else set()
        watch_at = {0} | spaced(last - 1, self.watch.resolution) | ends if self.watch else set()
        self._look(0, look_at)
        self._watch(0, watch_at)
        self._check(0, per_epoch, last)
        for epoch in range(last // per_epoch):
            if self.alive:
                if self.staged:
                    self.staged.begin(epoch * per_epoch, self.group, self.update)
                self.batches.shuffle()
                self.total.zero_()
            for i in range(per_epoch):
                if not self.alive:
                    break
                step = epoch * per_epoch + i
                with _precision(self.precision, self.losses.device):
                    x, y = self.batches.batch(i)
                    loss: Lesson = self.loss
                    if self.staged:
                        y, loss = self.staged.lesson(x, y, self.loss)
                    self.losses, grads = self.group.gradients(x, y, loss)
                if self.pulls is not None and step + 1 in look_at:
                    self.pulls = _lengths(grads)
                along = self.staged.along(step) if self.staged else (step, last)
                self.update(self.group.theta, grads, self.schedule.factor(*along, per_epoch))
                if self.budget.patience is not None:
                    self.total += self.losses
                self._look(step + 1, look_at)
                self._watch(step + 1, watch_at)
                if step + 1 in ends:
                    self._stage_ended(step + 1)
                if step + 1 in check_at:
                    self._check(step + 1, per_epoch, last)
            if self.budget.patience is not None and self.alive:
                self._wait((epoch + 1) * per_epoch, per_epoch)
        if self.staged:
            self.staged.check_spent(self.outcomes.values())
        return [self.outcomes[r] for r in sorted(self.outcomes)]

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
                a = self._whole(_tenth(split), asked)[1]
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
        seen = self._whole(self.data.test, rows)[1].tolist()
        params = self.group.params()
        if len(rows) < len(self.alive):  # not views: the others go on, and move
            params = {name: t[list(rows)] for name, t in params.items()}
        for i, (row, accuracy) in enumerate(zip(rows, seen, strict=True)):
            run, loss = self.alive[row], float(self.losses[row])
            self._see(row, step, last=True)
            self.outcomes[run] = Outcome(
                epochs=(step if reached[row] else self.last) / per_epoch,
                reached=reached[row],
                diverged=not isfinite(loss),
                train_loss=loss,
                test_accuracy=accuracy,
                steps=step,
                curves=tuple(self.curve[run]),
                seen=tuple(self.seen[run]),
                params={name: t[i] for name, t in params.items()},
            )
        kept = [row for row in range(len(self.alive)) if row not in set(rows)]
        if not kept:
            self.alive = []
            return
        self.group.keep(kept)
        self.update.keep(kept)
        self.batches.keep(kept)
        if self.staged:
            self.staged.keep(kept)
        self.start = [t[kept] for t in self.start]
        self.losses, self.total = self.losses[kept], self.total[kept]
        self.best, self.waited = self.best[kept], self.waited[kept]
        self.alive = [self.alive[row] for row in kept]

    def _whole(self, split: Split, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Loss and accuracy of the networks in `rows` on a whole set."""
        chosen = None if len(rows) == len(self.alive) else list(rows)
        y = split.y[list(rows)] if per_network(split.y) else split.y.unsqueeze(0)
        loss = right = torch.zeros(len(rows), device=split.x.device)
        for at in range(0, len(split.x), EVALUATED):
            x, targets = split.x[at : at + EVALUATED], y[:, at : at + EVALUATED]
            logits = self.group.predict(x, chosen)
            loss = loss + self.loss(logits, targets) * len(x)
            classes = targets.argmax(-1) if targets.is_floating_point() else targets
            right = right + (logits.argmax(-1) == classes).sum(-1)
        return loss / len(split.x), right / len(split.x)

    def _stage_ended(self, step: int) -> None:
        """Note how good the networks are that a stage ends with."""
        assert self.staged is not None
        rows = range(len(self.alive))
        found = {
            "stage_train_accuracy": self._whole(self.batches.train, rows)[1],
            "stage_test_accuracy": self._whole(self.data.test, rows)[1],
            "ensemble_accuracy": self.staged.ensemble(self.group, self.data.test),
        }
        for name, values in found.items():
            if values is not None:
                for run, value in zip(self.alive, values.tolist(), strict=True):
                    self.curve[run].append((step, name, value))

    def _look(self, step: int, at: set[int]) -> None:
        """Note the statistics that are followed."""
        if step not in at or self.curves is None:
            return
        wanted, found = self.curves.statistics, {}
        rows = range(len(self.alive))
        for name, split in (("train", self.batches.train), ("test", self.data.test)):
            if f"{name}_loss" in wanted or f"{name}_accuracy" in wanted:
                found[f"{name}_loss"], found[f"{name}_accuracy"] = self._whole(split, rows)
        if "norm" in wanted:
            found["norm"] = _lengths(self.group.theta)
        if "distance" in wanted:
            moved = [t - s for t, s in zip(self.group.theta, self.start, strict=True)]
            found["distance"] = _lengths(moved)
        if self.pulls is not None and step > 0:
            found["grad_norm"] = self.pulls
        for name in (n for n in wanted if n in found):
            for run, value in zip(self.alive, found[name].tolist(), strict=True):
                self.curve[run].append((step, name, value))

    def _watch(self, step: int, at: set[int]) -> None:
        if step in at:
            for row in range(len(self.alive)):
                self._see(row, step, last=False)

    def _see(self, row: int, step: int, last: bool) -> None:
        """Show one network to whoever watches; its end takes the place of a look at that step."""
        if self.watch is None:
            return
        start, now = (
            {name: t[row] for name, t in zip(self.group.names, tensors, strict=True)}
            for tensors in (self.start, self.group.theta)
        )
        run = self.alive[row]
        before = [seen for seen in self.seen[run] if not last or seen[1] != step]
        rows = self.watch.see(start, now, last)
        self.seen[run] = [*before, *((layer, step, name, v) for layer, name, v in rows)]


def group(model: Model, params: Params) -> Stacked | Rows:
    """The networks in the form that was measured to be the fastest for such a model."""
    if isinstance(model, ModuleModel) or normalized(params):
        return Rows(model, params)
    if isinstance(model, MLP) and Dense.takes(model, params):
        return Dense(model, params)
    return Stacked(model, params)


@torch.no_grad()
def accuracy(model: Model, params: Params, split: Split) -> Tensor:
    """Share of `split` that each of R networks classifies rightly: (R,)."""
    networks = group(model, params)
    right = torch.zeros((), device=split.y.device)
    for x, y in zip(split.x.split(EVALUATED), split.y.split(EVALUATED), strict=True):
        right = right + (networks.predict(x).argmax(-1) == y).sum(-1)
    return right / len(split.y)


def _tenth(split: Split) -> Split:
    y = split.y[:, ::10] if per_network(split.y) else split.y[::10]
    return Split(split.x[::10], y)


def _lengths(tensors: Sequence[Tensor]) -> Tensor:
    """Euclidean length of each network's tensors together: (R, *shape) each → (R,)."""
    return torch.stack([t.flatten(1).double().square().sum(1) for t in tensors]).sum(0).sqrt()


@contextmanager
def _precision(name: str, device: torch.device) -> Iterator[None]:
    if name == "bf16":
        with torch.autocast(device.type, torch.bfloat16):
            yield
        return
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    tf32 = name == "tf32"
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        if device.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
