"""Blocks read off a network's children."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

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
from initlab.reinit import blocks

EIGHT = [f"block{i}" for i in range(1, 9)]
#: Of each model: where its blocks begin, and the child whose output is that of the block before.
KNOWN = {
    "mlp": (MLP((4, 4, 4), norm="batch"), ["layer2", "layer3", "head"], ["act2", "act3", "head"]),
    "residual": (ResidualMLP(2, 4, inputs=9, outputs=2), ["block1", "block2", "head"], None),
    "conv": (ConvNet((2, 2), outputs=3), ["layer2", "head"], ["act2", "head"]),
    "resnet18": (ResNet18(width=1), [*EIGHT, "head"], [*EIGHT, "head"]),
    "preact": (PreActResNet18(width=1, norm="none"), [*EIGHT, "head"], [*EIGHT, "head"]),
    "resnet9": (
        ResNet9(width=1),
        ["layer2.conv", "block1", "layer3.conv", "layer4.conv", "block2", "head"],
        ["layer2.act", "block1", "layer3.act", "layer4.act", "block2", "head"],
    ),
    "mobilenet": (
        MobileNetV2(width=0.1),
        [*(f"block{i}" for i in range(1, 18)), "layer2.conv", "head"],
        None,
    ),
    "densenet": (
        DenseNet(depth=7, growth=2),
        ["block1", "layer2.conv", "block2", "layer3.conv", "block3", "head"],
        ["layer2.act", "layer2.conv", "layer3.act", "layer3.conv", "layer4.act", "head"],
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_blocks_of_the_models(name):
    model, begins, ends = KNOWN[name]
    module = model.build("meta")
    found = blocks(module)
    assert [block.path for block in found] == begins
    if ends is not None:
        assert [block.end for block in found] == ends
    names = [n for n, _ in module.named_parameters()]
    own = [n for block in found for n in block.parameters]
    assert own == names[-len(own) :], "blocks hold the parameters from the first block to the end"
    assert all(n.startswith(("layer1", "norm1", "stem")) for n in names[: -len(own)])
    assert len(own) < len(names)


def test_blocks_of_another_s_resnet_are_those_of_zhou_et_al():
    with torch.device("meta"):
        module = torchvision.models.resnet18()
    stages = [f"layer{i}.{j}" for i in (1, 2, 3, 4) for j in (0, 1)]
    assert [block.path for block in blocks(module)] == [*stages, "fc"]
    assert [block.end for block in blocks(module)] == [*stages, "fc"]


def test_one_layer_is_its_own_block_and_no_layer_is_refused():
    assert blocks(nn.Linear(2, 3))[0].parameters == ("weight", "bias")
    [only] = blocks(nn.Sequential(nn.Flatten(), nn.Linear(2, 3), nn.ReLU()))
    assert (only.path, only.end, only.parameters) == ("1", "2", ("1.weight", "1.bias"))
    with pytest.raises(ValueError, match="ReLU has no weights, so it has no blocks"):
        blocks(nn.ReLU())
