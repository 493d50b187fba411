"""Training many networks as one."""

from __future__ import annotations

from initlab.train.budget import STATISTICS, Budget, Curves, Outcome
from initlab.train.evaluate import accuracy
from initlab.train.fit import fit, train
from initlab.train.loss import (
    BinaryCrossEntropy,
    ClippedCrossEntropy,
    CrossEntropy,
    FunctionLoss,
    Huber,
    Loss,
    MeanSquaredError,
    Metric,
    OfClasses,
    OfNumbers,
)
from initlab.train.optim import (
    LARS,
    SGD,
    Adam,
    AdamW,
    Lion,
    Muon,
    Optimizer,
    Step,
    StepState,
    family,
)
from initlab.train.recipe import Members, Recipe
from initlab.train.schedule import ConstantRate, Cosine, Schedule, StepDecay
from initlab.train.staged import check_stages

__all__ = [
    "LARS",
    "SGD",
    "STATISTICS",
    "Adam",
    "AdamW",
    "BinaryCrossEntropy",
    "Budget",
    "ClippedCrossEntropy",
    "ConstantRate",
    "Cosine",
    "CrossEntropy",
    "Curves",
    "FunctionLoss",
    "Huber",
    "Lion",
    "Loss",
    "MeanSquaredError",
    "Members",
    "Metric",
    "Muon",
    "OfClasses",
    "OfNumbers",
    "Optimizer",
    "Outcome",
    "Recipe",
    "Schedule",
    "Step",
    "StepDecay",
    "StepState",
    "accuracy",
    "check_stages",
    "family",
    "fit",
    "train",
]
