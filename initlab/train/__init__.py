"""Training many networks as one."""

from __future__ import annotations

from initlab.train.budget import STATISTICS, Budget, Curves, Outcome
from initlab.train.evaluate import accuracy
from initlab.train.fit import fit
from initlab.train.loss import ClippedCrossEntropy, CrossEntropy, Loss
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
from initlab.train.schedule import ConstantRate, Cosine, Schedule, StepDecay
from initlab.train.staged import check_stages

__all__ = [
    "LARS",
    "SGD",
    "STATISTICS",
    "Adam",
    "AdamW",
    "Budget",
    "ClippedCrossEntropy",
    "ConstantRate",
    "Cosine",
    "CrossEntropy",
    "Curves",
    "Lion",
    "Loss",
    "Muon",
    "Optimizer",
    "Outcome",
    "Schedule",
    "Step",
    "StepDecay",
    "StepState",
    "accuracy",
    "check_stages",
    "family",
    "fit",
]
