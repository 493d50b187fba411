"""What a run at initialization may measure: inputs in, numbers of each network, rows out."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from initlab.models import Model, Params

#: (network, layer, step, statistic, value), as the store takes it.
Row: TypeAlias = tuple[int, int, int, str, float]

LAYERS = ("last", "all")


class Measure(Protocol):
    """A frozen value that a `Run` carries as `measure`; nothing else decides what is reported."""

    @property
    def image(self) -> int | None:
        """Index of the first training image to look at, or None for inputs of its own."""

    @property
    def examples(self) -> int:
        """How many inputs each network sees."""

    def inputs(self, count: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Inputs of its own for `count` networks: (count, examples, *shape)."""

    def values(
        self, model: Model, params: Params, x: Tensor, generator: torch.Generator
    ) -> np.ndarray:
        """What is measured of R networks on `x`, (R, …); `generator` is for what else is drawn."""

    def report(self, values: np.ndarray) -> list[Row]:
        """Rows of all networks' values."""


def check_layers(layers: str) -> None:
    """Raise `ValueError` for an unknown choice of layers."""
    if layers not in LAYERS:
        raise ValueError(f"layers must be 'last' or 'all', not {layers!r}")


def check_image(image: int | None) -> None:
    """Raise `ValueError` for what is no index of an image."""
    if image is not None and image < 0:
        raise ValueError(
            "image must be the index of a training image, 0 or larger, or None for random "
            f"inputs, not {image!r}"
        )
