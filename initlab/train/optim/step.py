"""One step of the optimizers of many networks at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor

from initlab.train.optim.contract import Optimizer, family, kind, numbers, shared


class StepState(TypedDict):
    """What the optimizers of R networks remember: a tree, see `initlab.tree.take`.

    `numbers`: of the optimizers by field, one for all networks or one for each, (R,). `rates`: what
    the learning rates of each parameter are multiplied by, likewise, or None. `slots`: of each
    parameter, tensors of its shape. `count`: the number of steps so far.
    """

    numbers: dict[str, float | Tensor]
    rates: list[float | Tensor] | None
    slots: list[list[Tensor]]
    count: int | Tensor


class Step:
    """One step of the optimizers of R networks on stacked parameters, (R, *shape) each.

    What changes in training, and what networks have of their own, is in the state that `begin`
    gives and that a call changes.

    >>> from initlab.train import SGD
    >>> step = Step([SGD(0.1), SGD(0.2)], ["w"])
    >>> theta = [torch.ones(2, 3)]
    >>> state = step.begin(theta)
    >>> step(state, theta, [torch.ones(2, 3)], 1.0)
    >>> theta[0][:, 0]
    tensor([0.9000, 0.8000])
    """

    def __init__(
        self,
        optimizers: Sequence[Optimizer],
        names: Sequence[str],
        rates: Sequence[float | Tensor] | None = None,
    ) -> None:
        """The step of these optimizers.

        Args:
            optimizers: of each network; all of one family.
            names: of the parameters, in their order.
            rates: what the learning rates of each parameter are multiplied by: one number for all
                networks or one for each, (R,).

        Raises:
            ValueError: for optimizers of different families.
        """
        families = {family(o) for o in optimizers}
        if len(families) > 1:
            raise ValueError(
                f"optimizers of different kinds cannot step as one: {sorted(map(str, families))}"
            )
        self.optimizers, self.names, self.rates = list(optimizers), list(names), rates
        self.kind, self.shared = kind(optimizers[0]), shared(optimizers[0])
        #: Whether a step is θ ← θ − lr g, with a rate for each network.
        self.is_plain_sgd = rates is None and all(o.is_plain_sgd for o in optimizers)

    def begin(self, theta: Sequence[Tensor]) -> StepState:
        """The state before the first step on parameters `theta`, (R, *shape) each."""
        device = theta[0].device
        own = [numbers(o) for o in self.optimizers]
        found: dict[str, float | Tensor] = {}
        for name in own[0]:
            values = [n[name] for n in own]
            same = len(set(values)) == 1
            found[name] = values[0] if same else torch.tensor(values, device=device)
        shapes = {n: tuple(t.shape[1:]) for n, t in zip(self.names, theta, strict=True)}
        needs = zip(*(o.slots(shapes) for o in dict.fromkeys(self.optimizers)), strict=True)
        # Steps that are captured as a CUDA graph cannot count in Python.
        cuda = device.type == "cuda"
        return {
            "numbers": found,
            "rates": None if self.rates is None else list(self.rates),
            "slots": [
                [torch.zeros_like(t) for _ in range(max(each))]
                for t, each in zip(theta, needs, strict=True)
            ],
            "count": torch.zeros((), dtype=torch.float64, device=device) if cuda else 0,
        }

    def neg_lr(self, state: StepState, factor: float, networks: int) -> Tensor:
        """−lr of each network, (R,): what plain SGD multiplies gradients by."""
        lr = state["numbers"]["lr"]
        return -factor * lr if isinstance(lr, Tensor) else torch.full((networks,), -factor * lr)

    def reset(self, state: StepState) -> None:
        """Forget, in place, all that was summed up: the slots and the number of steps."""
        state["count"] *= 0
        for slots in state["slots"]:
            for slot in slots:
                slot.zero_()

    @torch.no_grad()
    def __call__(
        self,
        state: StepState,
        theta: Sequence[Tensor],
        grads: Sequence[Tensor],
        factor: float | Tensor,
    ) -> None:
        """Change `state` and `theta` in place.

        Args:
            state: as `begin` gives it, or some rows of it.
            theta: parameters, (R, *shape) each.
            grads: their gradients, which may be overwritten.
            factor: what the schedule multiplies learning rates by, a number or a tensor ().
        """
        state["count"] += 1
        own, rates, lr = state["numbers"], state["rates"], state["numbers"]["lr"]
        if self.is_plain_sgd and isinstance(factor, Tensor) and not isinstance(lr, Tensor):
            # As few kernels as there can be.
            torch._foreach_mul_(list(grads), (-factor * lr).to(theta[0].dtype))
            torch._foreach_add_(list(theta), list(grads))
            return
        for i, (t, g, slots) in enumerate(zip(theta, grads, state["slots"], strict=True)):
            n = {**self.shared, **own}
            for name in self.kind.rates:
                n[name] = factor * (own[name] if rates is None else own[name] * rates[i])
            over = (-1, *[1] * (t.dim() - 1))
            for name, v in n.items():
                if isinstance(v, Tensor) and v.dim():
                    n[name] = v.view(over)
            self.kind.update(t, g, slots, n, state["count"])
