"""`torch.func` by hand for a user's networks: stacked state, `vmap`, a gradient, SGD written out.

The gradient is taken of the sum of all losses outside of `vmap`, since the buffers of batch
normalization cannot be moved inside of `torch.func.grad`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from benchmarks.own import OWN, OwnTraining, called, picked
from benchmarks.peers import UnavailableError
from benchmarks.peers.own_loop import put

State = dict[str, Tensor]


class OwnFunc:
    """As PyTorch's tutorial on model ensembling has it, with momentum for all at once."""

    name = "torch.func"
    letters = "".join(OWN)
    one_by_one = False

    def prepare(self, case: OwnTraining) -> Callable[[], Tensor]:
        """See `benchmarks.peers.Peer`."""
        run = trained(case)
        try:
            run(1)
        except RuntimeError as error:
            raise UnavailableError(self.name, str(error).partition("\n")[0][:100]) from None
        return run


def trained(case: OwnTraining) -> Callable[..., Tensor]:
    """Trains the networks of the case, for a number of steps or for all."""
    x, y = case.data()
    drawn, modules = case.start(), [case.model.build() for _ in range(case.networks)]
    for network, module in enumerate(modules):
        put(module, drawn, network)
    start, buffers_at_start = stack_module_state(modules)
    base = case.model.build().train()
    axis = None if case.shared else 0

    def loss(params: State, buffers: State, x: Any, y: Tensor) -> Tensor:
        return case.plain(called(_Applied(base, {**params}, {**buffers}), x), y)

    losses_of = vmap(loss, in_dims=(0, 0, axis, axis), randomness="different")

    def run(steps: int | None = None) -> Tensor:
        params = {n: p.detach().clone().requires_grad_() for n, p in start.items()}
        buffers = {n: b.clone() for n, b in buffers_at_start.items()}
        speed = {n: torch.zeros_like(p) for n, p in params.items()}
        losses = torch.empty(0)
        for chosen in case.permutations().split(case.batch, dim=-1)[:steps]:
            losses = losses_of(params, buffers, picked(x, chosen), y[chosen])
            gradients = torch.autograd.grad(losses.sum(), list(params.values()))
            with torch.no_grad():
                for (name, p), g in zip(params.items(), gradients, strict=True):
                    speed[name].mul_(case.momentum).add_(g)
                    p.sub_(speed[name], alpha=case.lr)
        return losses.detach()

    def quiet(steps: int | None = None) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of operators that have no batching rule
            return run(steps)

    return quiet


class _Applied:
    """A module with given parameters and buffers, to be called."""

    def __init__(self, base: torch.nn.Module, params: State, buffers: State) -> None:
        self.base, self.state = base, (params, buffers)

    def __call__(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        return functional_call(self.base, self.state, args, kwargs)
