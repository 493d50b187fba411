"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor

from initlab.spec import spec
from initlab.train.optim.contract import (
    POSITIVE,
    SHARE,
    Numbers,
    Optimizer,
    Shapes,
    add,
    penalize,
    shrink,
)


@spec
class SGD(Optimizer):
    """Stochastic gradient descent, v ← μ v + g, θ ← θ − lr v, as `torch.optim.SGD` does it.

    Args:
        lr: learning rate, > 0.
        momentum: μ, in [0, 1).
        nesterov: step along g + μ v.
        weight_decay: λ ≥ 0; λθ is added to g (an L2 penalty).
        decoupled: shrink θ by 1 − lr·λ beside the step instead.

    Raises:
        ValueError: for numbers outside of their bounds, and for `nesterov` without momentum.
    """

    lr: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    decoupled: bool = False

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "momentum": SHARE,
        "weight_decay": POSITIVE,
    }
    mup: ClassVar[str | None] = "sgd"

    def __post_init__(self) -> None:
        """Refuse Nesterov's step without momentum, beside what `Optimizer` refuses."""
        super().__post_init__()
        if self.nesterov and not self.momentum > 0:
            raise ValueError("SGD: nesterov needs momentum > 0, not 0")

    def slots(self, shapes: Shapes) -> list[int]:
        """See `Optimizer.slots`: v, if there is momentum."""
        return [int(self.momentum > 0)] * len(shapes)

    @property
    def is_plain_sgd(self) -> bool:
        """See `Optimizer.is_plain_sgd`."""
        return self.momentum == 0 and self.weight_decay == 0

    @staticmethod
    def update(
        theta: Tensor, grad: Tensor, slots: Sequence[Tensor], n: Numbers, count: int | Tensor
    ) -> None:
        """See `Optimizer.update`."""
        if n["decoupled"]:
            shrink(theta, n)
        else:
            penalize(theta, grad, n)
        if slots:
            (v,) = slots
            v.mul_(n["momentum"]).add_(grad)
            grad = add(grad, v, n["momentum"]) if n["nesterov"] else v
        add(theta, grad, -n["lr"])
