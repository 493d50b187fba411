"""What `fit` is given, checked and in the form in which it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from initlab.data import DataSet, Split
from initlab.models import AnyModel, Network, Params
from initlab.train.ensemble import Batch, ModuleEnsemble
from initlab.train.recipe import Recipe
from initlab.tree import apply, row_of


def each(what: str, value: Any, R: int) -> list[Any]:
    """One value per network."""
    if not isinstance(value, Sequence):
        return [value] * R
    if len(value) != R:
        raise ValueError(f"{len(value)} values of {what} were given for {R} networks")
    return list(value)


def multipliers(rates: Sequence[Mapping[str, float]], params: Params) -> dict[str, float | Tensor]:
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


def relabelled(data: DataSet, targets: Tensor, R: int) -> tuple[DataSet, Tensor | None]:
    """`data` with `targets` in place of its training targets, and those of each network if they
    are (R, N, …).
    """
    y, before = targets.to(data.train.y.device), data.train.y
    shape = tuple(before.shape)
    if y.is_floating_point() and not before.is_floating_point() and data.classes is not None:
        shape = (*shape, data.classes)
    if tuple(y.shape) == (R, *shape):
        return data, y
    if tuple(y.shape) != shape:
        raise ValueError(
            f"targets must have shape {shape} or, for each network, {(R, *shape)}, not "
            f"{tuple(y.shape)}"
        )
    return replace(data, train=Split(data.train.x, y)), None


def shaped(model: AnyModel, data: DataSet) -> DataSet:
    """`data` in the shape that the model takes; raises `ValueError` where they do not fit."""
    if isinstance(model, Network):
        return data
    shape = model.input_shape

    def split(s: Split) -> Split:
        if not isinstance(s.x, Tensor):
            raise ValueError(
                f"{data.name} has several inputs, but {type(model).__name__} takes one; a "
                "Network(…) may take several"
            )
        if not s.x.is_floating_point():
            raise ValueError(
                f"{data.name} has whole numbers as inputs, but {type(model).__name__} takes "
                "numbers: give x.float()"
            )
        return s if s.x.shape[1:] == shape else Split(s.x.reshape(len(s.x), *shape), s.y)

    if data.features != torch.Size(shape).numel():
        raise ValueError(
            f"{data.name} has inputs of {data.features} numbers, but the model takes {shape}"
        )
    val = None if data.val is None else split(data.val)
    return replace(data, train=split(data.train), test=split(data.test), val=val)


def sample(recipe: Recipe, data: DataSet, labels: Tensor | None) -> Batch | None:
    """A batch of the data, to try a user's network on; None for the models of this package."""
    if not isinstance(recipe.model, Network) or recipe.budget is None:
        return None
    here = slice(0, recipe.budget.batch_size)
    x = apply(lambda t: t[here], data.train.x)
    y = data.train.y[here] if labels is None else labels[:, here]
    return Batch(x, y, False, labels is not None)


def check_targets(recipe: Recipe, data: DataSet, params: Params, labels: Tensor | None) -> None:
    """Refuse targets that are not for the loss, or for the outputs that the network has.

    Raises:
        ValueError: If so, or if the network does not take the inputs.
    """
    model, loss = recipe.model, recipe.loss
    if isinstance(model, Network):
        few = apply(lambda t: t[:2], data.train.x)
        one = ModuleEnsemble(model, {name: t[:1] for name, t in params.items()})
        try:
            outputs = row_of(one.predict(few), 0)
        except ValueError:
            raise
        except Exception as error:
            why = (str(error).splitlines() or ["no message"])[0]
            shapes = apply(lambda t: f"{tuple(t.shape)} {t.dtype}", few)
            raise ValueError(
                f"{model.label} does not take the inputs of {data.name}, two of which are "
                f"{shapes}: {type(error).__name__}: {why}"
            ) from error
        if outputs.dim() == 0 or len(outputs) != len(data.train.y[:2]):
            raise ValueError(
                f"{model.label} must give one output for each sample, but of two samples it gives "
                f"{tuple(outputs.shape)}"
            )
    else:
        if loss.classifies and data.classes is not None and model.outputs != data.classes:
            raise ValueError(
                f"{data.name} has {data.classes} classes, but the model has {model.outputs} outputs"
            )
        outputs = torch.empty(2, model.outputs or 1, device="meta")
    for y in [data.train.y] if labels is None else labels:
        loss.check(outputs, y)
    for split in (data.val, data.test):
        if split is not None and len(split):
            loss.check(outputs, split.y)
