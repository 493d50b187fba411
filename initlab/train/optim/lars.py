"""Layer-wise adaptive rate scaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from initlab.spec import spec
from initlab.train.optim.contract import POSITIVE, SHARE, Numbers, Optimizer, Shapes, add


@spec
class LARS(Optimizer):
    """Layer-wise adaptive rate scaling (You et al. 2017).

    Each weight tensor moves at lr · trust · ‖w‖ / (‖g‖ + λ‖w‖), with momentum and L2 decay λ.
    Vectors (biases, scales of normalization) move at the plain rate and are not decayed.

    Args:
        lr: learning rate, > 0.
        momentum: in [0, 1).
        weight_decay: λ ≥ 0.
        trust: norm of a tensor's step over that of the tensor, over the rate; ≥ 0.

    Raises:
        ValueError: for numbers outside of their bounds.
    """

    lr: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 0.0
    trust: float = 0.001

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "momentum": SHARE,
        "weight_decay": POSITIVE,
        "trust": POSITIVE,
    }

    def slots(self, shapes: Shapes) -> list[int]:
        """See `Optimizer.slots`: v, if there is momentum."""
        return [int(self.momentum > 0)] * len(shapes)

    @staticmethod
    def update(
        theta: Tensor, grad: Tensor, slots: Sequence[Tensor], n: Numbers, count: int | Tensor
    ) -> None:
        """See `Optimizer.update`."""
        rate = n["lr"]
        if theta.dim() > 2:  # a matrix or kernel of each network
            along = tuple(range(1, theta.dim()))
            w_norm = torch.linalg.vector_norm(theta, dim=along, keepdim=True)
            g_norm = torch.linalg.vector_norm(grad, dim=along, keepdim=True)
            local = n["trust"] * w_norm / (g_norm + n["weight_decay"] * w_norm)
            alive = (w_norm > 0) & (g_norm > 0)
            rate = rate * torch.where(alive, local, torch.ones_like(local))
            add(grad, theta, n["weight_decay"])
        if slots:
            (v,) = slots
            v.mul_(n["momentum"])
            add(v, grad, rate)
            theta.sub_(v)
        else:
            add(theta, grad, -rate)
