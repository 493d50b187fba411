"""Adam, and Adam with decoupled weight decay."""

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
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015), as `torch.optim.Adam` and `torch.optim.AdamW` do it.

    Args:
        lr: learning rate, > 0.
        beta1: share of the past in the mean of gradients, in [0, 1).
        beta2: share of the past in the mean of squared gradients, in [0, 1).
        eps: added to the root of the mean square, ≥ 0.
        weight_decay: λ ≥ 0; λθ is added to the gradient (an L2 penalty).
        decoupled: shrink θ by 1 − lr·λ beside the step instead (Loshchilov & Hutter 2019).

    Raises:
        ValueError: for numbers outside of their bounds.
    """

    lr: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "beta1": SHARE,
        "beta2": SHARE,
        "weight_decay": POSITIVE,
        "eps": POSITIVE,
    }
    mup: ClassVar[str | None] = "adam"

    def slots(self, shapes: Shapes) -> list[int]:
        """See `Optimizer.slots`: the running means of gradient and square."""
        return [2] * len(shapes)

    @staticmethod
    def update(
        theta: Tensor, grad: Tensor, slots: Sequence[Tensor], n: Numbers, count: int | Tensor
    ) -> None:
        """See `Optimizer.update`."""
        m, v = slots
        if n["decoupled"]:
            shrink(theta, n)
        else:
            penalize(theta, grad, n)
        m.lerp_(grad, 1 - n["beta1"])
        v.mul_(n["beta2"])
        add(v, grad.square_(), 1 - n["beta2"])
        corrected = (1 - n["beta2"] ** count) ** 0.5
        denominator = (v.sqrt() / corrected).add_(n["eps"])
        add(theta, m / denominator, -n["lr"] / (1 - n["beta1"] ** count))


@spec
class AdamW(Adam):
    """Adam with decoupled weight decay and PyTorch's default of it."""

    weight_decay: float = 0.01
    decoupled: bool = True
