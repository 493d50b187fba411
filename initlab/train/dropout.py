"""Dropout whose masks come from a generator of the network, not from PyTorch's global one.

The global generator is one for all threads: networks that draw from it wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

#: Probabilities are multiples of one part in so many.
LEVELS = 2**16
#: What gives a mask for a tensor and the probability with which an entry is kept.
Source = Callable[[Tensor, float], Tensor]


class SeededDropout(nn.Dropout):
    """`nn.Dropout` with masks from elsewhere."""

    source: Source

    def forward(self, x: Tensor) -> Tensor:
        """Multiply by a mask, in training."""
        return x * self.source(x, 1 - self.p) if self.training and self.p > 0 else x


def seeded(module: nn.Module, source: Source) -> bool:
    """Let every `nn.Dropout` of a module take its masks from `source`; whether there is one.

    What else draws (attention's own dropout, stochastic depth, `F.dropout`) stays as it is.
    """
    found = [m for m in module.modules() if type(m) is nn.Dropout]
    for m in found:
        m.__class__ = SeededDropout
        cast(SeededDropout, m).source = source
    return bool(found)


class Drawn:
    """Masks of one network, drawn where they are asked for."""

    def __init__(self, generator: torch.Generator) -> None:
        """Draw from this generator."""
        self.generator = generator

    def __call__(self, x: Tensor, keep: float) -> Tensor:
        """See `Source`."""
        return _mask(_bits(x.shape, self.generator), x.shape, keep, x.detach())


class Prepared:
    """Masks that were drawn before the network is called: inside of `vmap` nothing can be drawn.

    While `sizes` is a list, what is asked for is noted there, and nothing is masked.
    """

    def __init__(self) -> None:
        """Without masks."""
        self.sizes: list[tuple[torch.Size, float]] | None = None
        self.ready: Iterator[Tensor] = iter(())

    def __call__(self, x: Tensor, keep: float) -> Tensor:
        """See `Source`."""
        if self.sizes is None:
            return next(self.ready)
        self.sizes.append((x.shape, keep))
        return torch.ones_like(x)


def masks(
    generators: Sequence[torch.Generator], sizes: Sequence[tuple[torch.Size, float]], like: Tensor
) -> list[Tensor]:
    """Masks of R networks, (R, *size) for each size, each network's from its own generator."""
    made = []
    for size, keep in sizes:
        bits = [_bits(size, generator) for generator in generators]
        made.append(_mask(torch.stack(bits), size, keep, like))
    return made


def _bits(size: torch.Size, generator: torch.Generator) -> Tensor:
    """Random bits for `LEVELS` levels of each entry, by four in one number: faster than `uniform_`,
    which is faster than `bernoulli_`.
    """
    some = torch.empty(-(-size.numel() // 4), dtype=torch.int64, device=generator.device)
    return some.random_(-(2**63), None, generator=generator)


def _mask(bits: Tensor, size: torch.Size, keep: float, like: Tensor) -> Tensor:
    """1/keep where an entry is kept, else 0; `keep` is rounded to a level."""
    level = round(keep * LEVELS)
    made = like.new_zeros(*bits.shape[:-1], *size)
    if level:
        drawn = bits.view(torch.int16)[..., : size.numel()].view(made.shape)
        torch.le(drawn, level - 1 - LEVELS // 2, out=made)
        made.mul_(LEVELS / level)
    return made
