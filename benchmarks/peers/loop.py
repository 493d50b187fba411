"""What most people write: one `nn.Module` after the other, `torch.optim.SGD`.

Once with a `DataLoader`, once on tensors that are indexed by chunks of a permutation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from benchmarks.cases import Training

Batches = Callable[[int], Iterator[tuple[Tensor, Tensor]]]


def loader(case: Training, network: int) -> DataLoader:
    """The batches of a network, shuffled by the generator that the case gives it."""
    data = TensorDataset(*(t.cpu() for t in case.data()))
    # As shuffle=True, which also draws a seed for workers from the generator it is given.
    sampler = RandomSampler(data, generator=case.generator(network))
    return DataLoader(data, case.batch, sampler=sampler)


@torch.no_grad()
def put(module: nn.Module, start: dict[str, Tensor], network: int) -> None:
    """Set a module to the start of a network."""
    for name, p in module.named_parameters():
        p.copy_(start[name][network])


def trained_by(case: Training, batches: Batches) -> Callable[[], Tensor]:
    """Trains the networks of the case one by one; their losses at the last step."""
    start, module = case.start(), case.model.build(case.device)

    def run() -> Tensor:
        losses = []
        for network in range(case.networks):
            put(module, start, network)
            optimizer = torch.optim.SGD(module.parameters(), lr=case.lr)
            for x, y in batches(network):
                optimizer.zero_grad()
                loss = F.cross_entropy(module(x), y)
                loss.backward()
                optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses)

    return run


class Loader:
    """The loop over a `DataLoader`."""

    name = "PyTorch loop, DataLoader"
    letters = "abcd"
    one_by_one = True

    def prepare(self, case: Training) -> Callable[[], Tensor]:
        """See `benchmarks.peers.Peer`."""

        def batches(network: int) -> Iterator[tuple[Tensor, Tensor]]:
            for x, y in loader(case, network):
                yield x.to(case.device), y.to(case.device)

        return trained_by(case, batches)


class Tensors:
    """The loop over tensors."""

    name = "PyTorch loop, tensors"
    letters = "abcd"
    one_by_one = True

    def prepare(self, case: Training) -> Callable[[], Tensor]:
        """See `benchmarks.peers.Peer`."""
        x, y = case.data()

        def batches(network: int) -> Iterator[tuple[Tensor, Tensor]]:
            for chosen in case.permutation(network).split(case.batch):
                yield x[chosen], y[chosen]

        return trained_by(case, batches)
