"""Activations by name, as functions and as modules."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": torch.relu,
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "erf": torch.erf,
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "silu": F.silu,
    "mish": F.mish,
    "sine": torch.sin,
    "abs": torch.abs,
}


#: Those that may write over their input and still know their derivative.
_IN_PLACE = {"relu": torch.relu_, "tanh": torch.tanh_, "sigmoid": torch.sigmoid_}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation of that name; raises `ValueError` naming the known ones."""
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}; known: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def overwriting(name: str) -> Callable[[Tensor], Tensor]:
    """The activation of that name, for an input that nobody needs afterwards."""
    return _IN_PLACE.get(name, activation(name))


class Activation(nn.Module):
    """An activation by name, as a module."""

    def __init__(self, name: str) -> None:
        """Look `name` up in `ACTIVATIONS`."""
        super().__init__()
        self.name = name
        self.function = activation(name)

    def forward(self, x: Tensor) -> Tensor:
        """The activation, elementwise."""
        return self.function(x)

    def extra_repr(self) -> str:
        """The name, for `print(module)`."""
        return self.name
