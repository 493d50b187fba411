"""The contract of every optimizer: a frozen value of numbers and switches, and one update."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache
from math import inf
from typing import Any, ClassVar, TypeAlias, get_type_hints

from torch import Tensor

from initlab.spec import spec

#: Shapes of a network's parameters by name, without the axis of networks.
Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
#: The fields of an optimizer by name: numbers as a float for all networks or as a tensor of one for
#: each that broadcasts over a stacked parameter, (R, 1, …), and all other fields as they are.
Numbers: TypeAlias = Mapping[str, Any]

#: Bounds of a number that must be ≥ 0, and of a mean's or momentum's share of what came before.
POSITIVE, SHARE = (0.0, inf), (0.0, 1.0)


@spec
class Optimizer:
    """An optimizer as a value: a new one is a subclass with an `update`, decorated by `spec`.

    Fields annotated as `float` are its numbers: networks that train as one may each have their own.
    All other fields are shared by them. A subclass that changes nothing but defaults, as `AdamW`
    does, trains together with the class whose `update` it inherits; one with more fields or other
    slots defines its own `update`.

    Args:
        lr: learning rate, > 0.

    Raises:
        ValueError: for a rate that is not positive and for numbers outside of `bounds`.
        TypeError: for a class that has no `update` or is not decorated.
    """

    lr: float = 0.01

    #: low ≤ number < high, by field.
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {}
    #: Fields that are learning rates: > 0, multiplied by the schedule and by rates of parameters.
    rates: ClassVar[tuple[str, ...]] = ("lr",)
    #: Which of the tables of `initlab.init.mup.MuP` holds for it: "sgd", "adam" or None.
    mup: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        """Refuse rates that are not positive and numbers outside of their bounds."""
        name = type(self).__name__
        if kind(self) is Optimizer:
            raise TypeError(f"{name} has no update: an optimizer is a subclass that defines one")
        if "__dataclass_fields__" not in vars(type(self)):
            raise TypeError(f"{name} is no spec: decorate the class by initlab.spec.spec")
        for field in self.rates:
            if not getattr(self, field) > 0:
                raise ValueError(f"{name}: {field} must be > 0, not {getattr(self, field)}")
        for field, (low, high) in self.bounds.items():
            value = getattr(self, field)
            if not low <= value < high:
                below = f" and < {high:g}" if high < inf else ""
                raise ValueError(f"{name}: {field} must be ≥ {low:g}{below}, not {value}")

    def slots(self, shapes: Shapes) -> list[int]:
        """How many tensors of state it keeps of each parameter, each of the parameter's shape.

        Args:
            shapes: of all parameters of a network, in its order.

        Returns:
            A number for each parameter.
        """
        return [0] * len(shapes)

    @property
    def is_plain_sgd(self) -> bool:
        """Whether a step is θ ← θ − lr g and nothing else, for which there are faster ways."""
        return False

    @staticmethod
    def update(
        theta: Tensor, grad: Tensor, slots: Sequence[Tensor], n: Numbers, count: int | Tensor
    ) -> None:
        """One step of R networks on one of their parameters, in place.

        Args:
            theta: the parameter, (R, *shape).
            grad: the gradient of each network's loss, (R, *shape); may be overwritten.
            slots: state of the parameter, (R, *shape) each, zeros before the first step.
            n: the optimizers' fields by name. A number is a float for all networks or a tensor of
                one for each, (R, 1, …), that broadcasts over `theta`; rates are multiplied already
                by the schedule's factor and by the parameter's own. All other fields are as they
                are.
            count: number of this step, from 1; a tensor where steps are captured as a CUDA graph.
        """
        raise NotImplementedError


def kind(optimizer: Optimizer) -> type[Optimizer]:
    """The class whose `update` an optimizer uses."""
    return next(c for c in type(optimizer).__mro__ if "update" in vars(c))


@cache
def _fields(cls: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the fields that are numbers, and of all others."""
    hints, names = get_type_hints(cls), [f.name for f in dataclasses.fields(cls)]
    numbers = tuple(name for name in names if hints[name] is float)
    return numbers, tuple(name for name in names if name not in numbers)


def numbers(optimizer: Optimizer) -> dict[str, float]:
    """The fields that may differ from network to network of a group, by name."""
    cls: Any = kind(optimizer)
    return {name: float(getattr(optimizer, name)) for name in _fields(cls)[0]}


def shared(optimizer: Optimizer) -> dict[str, Any]:
    """The fields that the optimizers of one group have in common, by name."""
    cls: Any = kind(optimizer)
    return {name: getattr(optimizer, name) for name in _fields(cls)[1]}


def family(optimizer: Optimizer) -> tuple:
    """What the optimizers of one group must have in common: their kind, and fields but numbers."""
    return kind(optimizer).__name__, *shared(optimizer).items()


def shrink(theta: Tensor, n: Numbers) -> None:
    """Decoupled weight decay λ, in place: θ ← (1 − lr·λ) θ."""
    weight_decay = n["weight_decay"]
    if isinstance(weight_decay, Tensor) or weight_decay != 0:
        theta.mul_(1 - n["lr"] * weight_decay)


def penalize(theta: Tensor, grad: Tensor, n: Numbers) -> None:
    """An L2 penalty λ, in place: g ← g + λθ."""
    weight_decay = n["weight_decay"]
    if isinstance(weight_decay, Tensor) or weight_decay != 0:
        add(grad, theta, weight_decay)


def add(t: Tensor, other: Tensor, times: float | Tensor) -> Tensor:
    """t ← t + times · other, in place and in one pass."""
    if isinstance(times, Tensor):
        return t.addcmul_(other, times)
    return t.add_(other, alpha=times)
