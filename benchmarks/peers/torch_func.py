"""`torch.func`: the parameters of all modules stacked, `vmap` of the gradient of one."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from benchmarks.cases import Training
from benchmarks.peers.loop import put

Params = dict[str, Tensor]


class Eager:
    """As PyTorch's tutorial on model ensembling has it, with the update for all at once."""

    name = "torch.func"
    letters = "abc"
    one_by_one = False

    def prepare(self, case: Training) -> Callable[[], Tensor]:
        """See `benchmarks.peers.Peer`."""
        return trained_by(case, step(case))


class Compiled:
    """The same step through `torch.compile`."""

    name = "torch.func, compiled"
    letters = "abc"
    one_by_one = False

    def prepare(self, case: Training) -> Callable[[], Tensor]:
        """See `benchmarks.peers.Peer`."""
        return trained_by(case, torch.compile(step(case), fullgraph=True, dynamic=False))


def step(case: Training) -> Callable[[Params, Tensor, Tensor], tuple[Params, Tensor]]:
    """One step of all networks: parameters, inputs, classes → parameters, losses."""
    base = case.model.build("meta")

    def loss(params: Params, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(base, params, (x,)), y)

    axis = None if case.shared else 0
    differentiated = vmap(grad_and_value(loss), in_dims=(0, axis, axis))

    def moved(params: Params, x: Tensor, y: Tensor) -> tuple[Params, Tensor]:
        gradients, losses = differentiated(params, x, y)
        return {n: p - case.lr * gradients[n] for n, p in params.items()}, losses

    return moved


def trained_by(case: Training, moved: Callable) -> Callable[[], Tensor]:
    """Trains the networks of the case by a step of all of them; their losses at the last step."""
    x, y = case.data()
    drawn, modules = case.start(), [case.model.build(case.device)]
    modules += [deepcopy(modules[0]) for _ in range(case.networks - 1)]
    for network, module in enumerate(modules):
        put(module, drawn, network)
    start = {n: p.detach() for n, p in stack_module_state(modules)[0].items()}

    @torch.no_grad()
    def run() -> Tensor:
        params, losses = start, torch.empty(case.networks)
        for chosen in case.permutations().split(case.batch, dim=-1):
            params, losses = moved(params, x[chosen], y[chosen])
        return losses

    return run
