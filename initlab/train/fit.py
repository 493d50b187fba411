"""Training many networks as one: one step moves every network of a group.

The networks of a group share a recipe: architecture, data, batch size, loss and kind of optimizer.
They may differ in where they start, in every number of the optimizer, in their targets and in the
order of their batches. A network that has reached its end leaves the group, so that the others get
its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from initlab.augment import Augment
from initlab.data import Data, DataSet, load
from initlab.models import AnyModel, Network, Params, products
from initlab.models.network import around
from initlab.precision import PRECISIONS
from initlab.reinit import Stages
from initlab.tensors import Tensors
from initlab.threads import in_threads
from initlab.train.budget import Budget, Curves, Observer, Outcome
from initlab.train.choose import found
from initlab.train.given import check_targets, each, multipliers, relabelled, sample, shaped
from initlab.train.loss import CrossEntropy, Loss, Metric
from initlab.train.memory_estimate import networks_at_once
from initlab.train.optim import Optimizer
from initlab.train.recipe import Fresh, Members, Recipe
from initlab.train.schedule import ConstantRate, Schedule
from initlab.train.staged import check_stages
from initlab.train.training import Training


def fit(
    model: AnyModel | nn.Module,
    params: Params,
    data: DataSet | Data | Tensors,
    *,
    optimizer: Optimizer | Sequence[Optimizer],
    budget: Budget,
    order: torch.Generator | Sequence[torch.Generator] | None = None,
    loss: Loss | None = None,
    schedule: Schedule | None = None,
    targets: Tensor | None = None,
    augment: Augment | None = None,
    curves: Curves | None = None,
    observer: Observer | None = None,
    metrics: Sequence[Metric] = (),
    precision: str = "float32",
    rates: Mapping[str, float] | Sequence[Mapping[str, float]] | None = None,
    stages: Stages | Sequence[Stages] | None = None,
    fresh: Fresh | None = None,
    noise: Sequence[int] | None = None,
) -> list[Outcome]:
    """Train R networks from `params`, (R, *shape) each; how each of them ended.

    `optimizer` and `order` are one for all networks, or one for each; networks whose order is
    the same generator see the same batches, drawn anew for every epoch. The group is cut into
    parts that are fast to train at once; on the CPU they are shared out among torch's threads. The
    generators are copied, not moved on. An untrained network that is already at its goal counts as
    reached at epoch 0.

    With `stages`, networks are re-initialized on the way. Curves, if any, then have, at
    the end of every stage, `stage_train_accuracy`, `stage_test_accuracy` (`stage_val_accuracy`
    where no test set is read) and, with a teacher, the
    `ensemble_accuracy` of the mean probabilities of all students so far (the first stage is their
    teacher and none of them). The loss of a run that is taught is that against its teacher.

    Args:
        model: A model of this package, a `Network`, or a module: R copies of it are trained, and
            what `params` does not name is as in the module.
        params: Parameters by name, and buffers if they are to start otherwise than the module's.
        data: What to train, validate and test on. Inputs are flattened when the model takes
            vectors, after images were augmented.
        optimizer: One of `initlab.train`.
        budget: How long to train, and what ends a run before.
        order: Draws the order of the samples and their augmentation; by default seed 0.
        loss: By default cross-entropy.
        schedule: How the learning rate moves; by default not at all.
        targets: In place of the training targets: (N, …), or (R, N, …) for each network; whole
            numbers, or probabilities with the classes as one more axis.
        augment: Random changes of images.
        curves: Statistics to follow.
        observer: An observer of the parameters.
        metrics: Numbers beside the loss, on the test set at the end and in curves.
        precision: "float32", "tf32" (only changes products on CUDA) or "bf16" (autocast).
        rates: Multiplies the learning rate of the parameters that it names, as `torch.optim`'s
            parameter groups do, for all networks alike or with one mapping for each.
        stages: One for all, or one for each network with a method of its own.
        fresh: `fresh(r, s)` is the θ′ of network r where stage s (from 1) begins, by name, such as
            `stages.method.draw(module, rule, generator)`.
        noise: A seed for each network, for what it draws itself (Dropout); by default r.

    Returns:
        How each network ended, in their order.

    Raises:
        ValueError: When model, data, targets, loss and numbers of networks do not fit together.
    """
    if isinstance(model, nn.Module):
        model = around(model)
    if not isinstance(data, DataSet):
        data = load(data, next(iter(params.values())).device)
    R = next(iter(params.values())).shape[0]
    recipe = Recipe(
        model, budget=budget, loss=loss or CrossEntropy(), schedule=schedule or ConstantRate(),
        augment=augment, curves=curves, observer=observer, metrics=tuple(metrics),
    )  # fmt: skip
    truth, labels = None, None
    if targets is not None:
        right = data.train.y
        data, labels = relabelled(data, targets, R)
        now = data.train.y if labels is None else labels
        if not now.is_floating_point() and bool((now != right).any()):
            truth = right
    members = Members(
        each("optimizer", optimizer, R),
        each("order", order or torch.Generator().manual_seed(0), R),
        each("rates", rates or {}, R),
        labels,
        None if stages is None else each("stages", stages, R),
        fresh,
        range(R) if noise is None else each("noise", noise, R),
    )
    return train(recipe, params, data, members, precision=precision, truth=truth)


def train(
    recipe: Recipe,
    params: Params,
    data: DataSet,
    members: Members,
    *,
    precision: str = "float32",
    truth: Tensor | None = None,
) -> list[Outcome]:
    """Train the networks of a group; see `fit`.

    Args:
        recipe: What they share.
        params: Where they start, (R, *shape) each.
        data: The recipe's data, loaded.
        members: What each has of its own.
        precision: See `fit`.
        truth: The right training classes, where those that are trained on are not all right.

    Returns:
        How each network ended, in their order.

    Raises:
        ValueError: When some of this does not fit together.
    """
    model, budget, image = recipe.model, recipe.budget, data.shape
    if budget is None:
        raise ValueError("training needs a budget: Budget(epochs=…)")
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; known: {', '.join(PRECISIONS)}")
    data = shaped(model, data)
    if isinstance(model, Network):
        params = whole(model, params)
    multipliers(members.rates, params)  # what names no parameter is refused here
    _check_sets(budget, data)
    check_targets(recipe, data, params, members.labels)
    if members.stages is not None:
        check_stages(members.stages, budget)
        if members.fresh is None:
            raise ValueError("stages draw parameters anew: give fresh=…, see fit")
    device = data.train.y.device
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    tried, joint = sample(recipe, data, members.labels), False
    if isinstance(model, Network) and tried is not None:
        # Here, before there are threads that take its time.
        joint = found(model, params, tried, recipe.loss, threads).joint

    def part(rows: range) -> list[Outcome]:
        cut = slice(rows.start, rows.stop)
        own = {name: p[cut] for name, p in params.items()}
        return Training(
            recipe, data, own, members.part(rows), precision=precision, image=image, truth=truth
        ).run()

    R = len(members.optimizers)
    size = networks_at_once(model, budget.batch_size, members.optimizers[0], str(device))
    # As many for every thread, so that none waits for the last part of another.
    parts = min(R, (1 if joint else threads) * -(-R // (size * threads)))
    cuts = [range(i * R // parts, (i + 1) * R // parts) for i in range(parts)]
    with products.one_blas_thread():
        alone = joint or device.type != "cpu"
        ended = [part(cut) for cut in cuts] if alone else in_threads(part, cuts)
    return [outcome for outcomes in ended for outcome in outcomes]


def whole(model: Network, params: Params, count: int | None = None) -> dict[str, Tensor]:
    """`params` with the module's own values of what they do not name, alike for all networks.

    Raises `ValueError` for names that the network does not have.
    """
    given = next(iter(params.values()), torch.empty(count or 1))
    module = model.build(given.device)
    own = dict(module.named_parameters()) | dict(module.named_buffers())
    if unknown := sorted(set(params) - set(own)):
        raise ValueError(
            f"{model.label} has no parameter or buffer {', '.join(unknown)}; it has "
            f"{', '.join(own)}"
        )
    return {
        name: params[name]
        if name in params
        else t.detach().unsqueeze(0).expand(len(given), *t.shape)
        for name, t in own.items()
    }


def _check_sets(budget: Budget, data: DataSet) -> None:
    """Refuse a budget that asks for samples which there are none of."""
    if budget.target_test_accuracy is not None and not len(data.test):
        raise ValueError(
            f"the budget ends at a test accuracy of {budget.target_test_accuracy}, but of "
            f"{data.name} no test samples are read: give test=…, or a budget that ends at "
            "target_train_accuracy or target_train_loss"
        )
    if budget.select is not None and (data.val is None or not len(data.val)):
        raise ValueError(
            f"the budget selects by {budget.select}, but of {data.name} no samples are held back "
            "for validation: give val=…"
        )
