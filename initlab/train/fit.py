"""Training many networks as one: one step moves every network of a group.

The networks of a group share architecture, data, batch size and kind of optimizer. They may
differ in where they start, in every number of the optimizer, in their labels and in the order
of their batches. A network that has reached its end leaves the group, so that the others get
its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from initlab.augment import Augment
from initlab.data import DataSet, Split
from initlab.models import Model, Params, products
from initlab.precision import PRECISIONS
from initlab.reinit import Stages
from initlab.threads import in_threads
from initlab.train.batches import per_network
from initlab.train.budget import Budget, Curves, Outcome, Watch
from initlab.train.given import each, factors, relabelled, shaped
from initlab.train.loss import CrossEntropy, Loss
from initlab.train.memory import networks_at_once
from initlab.train.optim import Optimizer
from initlab.train.schedule import ConstantRate, Schedule
from initlab.train.staged import Fresh, check_stages
from initlab.train.training import Training


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
    Inputs are flattened when the model takes vectors, after images were augmented. `precision` is
    "float32", "tf32" (only changes products on CUDA) or "bf16" (autocast). `rates` multiplies the
    learning rate of the parameters that it names, as `torch.optim`'s parameter groups do, for all
    networks alike or with one mapping for each; the others keep theirs. The group is cut into
    parts that are fast to train at once; on the CPU they are shared out among torch's threads. The
    generators are copied, not moved on.

    With `stages`, one for all or one for each network with a method of its own, networks are
    re-initialized on the way: `fresh(r, s)` is the θ′ of network r where stage s (from 1) begins,
    by name, such as `stages.method.draw(module, rule, generator)`. Curves, if any, then have, at
    the end of every stage, `stage_train_accuracy`, `stage_test_accuracy` (`stage_val_accuracy`
    where no test set is read) and, with a teacher, the
    `ensemble_accuracy` of the mean probabilities of all students so far (the first stage is their
    teacher and none of them). The loss of a run that is taught is that against its teacher.

    An untrained network that is already at its goal counts as reached at epoch 0.

    Raises `ValueError` when model, data, targets and numbers of networks do not fit together.
    """
    image, truth = data.shape, None
    data = shaped(model, data)
    R = next(iter(params.values())).shape[0]
    optimizers, orders = each("optimizer", optimizer, R), each("order", order, R)
    multipliers = factors(each("rates", rates or {}, R), params)
    if budget.target is not None and not len(data.test.y):
        raise ValueError(
            f"the budget ends at a test accuracy of {budget.target}, but of {data.name} no test "
            "samples are read: give test=…, or a budget that ends at `fitted` or `loss`"
        )
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    if targets is not None:
        right, data = data.train.y, relabelled(data, targets, R)
        if not data.train.y.is_floating_point() and bool((data.train.y != right).any()):
            truth = right
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
        return Training(
            model,
            {name: p[cut] for name, p in params.items()},
            replace(data, train=Split(data.train.x, y)),
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
            image,
            truth,
        ).run()

    cpu = data.train.x.device.type == "cpu"
    threads = torch.get_num_threads() if cpu else 1
    size = networks_at_once(model, budget.batch_size, optimizers[0], str(data.train.x.device))
    # As many for every thread, so that none waits for the last part of another.
    parts = min(R, threads * -(-R // (size * threads)))
    cuts = [range(i * R // parts, (i + 1) * R // parts) for i in range(parts)]
    if not cpu:
        return [outcome for cut in cuts for outcome in part(cut)]
    with products.one_blas_thread():
        return [outcome for outcomes in in_threads(part, cuts) for outcome in outcomes]
