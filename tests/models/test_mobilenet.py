"""MobileNetV2 is torchvision's with two strides fewer."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2

from initlab.init import fans
from initlab.models import MobileNetV2, parameter_count
from initlab.spec import key
from tests.models.compare import assert_same_outputs, copied, images


def test_parameter_count():
    # (inputs, expansion, outputs) of the 17 blocks, table 2 of the paper written out.
    blocks = [
        *[(32, 1, 16), (16, 6, 24), (24, 6, 24), (24, 6, 32), (32, 6, 32), (32, 6, 32)],
        *[(32, 6, 64), (64, 6, 64), (64, 6, 64), (64, 6, 64), (64, 6, 96), (96, 6, 96)],
        *[(96, 6, 96), (96, 6, 160), (160, 6, 160), (160, 6, 160), (160, 6, 320)],
    ]
    total = (27 * 32 + 2 * 32) + (320 * 1280 + 2 * 1280) + (1280 * 10 + 10)
    for inputs, expansion, outputs in blocks:
        inner = expansion * inputs
        if expansion > 1:
            total += inputs * inner + 2 * inner
        total += (9 * inner + 2 * inner) + (inner * outputs + 2 * outputs)
    assert parameter_count(MobileNetV2()) == total == 2_236_682
    # The form in wide use for CIFAR, of 2,296,922, differs from the paper in two ways. It
    # "expands" 32 → 32 in the first block, and it projects the shortcut where the stride is 1
    # and the number of channels changes.
    expands = 32 * 32 + 2 * 32
    changes = [(32, 16), (16, 24), (64, 96), (160, 320)]
    assert total + expands + sum(a * b + 2 * b for a, b in changes) == 2_296_922


@pytest.mark.parametrize("width", [1.0, 0.35, 1.4])
def test_it_is_torchvisions_with_two_strides_fewer(width):
    ours, theirs = MobileNetV2(width).build(), mobilenet_v2(num_classes=10, width_mult=width)
    theirs.features[0][0].stride = (1, 1)
    theirs.features[2].conv[1][0].stride = (1, 1)
    # With stride 1 that block has a shortcut where it has as many channels as it gets.
    theirs.features[2].use_res_connect = width == 0.35
    theirs.classifier[0] = nn.Identity()  # dropout
    # Both list their layers in the order in which they are computed.
    names = dict(zip(ours.state_dict(), theirs.state_dict(), strict=True))
    theirs.load_state_dict(copied(ours, names))
    assert_same_outputs(ours, theirs, images())


def test_the_image_is_halved_three_times():
    sizes = []
    model = MobileNetV2(width=0.1)
    params = {k: p.detach().unsqueeze(0) for k, p in model.build().named_parameters()}
    model.forward(params, images(side=32), lambda h: sizes.append(h.shape[-2]))
    assert sizes == [32] * 5 + [16] * 3 + [8] * 7 + [4] * 5


def test_depthwise_convolutions_are_grouped():
    block = MobileNetV2().build("meta").block2
    assert fans(block.filter.conv) == (9, 9)
    assert block.filter.conv.groups == block.filter.conv.in_channels == 96


def test_one_width_in_whatever_type_is_one_model():
    assert key(MobileNetV2(width=2)) == key(MobileNetV2(width=2.0))
    assert MobileNetV2(width=1) == MobileNetV2()
    assert (
        torch.Size([8, 3, 3, 3]) == MobileNetV2(width=0.01).build("meta").layer1.conv.weight.shape
    )
