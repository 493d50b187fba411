"""ResNet-18 is torchvision's with another stem; the pre-activation form follows its equations."""

from __future__ import annotations

import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18

from initlab.models import PreActResNet18, ResNet18, parameter_count
from tests.models.compare import assert_same_outputs, copied, images

# Convolutions of both forms: the stem, and of each stage its first 3×3, the other three, and
# where the width doubles the projection.
CONVOLUTIONS = (
    9 * 3 * 64
    + 9 * 4 * 64**2
    + sum(9 * (w // 2 * w + 3 * w**2) + w // 2 * w for w in (128, 256, 512))
)
HEAD = 512 * 10 + 10


def test_parameter_count_of_resnet18():
    # Normalized: after the stem, after each convolution, and after the three projections.
    normalized = 64 + 4 * (64 + 128 + 256 + 512) + (128 + 256 + 512)
    assert parameter_count(ResNet18()) == CONVOLUTIONS + 2 * normalized + HEAD == 11_173_962
    assert parameter_count(ResNet18(norm="none")) == CONVOLUTIONS + normalized + HEAD


def test_parameter_count_of_preactresnet18():
    # Normalized: before each 3×3 convolution but the stem. So the first of a stage is narrower,
    # and the stem, the projections and the end have none.
    before = 4 * 64 + (64 + 3 * 128) + (128 + 3 * 256) + (256 + 3 * 512)
    assert parameter_count(PreActResNet18()) == CONVOLUTIONS + 2 * before + HEAD == 11_171_146
    # Without normalization: a bias for the stem, each convolution and each projection.
    biases = 64 + 4 * (64 + 128 + 256 + 512) + (128 + 256 + 512)
    assert parameter_count(PreActResNet18(norm="none")) == CONVOLUTIONS + biases + HEAD


def torchvisions(name: str) -> str:
    """What torchvision's resnet18 calls this entry of the state."""
    child, _, rest = name.partition(".")
    if child == "layer1":
        return rest.replace("conv", "conv1").replace("norm", "bn1")
    if child == "head":
        return f"fc.{rest}"
    stage, block = divmod(int(child.removeprefix("block")) - 1, 2)
    rest = rest.replace("shortcut.conv", "downsample.0").replace("shortcut.norm", "downsample.1")
    return f"layer{stage + 1}.{block}.{rest.replace('norm', 'bn')}"


def test_resnet18_is_torchvisions_with_another_stem():
    ours, theirs = ResNet18(64).build(), resnet18(num_classes=10)
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = nn.Identity()
    state = copied(ours, {name: torchvisions(name) for name in ours.state_dict()})
    theirs.load_state_dict(state)
    assert_same_outputs(ours, theirs, images())


def test_preactresnet18_follows_its_equations():
    ours = PreActResNet18(width=4, outputs=5).build()
    state = copied(ours)

    def preact(h, name, training):
        mean, var, weight, bias = (
            state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")
        )
        return F.relu(F.batch_norm(h, mean.clone(), var.clone(), weight, bias, training))

    def theirs(h, training):
        h = F.conv2d(h, state["layer1.conv.weight"], padding=1)
        for block in range(1, 9):
            name, halves = f"block{block}", block in (3, 5, 7)
            a = preact(h, f"{name}.norm1", training)
            y = F.conv2d(a, state[f"{name}.conv1.weight"], stride=1 + halves, padding=1)
            y = preact(y, f"{name}.norm2", training)
            y = F.conv2d(y, state[f"{name}.conv2.weight"], padding=1)
            shortcut = F.conv2d(a, state[f"{name}.shortcut.weight"], stride=2) if halves else h
            h = shortcut + y
        return F.linear(h.mean((2, 3)), state["head.weight"], state["head.bias"])

    assert_same_outputs(ours, theirs, images())
