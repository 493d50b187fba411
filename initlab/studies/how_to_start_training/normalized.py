"""Residual networks of ReLU modules with a layer normalization in one of several places."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

#: Where the normalization stands: nowhere; behind the last module; before each module, within its
#: branch; after each sum of stream and branch.
PLACES = ("none", "last", "pre", "post")


class NormalizedResidual(nn.Module):
    """x_l = x_{l−1} + ReLU(W x_{l−1} + b) between a linear stem and a linear head.

    Args:
        place: one of `PLACES`. "pre" also has a normalization behind the last module, as its
            stream is not normalized otherwise.
        modules: number of residual modules.
        width: of the stream.
        inputs: numbers in an input, which is flattened.
        outputs: classes.
    """

    def __init__(
        self, place: str, modules: int, width: int, inputs: int, outputs: int = 10
    ) -> None:
        """Build it with PyTorch's own initialization."""
        super().__init__()
        if place not in PLACES:
            raise ValueError(f"place must be one of {', '.join(PLACES)}, not {place!r}")
        self.place = place
        self.stem, self.head = nn.Linear(inputs, width), nn.Linear(width, outputs)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(modules))
        inner = modules if place in ("pre", "post") else 0
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(inner))
        self.last = nn.LayerNorm(width) if place in ("last", "pre") else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, outputs) of inputs (B, …)."""
        h = self.stem(x.flatten(1))
        for j, layer in enumerate(self.layers):
            if self.place == "pre":
                h = h + F.relu(layer(self.norms[j](h)))
            elif self.place == "post":
                h = self.norms[j](h + F.relu(layer(h)))
            else:
                h = h + F.relu(layer(h))
        return self.head(self.last(h))
