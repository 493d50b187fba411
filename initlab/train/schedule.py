"""How the learning rate moves during training: a factor on it, by step."""

from __future__ import annotations

from math import cos, pi
from typing import TypeAlias

from initlab.spec import spec


@spec
class ConstantRate:
    """The rate stays as it is."""

    def factor(self, step: int, steps: int, per_epoch: int) -> float:
        """1, whatever the step."""
        return 1.0


@spec
class StepDecay:
    """The rate is multiplied by `gamma` once each share `at` of the training is behind.

    >>> [StepDecay(at=(0.5,)).factor(step, 4, 1) for step in range(4)]
    [1.0, 1.0, 0.1, 0.1]
    """

    at: tuple[float, ...] = (0.5, 0.75)
    gamma: float = 0.1

    def __post_init__(self) -> None:
        """Refuse shares outside (0, 1) and factors that are not positive."""
        if not self.at or not all(0 < a < 1 for a in self.at):
            raise ValueError(f"at holds shares of the training between 0 and 1, not {self.at}")
        if not self.gamma > 0:
            raise ValueError(f"gamma must be > 0, not {self.gamma}")

    def factor(self, step: int, steps: int, per_epoch: int) -> float:
        """The factor on the rate at `step` (from 0) of `steps`."""
        return self.gamma ** sum(step >= a * steps for a in self.at)


@spec
class Cosine:
    """Half a cosine from 1 to `floor` (Loshchilov & Hutter 2017), `cycles` times over.

    Before it the rate grows linearly for `warmup` epochs, reaching 1 in their last step.

    >>> [round(Cosine(warmup=2).factor(step, 6, 1), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """

    cycles: int = 1
    warmup: float = 0.0
    floor: float = 0.0

    def __post_init__(self) -> None:
        """Refuse cycles, warm-ups and floors that there are not."""
        if self.cycles < 1:
            raise ValueError(f"cycles must be ≥ 1, not {self.cycles}")
        if not self.warmup >= 0:
            raise ValueError(f"warmup is a number of epochs ≥ 0, not {self.warmup}")
        if not 0 <= self.floor <= 1:
            raise ValueError(f"floor is a share of the rate in [0, 1], not {self.floor}")

    def factor(self, step: int, steps: int, per_epoch: int) -> float:
        """The factor on the rate at `step` (from 0) of `steps`."""
        warm = round(self.warmup * per_epoch)
        if step < warm:
            return (step + 1) / warm
        along = (step - warm) / max(1, steps - warm) * self.cycles % 1.0
        return self.floor + (1 - self.floor) * (1 + cos(pi * along)) / 2


Schedule: TypeAlias = ConstantRate | StepDecay | Cosine
