"""Activations by name, as functions and as modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initlab.spec import spec

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


@spec
class Transformed:
    """γ(φ(αx + β) + δ): an activation stretched and shifted before and after it is applied.

    Args:
        activation: name of φ.
        input_scale: α.
        input_shift: β.
        output_scale: γ.
        output_shift: δ.

    >>> Transformed("tanh", input_scale=0.5, output_scale=2.0)(torch.tensor(0.0))
    tensor(0.)
    """

    activation: str
    input_scale: float = 1.0
    input_shift: float = 0.0
    output_scale: float = 1.0
    output_shift: float = 0.0

    def __post_init__(self) -> None:
        """Refuse unknown activations."""
        activation(self.activation)

    @property
    def label(self) -> str:
        """The name of φ, and that it is transformed."""
        return f"{self.activation}, transformed"

    def __call__(self, x: Tensor) -> Tensor:
        """The transformed activation, elementwise."""
        phi = ACTIVATIONS[self.activation]
        inner = self.input_scale * x + self.input_shift
        return self.output_scale * (phi(inner) + self.output_shift)


#: An activation by name, or a transformed one.
AnyActivation: TypeAlias = str | Transformed

#: Those that may write over their input and still know their derivative.
_IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "tanh": torch.tanh_,
    "sigmoid": torch.sigmoid_,
}


def activation(name: AnyActivation) -> Callable[[Tensor], Tensor]:
    """The activation of that name; raises `ValueError` naming the known ones."""
    if isinstance(name, Transformed):
        return name
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}; known: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def overwriting(name: AnyActivation) -> Callable[[Tensor], Tensor]:
    """The activation of that name, for an input that nobody needs afterwards."""
    if isinstance(name, Transformed):
        return name
    return _IN_PLACE.get(name, activation(name))


class Activation(nn.Module):
    """An activation by name, or a transformed one, as a module."""

    def __init__(self, name: AnyActivation) -> None:
        """Look `name` up in `ACTIVATIONS`."""
        super().__init__()
        self.name = name
        self.function = activation(name)

    def forward(self, x: Tensor) -> Tensor:
        """The activation, elementwise."""
        return self.function(x)

    def extra_repr(self) -> str:
        """The name, for `print(module)`."""
        return str(self.name)
