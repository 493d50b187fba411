"""What `fit` is given, checked and in the form in which it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from initlab.data import DataSet, Split
from initlab.models import Model, Params


def each(what: str, value: Any, R: int) -> list[Any]:
    """One value per network."""
    if not isinstance(value, Sequence):
        return [value] * R
    if len(value) != R:
        raise ValueError(f"{len(value)} values of {what} were given for {R} networks")
    return list(value)


def factors(rates: Sequence[Mapping[str, float]], params: Params) -> dict[str, float | Tensor]:
    """Each named parameter's multiplier of the learning rate: one number, or one per network."""
    factors: dict[str, float | Tensor] = {}
    for name in sorted({name for own in rates for name in own}):
        if name not in params:
            raise ValueError(
                f"rates name a parameter {name!r} that the networks do not have; they have "
                f"{', '.join(params)}"
            )
        values = [float(own.get(name, 1.0)) for own in rates]
        if wrong := [v for v in values if not 0 <= v < float("inf")]:
            raise ValueError(f"the rate of {name} must be a finite number ≥ 0, not {wrong[0]}")
        same = len(set(values)) == 1
        factors[name] = values[0] if same else torch.tensor(values, device=params[name].device)
    return factors


def relabelled(data: DataSet, targets: Tensor, R: int) -> DataSet:
    """`data` with `targets` in place of its training classes."""
    y, N = targets.to(data.train.x.device), len(data.train.x)
    shapes = [(N,), (R, N)]
    if y.is_floating_point():
        shapes = [(*shape, data.classes) for shape in shapes]
    if tuple(y.shape) not in shapes:
        raise ValueError(
            f"targets must have shape {shapes[0]} or, for each network, {shapes[1]}, not "
            f"{tuple(y.shape)}"
        )
    return replace(data, train=Split(data.train.x, y))


def shaped(model: Model, data: DataSet) -> DataSet:
    """`data` in the shape that the model takes; raises `ValueError` where they do not fit."""
    shape = model.input_shape

    def split(s: Split) -> Split:
        return s if s.x.shape[1:] == shape else Split(s.x.reshape(len(s.x), *shape), s.y)

    if data.features != torch.Size(shape).numel():
        raise ValueError(
            f"{data.name} has inputs of {data.features} numbers, but the model takes {shape}"
        )
    if model.outputs != data.classes:
        raise ValueError(
            f"{data.name} has {data.classes} classes, but the model has {model.outputs} outputs"
        )
    val = None if data.val is None else split(data.val)
    return replace(data, train=split(data.train), test=split(data.test), val=val)
