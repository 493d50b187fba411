"""Weights whose scale the function does not see, and what becomes of their norm in training.

Normalization divides out any positive factor on the weights before it. The gradient by such
weights is therefore orthogonal to them and inversely proportional to their norm r = ‖w‖: a step
of SGD only ever makes them longer, and turns them the less the longer they are; weight decay alone
makes them shorter. Their first norm acts as a learning rate of its own (van Laarhoven 2017, arXiv
1706.05350), and how long it does is an equation (Tanaka & Kunin 2021, arXiv 2105.02716, eq. 17).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from initlab.init.functional import FunctionalModule


def scale_invariant(
    module: nn.Module,
    params: Mapping[str, Tensor],
    x: Tensor,
    *,
    factor: float = 4.0,
    tolerance: float = 1e-2,
) -> list[str]:
    """Names of the weights, of two axes or more, that can be multiplied without changing outputs.

    Each is tried by itself, with `factor`, on the inputs `x`, (B, *shape), in training mode: batch
    normalization normalizes by the batch. Outputs count as unchanged where they differ by at most
    `tolerance` of their standard deviation, because normalization adds a small number to variances.
    """
    network = FunctionalModule(module, params)
    mode = module.training
    module.train()
    try:
        with torch.no_grad():
            before = network(params, x)
            allowed = tolerance * float(before.std())
            return [
                name
                for name, p in params.items()
                if p.dim() > 1
                and bool(
                    ((network({**params, name: factor * p}, x) - before).abs() <= allowed).all()
                )
            ]
    finally:
        module.train(mode)


def squared_norm(
    gradients: ArrayLike,
    start: float,
    lr: float,
    *,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    independent: bool = False,
) -> np.ndarray:
    """Predicted r² = ‖w‖² of scale-invariant weights after 0, 1, …, T steps of SGD: (T + 1,).

    `gradients` are |ĝ|² at each step, (T,): squared norms of the gradient where the weights
    have unit norm, which is r²·‖g‖² of the gradient g that training sees; `start` is r² at first.
    With learning rate η, momentum β and (coupled) weight decay λ, in the time t = η·steps,

        r⁴(t) = e^(−4λt/(1−β)) r⁴(0) + 2η(1+β)/(1−β)³ · ∫₀ᵗ e^(−4λ(t−s)/(1−β)) |ĝ(s)|² ds,

    the integral by steps, in each of which |ĝ|² stays as it is. It is the equation of a continuous
    time: exact where steps are short against r and what changes, changes slowly. That is so of the
    gradient of all samples at small rates, but not of gradients of small batches, which momentum
    averages: where those of successive steps are `independent`, the factor is 2η/(1−β)² instead,
    (1+β)/(1−β) times less (this book's; without momentum the two are one).

    Raises `ValueError` for an impossible start, rate, momentum or decay.

    >>> squared_norm([2.0], start=1.0, lr=0.1).round(6).tolist()
    [1.0, 1.019804]
    """
    if not (start > 0 and lr > 0 and 0 <= momentum < 1 and weight_decay >= 0):
        raise ValueError(
            "start and lr must be > 0, momentum in [0, 1) and weight_decay ≥ 0, not "
            f"{start}, {lr}, {momentum} and {weight_decay}"
        )
    g = np.asarray(gradients, dtype=float)
    exponent = 4 * weight_decay * lr / (1 - momentum)
    kept = np.exp(-exponent)
    # ∫ over one step of e^(−4λs/(1−β)) ds, with its limit η without decay.
    share = lr * (-np.expm1(-exponent) / exponent if exponent > 0 else 1.0)
    carried = 1.0 if independent else (1 + momentum) / (1 - momentum)
    added = 2 * lr * carried / (1 - momentum) ** 2 * g * share
    fourth = np.empty(len(g) + 1)
    fourth[0] = start**2
    for i, more in enumerate(added):
        fourth[i + 1] = kept * fourth[i] + more
    return np.sqrt(fourth)


def effective_rate(lr: ArrayLike, norm: ArrayLike, *, momentum: float = 0.0) -> np.ndarray:
    """η / ((1 − β) r²): the rate at which scale-invariant weights of norm r turn.

    >>> float(effective_rate(0.1, 10.0))
    0.001
    """
    return np.asarray(lr, float) / ((1 - momentum) * np.asarray(norm, float) ** 2)


def accumulated(
    lr: ArrayLike, batch_size: ArrayLike, steps: ArrayLike, weight_decay: ArrayLike = 0.0
) -> np.ndarray:
    """τ = η²T/b + ηλT: the regularization of SGD, implicit and explicit, added up over T steps.

    The first term is the one that agrees with the two timescales that Das, Beneventano et al. 2026
    (arXiv 2605.29152) are quoted with, the second is the decay's own; the sum is this book's.

    >>> float(accumulated(1e-3, 128, 93_750).round(7))
    0.0007324
    """
    eta, b, T, decay = (np.asarray(v, float) for v in (lr, batch_size, steps, weight_decay))
    return eta**2 * T / b + eta * decay * T
