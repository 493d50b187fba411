"""The networks of a group on whole sets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from initlab.data import Split
from initlab.models import AnyModel, Network, Params
from initlab.precision import precision as computed_in
from initlab.train.choose import ensemble
from initlab.train.ensemble import EVALUATED, Ensemble
from initlab.train.loss import Loss, Metric
from initlab.tree import apply

#: Samples of a user's network that are evaluated at once: what it makes of each may be large.
EVALUATED_OWN = 256


def at_once(model: AnyModel) -> int:
    """How many samples are evaluated at once."""
    return EVALUATED_OWN if isinstance(model, Network) else EVALUATED


@torch.no_grad()
def accuracy(model: AnyModel, params: Params, split: Split) -> Tensor:
    """Share of `split` that each of R networks classifies rightly: (R,)."""
    networks = ensemble(model, params)
    right = torch.zeros((), device=split.y.device)
    with computed_in("float32", split.y.device):
        for part in split.parts(at_once(model)):
            right = right + (networks.predict(part.x).argmax(-1) == part.y).sum(-1)
    return right / len(split.y)


def evaluate(
    networks: Ensemble,
    split: Split,
    loss: Loss,
    rows: Sequence[int],
    labels: Tensor | None = None,
    metrics: Sequence[Metric] = (),
) -> dict[str, Tensor]:
    """What the networks in `rows` are like on a whole set.

    Args:
        networks: All of them.
        split: The set.
        loss: What is a mean over the set.
        rows: Of which networks.
        labels: Targets of each of all networks, (R, N, …), in place of the set's.
        metrics: Further numbers.

    Returns:
        `loss`, `accuracy` where the loss is one of classes, and each metric by its name, (rows,).
    """
    chosen = None if len(rows) == networks.count else list(rows)
    targets = split.y.unsqueeze(0) if labels is None else labels[list(rows)]
    total = right = terms = torch.zeros(len(rows), device=split.y.device)
    kept: list[Tensor] = []
    at = 0
    for part in split.parts(at_once(networks.model)):
        y = targets[:, at : at + len(part.y)]
        at += len(part.y)
        outputs = networks.predict(part.x, chosen)
        count = torch.as_tensor(loss.terms(outputs, y), device=total.device)
        none = count == 0  # all targets here are left out, and the mean of nothing is no number
        total = total + (loss(outputs, y) * count).masked_fill(none, 0.0)
        terms = terms + count
        if loss.classifies:
            right = right + (loss.right(outputs, y) * count).masked_fill(none, 0.0)
        if metrics:
            kept.append(outputs)
    found: dict[str, Tensor] = {"loss": total / terms}
    if loss.classifies:
        found["accuracy"] = right / terms
    for metric in metrics:
        found[metric.label] = metric(torch.cat(kept, 1), targets)
    return found


def memorized(networks: Ensemble, train: Split, labels: Tensor, truth: Tensor) -> Tensor:
    """Fraction of the mislabeled samples whose wrong label each network gives out: (R,).

    Args:
        networks: All of them.
        train: The inputs.
        labels: What they were trained on, (R, N).
        truth: The right classes, (N,).
    """
    parts = train.parts(at_once(networks.model))
    given = torch.cat([networks.predict(part.x).argmax(-1) for part in parts], -1)
    wrong = labels != truth
    return ((given == labels) & wrong).sum(-1) / wrong.sum(-1)


def thinned(split: Split, labels: Tensor | None) -> tuple[Split, Tensor | None]:
    """Every tenth example, and its labels."""
    few = Split(apply(lambda t: t[::10], split.x), split.y[::10])
    return few, None if labels is None else labels[:, ::10]
