"""The work that is measured: the same tensors, starts and orders for everyone.

A `Training` is one pass over random data (only its shape matters for time) by a number of
networks, from given starts, in given orders. A `Signal` is the length of every layer of networks
at their starts, the drawing of them included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil
from typing import Any

import torch
from torch import Tensor

from initlab.init import HeNormal, stacked
from initlab.models import MLP, ResNet9

ORDERS = ("shared", "own")
CLASSES = 10


@dataclass(frozen=True)
class Training:
    """One epoch of plain SGD on the cross-entropy by `networks` networks.

    `order`: "shared" gives all networks the same batches, "own" gives each its own permutation.
    `few` is how many of the networks someone trains who takes one after the other: their time
    per network does not depend on how many follow.
    """

    letter: str
    title: str
    model: Any
    networks: int
    few: int
    samples: int = 8192
    batch: int = 128
    lr: float = 0.01
    momentum: float = 0.0
    order: str = "shared"
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse orders that there are not."""
        if self.order not in ORDERS:
            raise ValueError(f"order must be one of {', '.join(ORDERS)}, not {self.order!r}")

    @property
    def steps(self) -> int:
        """Steps of one network; the last batch may be smaller."""
        return ceil(self.samples / self.batch)

    @property
    def shared(self) -> bool:
        """Whether all networks see the same batches."""
        return self.order == "shared"

    def on(self, device: str) -> Training:
        """The same work there. A GPU is given more of it, so that what is set up once does not
        decide, and one network of those who take one after the other.
        """
        if device == "cpu":
            return self
        longer = 32 if self.samples < 1024 else 4
        return replace(self, device=device, samples=longer * self.samples, few=1)

    def of(self, networks: int) -> Training:
        """The same work by the first `networks` of its networks."""
        return replace(self, networks=networks, few=min(self.few, networks))

    def data(self) -> tuple[Tensor, Tensor]:
        """Inputs (samples, *input) float32 and classes (samples,) int64, on the device."""
        x, y = _data(self.samples, tuple(self.model.input_shape))
        return x.to(self.device), y.to(self.device)

    def start(self) -> dict[str, Tensor]:
        """Parameters at the start, (networks, *shape) each: He normal, and BatchNorm's own."""
        generator = torch.Generator().manual_seed(0)
        module = self.model.build()
        drawn = stacked(module, HeNormal(), generator, self.networks)
        return {
            name: drawn.get(name, p.detach().expand(self.networks, *p.shape).clone()).to(
                self.device
            )
            for name, p in module.named_parameters()
        }

    def generator(self, network: int) -> torch.Generator:
        """Draws the order of a network: its batches are `randperm` of it, cut in turn."""
        return torch.Generator().manual_seed(1 if self.shared else 1 + network)

    def permutation(self, network: int) -> Tensor:
        """The order in which a network sees the samples: (samples,) int64, on the device."""
        return torch.randperm(self.samples, generator=self.generator(network)).to(self.device)

    def permutations(self) -> Tensor:
        """The orders of all networks, (networks, samples), or the one they share, (samples,)."""
        if self.shared:
            return self.permutation(0)
        return torch.stack([self.permutation(r) for r in range(self.networks)])


@dataclass(frozen=True)
class Signal:
    """M_0 … M_d of freshly drawn networks: He normal weights, no biases, one random unit input."""

    letter: str
    title: str
    depth: int
    width: int
    networks: int
    few: int
    samples: int = 1
    order: str = "own"
    device: str = "cpu"

    def on(self, device: str) -> Signal:
        """The same work there, and less of it for those who take one after the other on a GPU."""
        return self if device == "cpu" else replace(self, device=device, few=min(self.few, 10))

    def of(self, networks: int) -> Signal:
        """The same work for `networks` networks."""
        return replace(self, networks=networks, few=min(self.few, networks))


@lru_cache(maxsize=2)
def _data(samples: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(samples, *shape, generator=generator)
    return x, torch.randint(CLASSES, (samples,), generator=generator)


CASES: dict[str, Training | Signal] = {
    case.letter: case
    for case in (
        Training("a", "64 MLPs 784-32-32-10", MLP((32, 32)), networks=64, few=16),
        Training("b", "16 MLPs 784-100-100-10", MLP((100, 100)), networks=16, few=16),
        Training(
            "c",
            "200 MLPs of depth 20 and width 20",
            MLP.constant(20, 20),
            networks=200,
            few=4,
        ),
        Training(
            "d",
            "8 ResNet-9 of width 16 with BatchNorm",
            ResNet9(width=16, input_shape=(3, 16, 16)),
            networks=8,
            few=2,
            samples=512,
        ),
        Signal(
            "e",
            "signal of 1,000 networks of depth 50 and width 50",
            depth=50,
            width=50,
            networks=1000,
            few=100,
        ),
    )
}
