"""A user's own loop over her own networks: one module after the other, `torch.optim.SGD`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.own import OWN, OwnTraining, called, picked


@torch.no_grad()
def put(module: nn.Module, start: dict[str, Tensor], network: int) -> None:
    """Set a module's parameters and buffers to the start of a network."""
    for name, t in (*module.named_parameters(), *module.named_buffers()):
        t.copy_(start[name][network])


class OwnLoop:
    """Batches are indexed by chunks of a permutation."""

    name = "own loop"
    letters = "".join(OWN)
    one_by_one = True

    def prepare(self, case: OwnTraining) -> Callable[[], Tensor]:
        """See `benchmarks.peers.Peer`."""
        x, y = case.data()
        start, module = case.start(), case.model.build().train()

        def run() -> Tensor:
            losses = []
            for network in range(case.networks):
                put(module, start, network)
                optimizer = torch.optim.SGD(module.parameters(), case.lr, case.momentum)
                for chosen in case.permutation(network).split(case.batch):
                    optimizer.zero_grad()
                    loss = case.plain(called(module, picked(x, chosen)), y[chosen])
                    loss.backward()
                    optimizer.step()
                losses.append(loss.detach())
            return torch.stack(losses)

        return run
