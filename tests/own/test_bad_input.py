"""Bad input for networks, tensors, losses and budgets of one's own: one clear error each."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from initlab import (
    MLP,
    BinaryCrossEntropy,
    Budget,
    CrossEntropy,
    Curves,
    Data,
    FunctionLoss,
    Huber,
    LabelNoise,
    MeanSquaredError,
    Metric,
    Network,
    Run,
    SecondMoments,
    Stages,
    Tensors,
    fit,
    load,
    run,
)
from initlab.data import DataError
from initlab.init import AsBuilt, HeNormal, initialize
from initlab.reinit import ShrinkPerturb
from initlab.spec import from_plain, to_plain
from initlab.sweep import Pretrained
from initlab.train import SGD
from tests.own.networks import DropoutRegression, PlainMLP, TinyGPT

X, Y = torch.randn(8, 16), torch.arange(8) % 4
NUMBERS = torch.randn(8)
CLASSES = Tensors(train=(X, Y), test=(X, Y))
REGRESSION = Tensors(train=(X, NUMBERS), test=(X, NUMBERS))
NET = Network(PlainMLP)
BUDGET = Budget(epochs=1, batch_size=4)


def no_number(outputs, targets):
    """Not a mean, but the error of each."""
    return outputs.sum(-1)


def nothing(outputs, targets):
    """No number at all."""
    return None


class OnlyFive(nn.Module):
    """Takes five numbers, and fails on others as its author wrote it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Whole(nn.Module):
    """One number for a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x).sum()


def no_module() -> int:
    """A factory that gives something else."""
    return 3


def train(data=CLASSES, model=NET, **more):
    one = Run(model, AsBuilt(), data=data, **{"budget": BUDGET} | more)
    return run([one], recorded=False)


def fitted(**more):
    module = PlainMLP()
    params = {n: p.detach()[None] for n, p in module.named_parameters()}
    given = {"optimizer": SGD(0.1), "budget": BUDGET} | more
    return fit(given.pop("model", module), given.pop("params", params), CLASSES, **given)


ROWS = {
    # networks
    "no class": (lambda: Network(3), "a class or a function was expected"),
    "no such name": (lambda: Network("torch.nn:Lineal"), "there is no 'torch.nn:Lineal' here"),
    "no colon": (lambda: Network("torch.nn.Linear"), "a name is 'package.module:Name'"),
    "an instance": (lambda: Network(PlainMLP()), "write a function that returns the network"),
    "a tensor as argument": (lambda: Network(PlainMLP, width=X), "the argument width must be made"),
    "no module": (lambda: Network(no_module).build(), "must give a torch module, not int"),
    "changed source": (
        lambda: from_plain(to_plain(NET) | {"source": "0123"}).build(),
        "has changed: its source was 0123",
    ),
    "no such output": (lambda: train(model=NET.picking("logitz")), "has no 'logitz'"),
    "inputs it does not take": (
        lambda: train(model=Network(OnlyFive)),
        "OnlyFive does not take the inputs of tensors",
    ),
    "one output for all": (lambda: train(model=Network(Whole)), "one output for each sample"),
    "a measure": (
        lambda: Run(NET, HeNormal(), measure=SecondMoments()),
        "a measure draws networks of this package",
    ),
    "its head": (
        lambda: Run(
            NET, HeNormal(), data=CLASSES, budget=BUDGET,
            start=Pretrained(Run(NET, HeNormal(), data=CLASSES, budget=BUDGET)),
        ),
        "are its head is not known",
    ),
    "as built": (
        lambda: Run(MLP((3,)), AsBuilt(), data=Data("digits"), budget=BUDGET),
        "MLP says nothing of its start",
    ),
    # tensors
    "no pair": (lambda: Tensors(train=X), "train must be a pair of inputs and targets, not Tensor"),
    "no tensors": (lambda: Tensors(train=([1.0], Y)), "input 0 must be a tensor or an array"),
    "one too few": (lambda: Tensors(train=(X, Y[1:])), "8 inputs and 7 targets"),
    "no samples": (lambda: Tensors(train=(X[:0], Y[:0])), "one or more samples"),
    "not finite": (
        lambda: Tensors(train=(X / 0, Y)),
        "train: inputs: 128 numbers are not finite; remove or replace them",
    ),
    "bytes": (
        lambda: Tensors(train=(np.zeros((8, 3), np.uint8), Y)),
        "are bytes: give pixels as numbers",
    ),
    "complex": (lambda: Tensors(train=(X + 0j, Y)), "are complex"),
    "another form": (
        lambda: Tensors(train=(X, Y), test=(X[:, :3], Y)),
        "test has samples of another form than train",
    ),
    "no data set": (lambda: Tensors.from_datasets(train=iter([])), "a map-style data set"),
    "known by hash": (
        lambda: load(from_plain(to_plain(CLASSES) | {"content": "ab"})),
        "are known by their hash ab alone",
    ),
    "noise on numbers": (
        lambda: Run(NET, HeNormal(), data=REGRESSION, budget=BUDGET, noise=LabelNoise(0.1)),
        "noise is wrong classes",
    ),
    # losses
    "numbers for classes": (lambda: train(REGRESSION), "give loss=MeanSquaredError()"),
    "no probabilities": (
        lambda: train(Tensors(train=(X, torch.randn(8, 4)))),
        "≥ 0 and sum to 1",
    ),
    "classes for numbers": (
        lambda: train(loss=MeanSquaredError()),
        "MeanSquaredError takes one number for each output, (B, 4), but the targets are (B)",
    ),
    "whole numbers": (
        lambda: train(Tensors(train=(X[:, :6], Y)), Network(DropoutRegression), loss=Huber()),
        "give targets.float() to regress on them",
    ),
    "beyond one": (
        lambda: train(
            Tensors(train=(X[:, :6], 2.0 * Y)), Network(DropoutRegression),
            loss=BinaryCrossEntropy(),
        ),
        "takes targets from 0 to 1",
    ),
    "a class too many": (
        lambda: train(Tensors(train=(X, Y + 3))),
        "a target is of class 6, but the network has 4 outputs",
    ),
    "a negative class": (
        lambda: train(Tensors(train=(X, Y - 1))),
        "CrossEntropy(ignore_index=-1) leaves such targets out",
    ),
    "classes of a sequence": (
        lambda: train(
            Tensors(train=(Y[:, None].expand(8, 12), Y)), Network(TinyGPT), loss=CrossEntropy()
        ),
        "must have shape (B, 12), one for each place, not (B)",
    ),
    "no mean": (lambda: train(loss=FunctionLoss.of(no_number)), "must give one number for a batch"),
    "no metric": (lambda: train(metrics=(Metric.of(nothing),)), "must give one number, not None"),
    "a metric twice": (
        lambda: train(metrics=(Metric.of(nothing), Metric.of(nothing))),
        "metrics need names of their own",
    ),
    "delta": (lambda: Huber(delta=0), "delta must be > 0, not 0"),
    # budgets and curves
    "selected by what": (lambda: Budget(select="test_loss"), "select must be val_loss or val_acc"),
    "nothing to select on": (
        lambda: train(budget=Budget(epochs=1, select="val_loss")),
        "no samples are held back for validation: give val=…",
    ),
    "accuracy of a regression": (
        lambda: Run(
            NET, HeNormal(), data=REGRESSION, loss=MeanSquaredError(),
            budget=Budget(epochs=1, select="val_accuracy"),
        ),
        "select is an accuracy, and the loss MeanSquaredError has none",
    ),
    "a curve of a regression": (
        lambda: Run(
            NET, HeNormal(), data=REGRESSION, loss=MeanSquaredError(), budget=BUDGET,
            curves=Curves(("test_accuracy",)),
        ),
        "curves of test_accuracy cannot be had with the loss MeanSquaredError",
    ),
    "selected in stages": (
        lambda: Run(
            NET, HeNormal(), data=CLASSES, budget=Budget(epochs=2, select="val_loss"),
            stages=Stages(ShrinkPerturb(), 2),
        ),
        "a run in stages trains for all of its budget",
    ),
    # fit and initialize
    "an unknown parameter": (
        lambda: fitted(params={"first.weigth": torch.ones(1, 32, 16)}),
        "PlainMLP has no parameter or buffer first.weigth; it has first.weight",
    ),
    "targets of another number": (lambda: fitted(targets=Y[:3]), "targets must have shape (8,)"),
    "a generator that has moved on": (
        lambda: initialize(nn.Linear(2, 2), HeNormal(), _moved(), count=2),
        "give one that has drawn nothing yet",
    ),
}  # fmt: skip


def _moved() -> torch.Generator:
    generator = torch.Generator().manual_seed(0)
    torch.rand(1, generator=generator)
    return generator


@pytest.mark.parametrize("row", ROWS)
def test_one_clear_error(row):
    call, says = ROWS[row]
    with pytest.raises((ValueError, DataError)) as error:
        call()
    assert says in str(error.value)
    assert "\n" not in str(error.value).strip()
