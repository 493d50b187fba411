"""Signal statistics in PyTorch: forward hooks on one module after the other, or `vmap`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import vmap

from benchmarks.cases import Signal


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True)


class Hooks:
    """What most people write: a hook on every activation of an `nn.Module`."""

    name = "PyTorch loop, hooks"
    letters = "e"
    one_by_one = True

    def prepare(self, case: Signal) -> Callable[[], Tensor]:
        """See `benchmarks.peers.Peer`."""
        layers: list[nn.Module] = []
        for _ in range(case.depth):
            layers += [nn.Linear(case.width, case.width, bias=False), nn.ReLU()]
        module = nn.Sequential(*layers).to(case.device)
        found: list[Tensor] = []
        for layer in layers[1::2]:
            layer.register_forward_hook(lambda m, i, output: found.append(output.square().mean()))

        @torch.no_grad()
        def run() -> Tensor:
            rows = []
            for _ in range(case.networks):
                for layer in layers[::2]:
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                x = _unit(torch.randn(1, case.width, device=case.device))
                found[:] = [x.square().mean()]
                module(x)
                rows.append(torch.stack(found))
            return torch.stack(rows)

        return run


class Vmapped:
    """Weights of all networks drawn at once, `vmap` over the forward pass of one."""

    name = "torch.func"
    letters = "e"
    one_by_one = False

    def prepare(self, case: Signal) -> Callable[[], Tensor]:
        """See `benchmarks.peers.Peer`."""
        R, n, d = case.networks, case.width, case.depth

        def one(weights: list[Tensor], x: Tensor) -> Tensor:
            found = [x.square().mean()]
            for W in weights:
                x = torch.relu(F.linear(x, W))
                found.append(x.square().mean())
            return torch.stack(found)

        @torch.no_grad()
        def run() -> Tensor:
            drawn = partial(torch.randn, device=case.device)
            weights = [drawn(R, n, n) * sqrt(2 / n) for _ in range(d)]
            return vmap(one)(weights, _unit(drawn(R, n)))

        return run
