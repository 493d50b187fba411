"""What the re-initialization study's 15,000 models would cost, from the speed measured here.

The study does not say what each of its models was: the plans below are our reading of its scale,
each a grid of runs that `initlab.sweep.estimate` costs from a few timed steps. For a GPU nothing is
measured: its time follows from the counted operations and an assumed sustained rate.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from initlab.augment import Augment
from initlab.data import Data
from initlab.init import HeNormal
from initlab.models import MLP, Model, PreActResNet18, ResNet9
from initlab.sweep import Run, estimate, grid
from initlab.sweep.groups import samples
from initlab.train import SGD, Budget, Cosine

MODELS = 15_000
#: Operations per second that one GPU is assumed to sustain on such networks: about an eighth of
#: the dense bf16 rate that makers of data-centre GPUs name (2020–2023).
GPU = 50e12

MOMENTUM = SGD(0.1, momentum=0.9, weight_decay=5e-4)
PLANS = {
    "as in the study: PreAct-ResNet-18, all of CIFAR-10": Run(
        PreActResNet18(),
        HeNormal(),
        data=Data("cifar10"),
        optimizer=MOMENTUM,
        budget=Budget(epochs=200, batch_size=128),
        schedule=Cosine(),
        augment=Augment(crop=4, flip=True),
    ),
    "small: ResNet-9 of width 8, 2,000 images of CIFAR-10": Run(
        ResNet9(width=8),
        HeNormal(),
        data=Data("cifar10", train=2000, test=2000),
        optimizer=MOMENTUM,
        budget=Budget(epochs=30, batch_size=128),
        schedule=Cosine(),
    ),
    "tiny: MLP 784-100-100-10, 5,000 images of MNIST": Run(
        MLP((100, 100)),
        HeNormal(),
        data=Data("mnist", train=5000, test=2000),
        optimizer=MOMENTUM,
        budget=Budget(epochs=30, batch_size=128),
        schedule=Cosine(),
    ),
}


def operations(model: Model) -> int:
    """Additions and multiplications to train on one sample: forward and backward."""
    params = {
        name: torch.empty((1, *p.shape), device="meta", requires_grad=True)
        for name, p in model.build("meta").named_parameters()
    }
    batch = 2
    with FlopCounterMode(display=False) as counted:
        x = torch.empty((batch, *model.input_shape), device="meta")
        model.forward(params, x).sum().backward()
    return counted.get_total_flops() // batch


def plan(models: int = MODELS) -> list[dict[str, Any]]:
    """One row per plan: models, core-days here, and GPU-days by the assumption above."""
    rows = []
    for name, run in PLANS.items():
        cost = estimate(grid(run, seed=range(models)), workers=1)
        assert run.budget is not None
        work = operations(run.model) * samples(run) * run.budget.epochs * models
        rows.append(
            {
                "plan": name,
                "models": models,
                "epochs": run.budget.epochs,
                "samples": samples(run),
                "operations": work,
                "core_days": cost.seconds / 86400,
                "memory_mib": cost.memory / 2**20,
                "assumed_gpu_tflops": GPU / 1e12,
                "gpu_days": work / GPU / 86400,
            }
        )
    return rows
