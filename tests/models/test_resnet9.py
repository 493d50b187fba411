"""ResNet-9 is what its description says."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initlab.models import ResNet9, parameter_count
from initlab.models.blocks import convolution
from tests.models.compare import assert_same_outputs, copied, images


def test_parameter_count():
    convolutions = 9 * (3 * 64 + 64 * 128 + 2 * 128**2 + 128 * 256 + 256 * 512 + 2 * 512**2)
    normalized = 64 + 3 * 128 + 256 + 3 * 512
    head = 512 * 10 + 10
    assert parameter_count(ResNet9()) == convolutions + 2 * normalized + head == 6_573_130
    plain = parameter_count(ResNet9(norm="none"))  # a bias for each normalized channel
    assert plain == convolutions + normalized + head


@pytest.mark.parametrize("side", [8, 16, 17])
def test_it_follows_its_description(side):
    """At 8 pixels the last block sees one."""
    ours = ResNet9(width=4, input_shape=(3, side, side), outputs=5).build()
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

    assert_same_outputs(ours, theirs, images(side=side))


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_convolution_of_pixels_is_one(norm, stride, kernel):
    """Outputs and gradients are those of `nn.Conv2d`, zeros around the middle included."""
    ours = convolution(4, 6, norm, kernel, stride, pixel=True).double()
    theirs = nn.Conv2d(4, 6, kernel, stride, kernel // 2, bias=norm == "none", dtype=torch.double)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 4, 1, 1, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    found = []
    for module in (ours, theirs):
        seen = x.clone().requires_grad_()
        out = module(seen)
        out.square().sum().backward()
        found.append([out.detach(), seen.grad, *(p.grad for p in module.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
        assert float(other.abs().max()) > 0
