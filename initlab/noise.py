"""Wrong labels, drawn once from a seed of their own."""

from __future__ import annotations

import torch
from torch import Tensor

from initlab.spec import seed_of, spec

KINDS = ("symmetric", "pairs")


@spec
class LabelNoise:
    """A share `rate` of the training labels is replaced: by another class, all alike
    ("symmetric"), or by the next class ("pairs", c → c + 1).

    Exactly round(rate · N) labels are wrong, and which ones depends on `seed` and N alone: a
    higher rate keeps the wrong labels of a lower one.
    """

    rate: float
    kind: str = "symmetric"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse rates that are no shares and unknown kinds."""
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate is a share of the labels in [0, 1], not {self.rate}")
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of label noise {self.kind!r}; known: {KINDS}")

    def __call__(self, y: Tensor, classes: int) -> Tensor:
        """Labels (N,) with the noise, as a new tensor."""
        wrong, shift = self.drawn(len(y), classes)
        wrong, shift = (t[: round(self.rate * len(y))].to(y.device) for t in (wrong, shift))
        noisy = y.clone()
        noisy[wrong] = (noisy[wrong] + shift) % classes
        return noisy

    def drawn(self, count: int, classes: int) -> tuple[Tensor, Tensor]:
        """The order in which `count` labels become wrong as the rate grows, and by how many classes
        each of those is off: (N,) and (N,).
        """
        generator = torch.Generator().manual_seed(seed_of(self.seed, "label noise", self.kind))
        wrong = torch.randperm(count, generator=generator)
        shift = torch.randint(1, classes, (count,), generator=generator)
        return wrong, torch.ones_like(shift) if self.kind == "pairs" else shift
