"""Optimizers as values, and one step of each for many networks at once.

An optimizer is one class in a file of its own, see `contract.Optimizer`. The networks of a group
share the kind of optimizer; every number of it (rate, momentum, betas, decay) may differ from
network to network.
"""

from __future__ import annotations

from initlab.train.optim.adam import Adam, AdamW
from initlab.train.optim.contract import Optimizer, family
from initlab.train.optim.lars import LARS
from initlab.train.optim.lion import Lion
from initlab.train.optim.muon import Muon
from initlab.train.optim.sgd import SGD
from initlab.train.optim.step import Step, StepState

__all__ = [
    "LARS",
    "SGD",
    "Adam",
    "AdamW",
    "Lion",
    "Muon",
    "Optimizer",
    "Step",
    "StepState",
    "family",
]
