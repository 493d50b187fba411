"""Residual branches are read off the network's own graph, and nothing is changed by it."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from initlab.init.branches import branches
from initlab.models import (
    MLP,
    ConvNet,
    DenseNet,
    MobileNetV2,
    PreActResNet18,
    ResidualMLP,
    ResNet9,
    ResNet18,
)

COUNTS = {
    "ResNet9": (ResNet9(), 2),
    "ResNet18": (ResNet18(), 8),
    "PreActResNet18": (PreActResNet18(norm="none"), 8),
    "MobileNetV2": (MobileNetV2(), 10),
    "ResidualMLP": (ResidualMLP(5, 4), 5),
    "MLP": (MLP((5,)), 0),
    "ConvNet": (ConvNet((5,)), 0),
    "DenseNet": (DenseNet(), 0),
}


@pytest.mark.parametrize("name", COUNTS)
def test_our_models_have_the_branches_that_they_are_made_of(name):
    model, count = COUNTS[name]
    found = branches(model.build("meta"))
    assert len(found) == count
    names = set(dict(model.build("meta").named_parameters()))
    for branch in found:
        parts = {*branch.weights, *branch.biases, *branch.norms, *branch.scalars, *branch.shifts}
        assert parts <= names
        assert not any("shortcut" in part for part in parts)


@pytest.mark.parametrize(
    ("name", "count", "weights", "end"),
    [
        ("resnet18", 8, ("layer2.0.conv1.weight", "layer2.0.conv2.weight"), "layer2.0.bn2.weight"),
        (
            "resnet50",
            16,
            ("layer1.2.conv1.weight", "layer1.2.conv2.weight", "layer1.2.conv3.weight"),
            "layer1.2.bn3.weight",
        ),
        (
            "vit_b_16",
            24,
            (
                "encoder.layers.encoder_layer_1.self_attention.in_proj_weight",
                "encoder.layers.encoder_layer_1.self_attention.out_proj.weight",
            ),
            "encoder.layers.encoder_layer_1.self_attention.out_proj.weight",
        ),
        ("densenet121", 0, (), ""),
    ],
)
def test_torchvisions_models(name, count, weights, end):
    with torch.device("meta"):
        module = torchvision.models.get_model(name, weights=None)
    found = branches(module)
    assert len(found) == count
    if count:
        [branch] = [b for b in found if b.weights == weights]
        assert branch.end == end


class Shifted(nn.Module):
    """A block with what Fixup trains: a shift before each layer and a factor."""

    def __init__(self):
        super().__init__()
        self.shift1, self.shift2 = (nn.Parameter(torch.zeros(1)) for _ in range(2))
        self.scale = nn.Parameter(torch.ones(1))
        self.tokens = nn.Parameter(torch.zeros(4))
        self.one, self.two = nn.Linear(4, 6, bias=False), nn.Linear(6, 4)
        self.project = nn.Linear(4, 4)

    def forward(self, x):
        x = x + self.tokens
        y = torch.relu(self.one(x + self.shift1))
        return self.project(x) + self.scale * nn.functional.dropout(self.two(y + self.shift2))


def test_factors_shifts_and_projections_are_told_apart():
    [branch] = branches(Shifted())
    assert branch.weights == ("one.weight", "two.weight")
    assert branch.biases == ("two.bias",)
    assert branch.scalars == ("scale",)
    assert branch.shifts == ("shift1", "shift2")
    assert branch.end == "two.weight"


def test_two_equal_sides_are_no_branch():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            return self.one(x) + self.two(x)

    assert branches(Both()) == []


def test_what_cannot_be_traced_is_refused_in_one_line():
    class Choosing(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match="branches of Choosing cannot be read off"):
        branches(Choosing())


def test_own_kinds_of_layers_are_not_looked_into():
    """Their computation may ask for the shape of the input, which tracing does not know."""

    class Own(nn.Linear):
        def forward(self, x):
            return super().forward(x) if x.shape[-1] == 4 else x

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.own = Own(4, 4)

        def forward(self, x):
            return x + self.own(x)

    [branch] = branches(Block())
    assert branch.weights == ("own.weight",)
