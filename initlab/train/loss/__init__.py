"""Losses of many networks at once."""

from __future__ import annotations

from initlab.train.loss.classes import LEAST, ClippedCrossEntropy, CrossEntropy, OfClasses
from initlab.train.loss.contract import Loss, by_autograd
from initlab.train.loss.numbers import BinaryCrossEntropy, Huber, MeanSquaredError, OfNumbers
from initlab.train.loss.own import DistillationLoss, FunctionLoss, LossFn, Metric

__all__ = [
    "LEAST",
    "BinaryCrossEntropy",
    "ClippedCrossEntropy",
    "CrossEntropy",
    "DistillationLoss",
    "FunctionLoss",
    "Huber",
    "Loss",
    "LossFn",
    "MeanSquaredError",
    "Metric",
    "OfClasses",
    "OfNumbers",
    "by_autograd",
]
