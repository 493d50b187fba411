"""How much the gradient changes over one step: the gradient quotient, and MetaInit, made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from initlab.init.contract import Rule, Scheme, check_number
from initlab.init.functional import (
    FunctionalModule,
    batch_loss,
    check_batch,
    of_parameters,
    seeded,
)
from initlab.init.plan import plan
from initlab.init.variance_scaling import HeNormal
from initlab.spec import spec


class _Elementary(TorchFunctionMode):
    """Batch normalization from elementary operations: torch's own has no third derivative."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """See `torch.overrides.TorchFunctionMode`."""
        if func is not F.batch_norm:
            return func(*args, **(kwargs or {}))
        return _batch_norm(*args, **(kwargs or {}))


def _batch_norm(
    x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
) -> Tensor:
    along = [0, *range(2, x.dim())]
    shape = [1, -1, *[1] * (x.dim() - 2)]
    if training:
        var, mean = torch.var_mean(x, along, correction=0)
    else:
        mean, var = running_mean, running_var
    out = (x - mean.view(shape)) * (var + eps).rsqrt().view(shape)
    out = out if weight is None else out * weight.view(shape)
    return out if bias is None else out + bias.view(shape)


def quotient(loss: Tensor, params: Sequence[Tensor], epsilon: float = 1e-5) -> Tensor:
    """The gradient quotient of a loss that was computed from `params`: a number with a gradient.

    (1/N) ‖(g − H g) / (g + ε) − 1‖₁ over all N entries, with ε of the sign of g (Dauphin &
    Schoenholz 2019, eq. 1). It is the mean relative change of the gradient over one gradient
    step of rate one, 0 where the loss is linear.
    """
    grads = torch.autograd.grad(loss, params, create_graph=True, materialize_grads=True)
    half = sum(((g**2).sum() for g in grads), start=loss.new_zeros(())) / 2
    products: Sequence[Tensor] = [torch.zeros_like(g) for g in grads]
    if half.requires_grad:  # else the loss is linear
        products = torch.autograd.grad(half, params, create_graph=True, materialize_grads=True)
    total = loss.new_zeros(())
    for g, product in zip(grads, products, strict=True):
        guard = torch.where(g >= 0, epsilon, -epsilon)
        total = total + ((g - product) / (g + guard) - 1).abs().sum()
    return total / sum(p.numel() for p in params)


def gradient_quotient(
    module: nn.Module,
    params: Mapping[str, Tensor],
    batch: tuple[Tensor, Tensor],
    epsilon: float = 1e-5,
    generator: torch.Generator | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> float:
    """The gradient quotient of one network on a batch (see `quotient`); the module is only read.

    `params` are its values by name; parameters that are not given are the module's own and are
    held fixed. The loss is cross-entropy for classes, else the mean squared error, or `loss`. The
    module
    computes in the mode that it is in; `generator` (by default one of seed 0) is for dropout.

    >>> net = nn.Linear(2, 1, bias=False)
    >>> batch = torch.eye(2), torch.zeros(2, 1)
    >>> round(gradient_quotient(net, {"weight": torch.tensor([[1.0, 2.0]])}, batch), 4)
    1.0
    """
    check_number("epsilon", epsilon)
    x, y = check_batch(batch)
    network = FunctionalModule(module, params)
    own = of_parameters(module, params)
    leaves = {name: p.detach().requires_grad_() for name, p in own.items()}
    g = torch.Generator().manual_seed(0) if generator is None else generator
    with (
        torch.enable_grad(),
        seeded(g, network.device),
        _Elementary(),
        sdpa_kernel(SDPBackend.MATH),
    ):
        total = (loss or batch_loss)(network(leaves, x), y)
        value = quotient(total, list(leaves.values()), epsilon)
    return float(value.detach())


@spec
class MetaInit(Scheme):
    """The rule's weights, each tensor rescaled until the gradient changes little over a step.

    The Frobenius norm of every tensor of two or more dimensions follows the sign of the gradient
    quotient's derivative, with momentum (Dauphin & Schoenholz 2019, algorithm 1); the network
    with the lowest quotient on the way is taken. The paper feeds random inputs and classes; here
    they are the batch.
    """

    rule: Rule = HeNormal()
    steps: int = 200
    rate: float = 0.1
    momentum: float = 0.9
    epsilon: float = 1e-5

    needs_batch: ClassVar[bool] = True
    name: ClassVar[str] = "MetaInit"
    source: ClassVar[str] = "dauphin_2019"
    formula: ClassVar[str] = (
        r"\min_{\|W_l\|} \tfrac1N \left\| \tfrac{g - Hg}{g + \epsilon} - 1 \right\|_1"
    )
    preserves: ClassVar[str] = "the gradient over the first steps"
    use: ClassVar[str] = "Architectures for which no analytic rule is known; costs `steps` passes."

    def __post_init__(self) -> None:
        """Refuse what is no number of steps or no rate."""
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"steps must be a whole number ≥ 1, not {self.steps!r}")
        for field in ("rate", "momentum", "epsilon"):
            check_number(field, getattr(self, field))

    def plan(self, module):
        """See `Scheme.plan`: the rule for every weight."""
        return plan(module, self.rule)

    def fit(self, module, params, batch, generator) -> dict[str, Tensor]:
        """See `Scheme.fit`."""
        x, y = check_batch(batch)
        network = FunctionalModule(module, params)
        now = {name: p.detach().clone() for name, p in params.items()}
        moved = [name for name, p in now.items() if p.dim() > 1]
        speed = dict.fromkeys(moved, 0.0)
        best, lowest = dict(now), torch.inf
        for step in range(self.steps + 1):
            leaves = {name: p.detach().requires_grad_() for name, p in now.items()}
            with (
                torch.enable_grad(),
                seeded(generator, network.device),
                _Elementary(),
                sdpa_kernel(SDPBackend.MATH),  # the others differentiate once only
            ):
                loss = batch_loss(network(leaves, x), y)
                value = quotient(loss, list(leaves.values()), self.epsilon)
                slopes = torch.autograd.grad(
                    value, [leaves[n] for n in moved], materialize_grads=True
                )
            if float(value.detach()) < lowest:
                best, lowest = dict(now), float(value.detach())
            if step == self.steps or not torch.isfinite(value):
                break
            for name, slope in zip(moved, slopes, strict=True):
                norm = float(now[name].norm())
                if norm == 0:  # a tensor of zeros has no scale
                    continue
                along = float(torch.sign((now[name] * slope).sum()))
                speed[name] = self.momentum * speed[name] - self.rate * along
                now[name] = now[name] * ((norm + speed[name]) / (norm + self.epsilon))
        return best
