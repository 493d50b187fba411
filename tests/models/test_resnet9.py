"""ResNet-9 is what its description says."""

from __future__ import annotations

import torch.nn.functional as F

from initlab.models import ResNet9, parameter_count
from tests.models.compare import assert_same_outputs, copied, images


def test_parameter_count():
    convolutions = 9 * (3 * 64 + 64 * 128 + 2 * 128**2 + 128 * 256 + 256 * 512 + 2 * 512**2)
    normalized = 64 + 3 * 128 + 256 + 3 * 512
    head = 512 * 10 + 10
    assert parameter_count(ResNet9()) == convolutions + 2 * normalized + head == 6_573_130
    plain = parameter_count(ResNet9(norm="none"))  # a bias for each normalized channel
    assert plain == convolutions + normalized + head


def test_it_follows_its_description():
    ours = ResNet9(width=4, outputs=5).build()
    state = copied(ours)

    def unit(h, name, training):
        h = F.conv2d(h, state[f"{name}.conv.weight"], padding=1)
        mean, var, weight, bias = (
            state[f"{name}.norm.{k}"] for k in ("running_mean", "running_var", "weight", "bias")
        )
        return F.relu(F.batch_norm(h, mean.clone(), var.clone(), weight, bias, training))

    def theirs(h, training):
        h = unit(h, "layer1", training)
        h = F.max_pool2d(unit(h, "layer2", training), 2)
        h = h + unit(unit(h, "block1.layer1", training), "block1.layer2", training)
        h = F.max_pool2d(unit(h, "layer3", training), 2)
        h = F.max_pool2d(unit(h, "layer4", training), 2)
        h = h + unit(unit(h, "block2.layer1", training), "block2.layer2", training)
        return F.linear(h.amax((2, 3)), state["head.weight"], state["head.bias"])

    assert_same_outputs(ours, theirs, images())
