"""Lion: the sign of a mean of gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor

from initlab.spec import spec
from initlab.train.optim.contract import POSITIVE, SHARE, Numbers, Optimizer, Shapes, add, shrink


@spec
class Lion(Optimizer):
    """Evolved sign momentum (Chen et al. 2023, algorithm 2).

    θ ← θ − lr (sign(β₁ m + (1 − β₁) g) + λθ), then m ← β₂ m + (1 − β₂) g. Every weight moves by lr
    in a step, so that rates are a third to a tenth of AdamW's, and decays three to ten times its.

    Args:
        lr: learning rate, > 0.
        beta1: share of m in the direction of the step, in [0, 1).
        beta2: share of the past in m, in [0, 1).
        weight_decay: λ ≥ 0, decoupled.

    Raises:
        ValueError: for numbers outside of their bounds.
    """

    lr: float = 0.0001
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.0

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "beta1": SHARE,
        "beta2": SHARE,
        "weight_decay": POSITIVE,
    }
    #: The rates of Adam hold for every update entry by entry that does not depend on the gradient's
    #: scale (Yang & Littwin 2023).
    mup: ClassVar[str | None] = "adam"

    def slots(self, shapes: Shapes) -> list[int]:
        """See `Optimizer.slots`: m."""
        return [1] * len(shapes)

    @staticmethod
    def update(
        theta: Tensor, grad: Tensor, slots: Sequence[Tensor], n: Numbers, count: int | Tensor
    ) -> None:
        """See `Optimizer.update`."""
        (m,) = slots
        shrink(theta, n)
        add(theta, m.lerp(grad, 1 - n["beta1"]).sign_(), -n["lr"])
        m.lerp_(grad, 1 - n["beta2"])
