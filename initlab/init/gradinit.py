"""GradInit: the scale of every tensor learned so that the first step of training goes well."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from initlab.init.contract import Rule, Scheme, check_number
from initlab.init.functional import FunctionalModule, batch_loss, check_batch, seeded
from initlab.init.plan import plan
from initlab.init.variance_scaling import HeNormal
from initlab.spec import spec
from initlab.tree import part

#: Directions of the first step: (what is stepped along, norm that the bound is on).
_DIRECTIONS = {"sgd": (lambda g: g, 2.0), "adam": (torch.sign, 1.0)}


def _length(grads, norm: float) -> Tensor:
    return torch.linalg.vector_norm(torch.cat([g.flatten() for g in grads]), norm)


@spec
class GradInit(Scheme):
    """The rule's weights, each tensor times a learned factor (Zhu et al. 2021, algorithm 1).

    The factors m ≥ `floor` lower the loss after one step of `lr` along the gradient (or along
    its sign, for `optimizer="adam"`), on examples half of which the gradient has not seen. While
    the gradient is longer than `bound` (in the 2-norm; for Adam in the 1-norm) they lower its
    length instead. Adam moves them at `rate` for `steps` steps.
    """

    rule: Rule = HeNormal()
    optimizer: str = "sgd"
    lr: float = 0.1
    bound: float = 1.0
    steps: int = 200
    rate: float = 0.01
    floor: float = 0.01

    needs_batch: ClassVar[bool] = True
    name: ClassVar[str] = "GradInit"
    source: ClassVar[str] = "zhu_2021"
    formula: ClassVar[str] = (
        r"\min_{m} L\big(\theta_m - \eta\, A[g]\big)"
        r" \;\text{ s.t. }\; \|g\| \le \gamma,\; g = \nabla L(\theta_m)"
    )
    preserves: ClassVar[str] = "a fall of the loss over the first step, with a bounded gradient"
    use: ClassVar[str] = "New architectures whose optimizer and learning rate are fixed beforehand."

    def __post_init__(self) -> None:
        """Refuse unknown optimizers and what is no number of steps or no rate."""
        if self.optimizer not in _DIRECTIONS:
            raise ValueError(
                f"unknown optimizer {self.optimizer!r}; known: {', '.join(_DIRECTIONS)}"
            )
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"steps must be a whole number ≥ 1, not {self.steps!r}")
        for field in ("lr", "bound", "rate", "floor"):
            check_number(field, getattr(self, field))

    def plan(self, module):
        """See `Scheme.plan`: the rule for every weight."""
        return plan(module, self.rule)

    def fit(self, module, params, batch, generator) -> dict[str, Tensor]:
        """See `Scheme.fit`; raises `ValueError` where the loss leaves the numbers."""
        x, y = check_batch(batch)
        network, (direction, norm) = FunctionalModule(module, params), _DIRECTIONS[self.optimizer]
        start = {name: p.detach() for name, p in params.items()}
        scales = {name: torch.ones((), device=p.device) for name, p in start.items()}
        adam = torch.optim.Adam(list(scales.values()), self.rate)
        for _ in range(self.steps):
            seen, held = _halves(len(y), generator)
            for m in scales.values():
                m.requires_grad_()
            with (
                torch.enable_grad(),
                seeded(generator, network.device),
                sdpa_kernel(SDPBackend.MATH),  # the others differentiate once only
            ):
                theta = {name: scales[name] * p for name, p in start.items()}
                loss = batch_loss(network(theta, part(x, seen)), y[seen])
                grads = torch.autograd.grad(
                    loss, list(theta.values()), create_graph=True, materialize_grads=True
                )
                length = _length(grads, norm)
                if float(length.detach()) > self.bound:
                    goal = length
                else:
                    stepped = {
                        name: p - self.lr * direction(g)
                        for (name, p), g in zip(theta.items(), grads, strict=True)
                    }
                    goal = batch_loss(network(stepped, part(x, held)), y[held])
                if not torch.isfinite(goal):
                    raise ValueError(
                        "the loss of GradInit is no longer finite; take a smaller lr, or a rule "
                        "whose networks are not as long"
                    )
                slopes = torch.autograd.grad(goal, list(scales.values()), materialize_grads=True)
            for m, slope in zip(scales.values(), slopes, strict=True):
                m.requires_grad_(False).grad = slope
            adam.step()
            for m in scales.values():
                m.grad = None
                m.clamp_(min=self.floor)
        return {name: scales[name] * p for name, p in start.items()}


def _halves(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two thirds of the examples twice, such that one third is in both: (seen, held)."""
    order, third = torch.randperm(count, generator=generator), max(1, count // 3)
    return order[: 2 * third], order[third : 3 * third] if count > 2 else order
