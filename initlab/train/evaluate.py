"""The networks of a group on whole sets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from initlab.data import Split
from initlab.models import MLP, Model, ModuleModel, Params
from initlab.precision import precision as computed_in
from initlab.reinit.normalize import normalized
from initlab.train.batches import per_network
from initlab.train.dense import Dense
from initlab.train.group import EVALUATED, Rows, Stacked
from initlab.train.loss import Loss


def grouped(model: Model, params: Params, precision: str = "float32") -> Stacked | Rows:
    """The networks in the form that was measured to be the fastest for such a model."""
    if isinstance(model, ModuleModel) or normalized(params):
        return Rows(model, params)
    if isinstance(model, MLP) and Dense.takes(model, params) and precision != "bf16":
        return Dense(model, params)
    return Stacked(model, params)


@torch.no_grad()
def accuracy(model: Model, params: Params, split: Split) -> Tensor:
    """Share of `split` that each of R networks classifies rightly: (R,)."""
    networks = grouped(model, params)
    right = torch.zeros((), device=split.y.device)
    with computed_in("float32", split.x.device):
        for x, y in zip(split.x.split(EVALUATED), split.y.split(EVALUATED), strict=True):
            right = right + (networks.predict(x).argmax(-1) == y).sum(-1)
    return right / len(split.y)


def evaluate(
    networks: Stacked | Rows, split: Split, loss: Loss, rows: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Loss and accuracy of the networks in `rows` on a whole set: (rows,) each."""
    chosen = None if len(rows) == len(networks.theta[0]) else list(rows)
    targets = split.y[list(rows)] if per_network(split.y) else split.y.unsqueeze(0)
    total = right = torch.zeros(len(rows), device=split.x.device)
    for at in range(0, len(split.x), EVALUATED):
        x, y = split.x[at : at + EVALUATED], targets[:, at : at + EVALUATED]
        logits = networks.predict(x, chosen)
        total = total + loss(logits, y) * len(x)
        classes = y.argmax(-1) if y.is_floating_point() else y
        right = right + (logits.argmax(-1) == classes).sum(-1)
    return total / len(split.x), right / len(split.x)


def fitted(networks: Stacked | Rows, train: Split, truth: Tensor) -> Tensor:
    """Share of the labels that differ from the `truth`, (N,), that each network gives out: (R,)."""
    y = train.y.expand(len(networks.theta[0]), -1)
    given = torch.cat([networks.predict(x).argmax(-1) for x in train.x.split(EVALUATED)], -1)
    wrong = y != truth
    return ((given == y) & wrong).sum(-1) / wrong.sum(-1)


def tenth(split: Split) -> Split:
    """Every tenth example."""
    y = split.y[:, ::10] if per_network(split.y) else split.y[::10]
    return Split(split.x[::10], y)
