"""What changes the parameters of a group: steps of the package's optimizers, and mixing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from initlab.live.network import rms
from initlab.train import SGD, Adam

#: Optimizers that have graphs, with the number of states that each keeps per parameter.
STATES = {"sgd": 1, "adam": 2, "adamw": 2}


def _per_network(numbers: dict[str, Tensor], t: Tensor, index: int) -> dict:
    """The numbers (R,) in a shape that broadcasts over a parameter, with its networks' axis."""
    tail = 1 if index % 2 else 2  # axes after that of the networks
    return {k: v.view(-1, *[1] * tail) if v.dim() else v for k, v in numbers.items()}


@torch.no_grad()
def sgd(
    params: Sequence[Tensor],
    velocities: Sequence[Tensor],
    grads: Sequence[Tensor],
    lr: Tensor,
    momentum: Tensor,
    weight_decay: Tensor,
) -> tuple[Tensor, ...]:
    """A step of `initlab.train.SGD` for R networks: new parameters and velocities.

    Each number is (R,).
    """
    given = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
    theta, moved = _copies(params), _copies(velocities)
    for i, (t, g, v) in enumerate(zip(theta, _copies(grads), moved, strict=True)):
        n = _per_network(given, t, i)
        SGD.update(t, g, [v], {**n, "nesterov": False, "decoupled": False}, 0)
    return *theta, *moved


@torch.no_grad()
def adam(
    params: Sequence[Tensor],
    means: Sequence[Tensor],
    squares: Sequence[Tensor],
    t: Tensor,
    grads: Sequence[Tensor],
    lr: Tensor,
    weight_decay: Tensor,
    beta1: Tensor,
    beta2: Tensor,
    eps: Tensor,
    *,
    decoupled: bool,
) -> tuple[Tensor, ...]:
    """A step of `initlab.train.Adam` or, decoupled, `AdamW` for R networks: new parameters, means
    and squares, and the number of steps.

    `t`, the number of steps so far, `lr` and `weight_decay` are (R,), the others [].
    """
    count = t + 1.0
    given = {"lr": lr, "weight_decay": weight_decay, "count": count}
    shared = {"beta1": beta1, "beta2": beta2, "eps": eps}
    theta, m, v = _copies(params), _copies(means), _copies(squares)
    for i, (p, g, a, b) in enumerate(zip(theta, _copies(grads), m, v, strict=True)):
        n = _per_network(given, p, i) | shared
        Adam.update(p, g, [a, b], {**n, "decoupled": decoupled}, n.pop("count"))
    return *theta, *m, *v, count


def _copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [t.clone() for t in tensors]


@torch.no_grad()
def mix(
    params: Sequence[Tensor], fresh: Sequence[Tensor], keep: Tensor, mix: Tensor
) -> tuple[Tensor, ...]:
    """keep·θ + mix·θ′, Shrink & Perturb (Ash & Adams 2020); `keep` and `mix` are []."""
    return tuple(keep * t + mix * f for t, f in zip(params, fresh, strict=True))


@torch.no_grad()
def displacement(params: Sequence[Tensor], first: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """How far R networks have gone: by weight matrix, (depth + 1, R), the rms of θ − θ₀ and that of
    θ₀; then θ − θ₀ itself for W1, W and Wo.
    """
    moved = [p - f for p, f in zip(params[::2], first[::2], strict=True)]

    def by_layer(ts: Sequence[Tensor]) -> Tensor:
        return torch.cat([rms(ts[0]).unsqueeze(0), rms(ts[1]), rms(ts[2]).unsqueeze(0)])

    return by_layer(moved), by_layer(first[::2]), *moved
