"""Networks from a frozen spec: what is computed, and nothing about where it starts.

A model is a value. `build` makes the ordinary `torch.nn.Module`, for a user's own loop and
for reading off the layers; `forward` computes many networks of that shape as one, from
parameters stacked along a first axis. Both give the same numbers.

Inside the `forward` of `MLP`, `LogisticRegression` and `ResidualMLP` the examples run along the
last axis, so that a layer of `R` narrow networks is one batched matrix product over long contiguous
rows. `ConvNet` is one grouped convolution. The residual networks, MobileNetV2 and DenseNet are
computed one after the other.
"""

from __future__ import annotations

from typing import TypeAlias

from initlab.models.activations import (
    ACTIVATIONS,
    Activation,
    AnyActivation,
    Transformed,
    activation,
)
from initlab.models.conv import ConvNet
from initlab.models.densenet import DenseNet
from initlab.models.mlp import MLP, LogisticRegression, ResidualBlock, ResidualMLP
from initlab.models.mobilenet import MobileNetV2
from initlab.models.module import ModuleModel
from initlab.models.network import Network, call
from initlab.models.resnet import PreActResNet18, ResNet18
from initlab.models.resnet9 import ResNet9
from initlab.models.stacked import Params, Tap

#: Any of these specs.
Model: TypeAlias = (
    MLP
    | LogisticRegression
    | ResidualMLP
    | ConvNet
    | ResNet9
    | ResNet18
    | PreActResNet18
    | MobileNetV2
    | DenseNet
)
#: What a run may train: a model of this package, or somebody else's network.
AnyModel: TypeAlias = Model | Network


def parameter_count(model: AnyModel) -> int:
    """Number of weights and biases of one network.

    >>> parameter_count(MLP((5,), inputs=4, outputs=2))
    37
    """
    return sum(p.numel() for p in model.build("meta").parameters())


__all__ = [
    "ACTIVATIONS",
    "MLP",
    "Activation",
    "AnyActivation",
    "AnyModel",
    "ConvNet",
    "DenseNet",
    "LogisticRegression",
    "MobileNetV2",
    "Model",
    "ModuleModel",
    "Network",
    "Params",
    "PreActResNet18",
    "ResNet9",
    "ResNet18",
    "ResidualBlock",
    "ResidualMLP",
    "Tap",
    "Transformed",
    "activation",
    "call",
    "parameter_count",
]
