"""A schedule of re-initializations, as a value."""

from __future__ import annotations

import dataclasses

from initlab.reinit.contract import Method
from initlab.reinit.methods import Full, LayerWise
from initlab.spec import spec

_CHOICES = {
    "optimizer": ("fresh", "kept"),
    "buffers": (None, "fresh", "kept"),
    "schedule": ("restart", "whole"),
    "teacher": (None, "alone", "with labels"),
    "total": ("shared", "each"),
}


@spec
class Stages:
    """Training in `count` stages of equal length; each but the first begins by `method`.

    All stages together take the epochs of the budget (`total` "shared"), so that a run costs what
    standard training costs, or each takes all of them ("each").

    At the start of a stage the `optimizer` forgets its state ("fresh") or not ("kept"); `buffers`,
    the running statistics of normalization, are "fresh" or "kept", by default as the authors of
    the method have them; the learning rate's `schedule` begins again in every stage ("restart") or
    runs over the "whole" training.

    With a `teacher` each stage learns from the network of the stage before: the targets are its
    probabilities on the same batch, without a temperature, "alone" or "with labels", whose loss
    is then added with the weight `labels`. `Full()` with a teacher gives born-again networks
    (Furlanello et al. 2018): "each" as they train them, "shared" at the budget of one.

    >>> Stages(Full(), 3).lengths(10)
    (3, 3, 4)
    """

    method: Method
    count: int
    optimizer: str = "fresh"
    buffers: str | None = None
    schedule: str = "restart"
    teacher: str | None = None
    labels: float = 1.0
    total: str = "shared"

    def __post_init__(self) -> None:
        """Refuse counts below 1, unknown choices and weights below 0."""
        if self.count < 1:
            raise ValueError(f"count is a number of stages ≥ 1, not {self.count}")
        for name, known in _CHOICES.items():
            if (here := getattr(self, name)) not in known:
                raise ValueError(f"unknown {name} {here!r}; known: {', '.join(map(repr, known))}")
        if self.labels < 0:
            raise ValueError(f"labels is the weight of their loss, ≥ 0, not {self.labels}")
        if self.labels != 1 and self.teacher != "with labels":
            raise ValueError("labels is for stages with teacher='with labels'")

    @property
    def label(self) -> str:
        """How figures and frames call these stages."""
        teacher = {None: "", "alone": ", taught", "with labels": ", taught with labels"}
        return f"{self.method.label} ×{self.count}{teacher[self.teacher]}"

    @property
    def fresh_buffers(self) -> bool:
        """Whether running statistics start anew at each stage."""
        return (self.buffers or self.method.buffers) == "fresh"

    @property
    def alike(self) -> Stages:
        """These stages without what may differ between networks that train as one."""
        method = LayerWise() if self.method.normalizes else Full()
        return dataclasses.replace(self, method=method)

    def lengths(self, epochs: int) -> tuple[int, ...]:
        """Epochs of each stage under a budget of `epochs`.

        Raises `ValueError` for a budget that has not one epoch for each.
        """
        if self.count > epochs:
            raise ValueError(f"{self.count} stages need a budget of as many epochs, not {epochs}")
        if self.total == "each":
            return (epochs,) * self.count
        ends = [epochs * (s + 1) // self.count for s in range(self.count)]
        return tuple(b - a for a, b in zip([0, *ends[:-1]], ends, strict=True))
