"""DenseNet has the paper's sizes; with bottleneck and compression it is torchvision's."""

from __future__ import annotations

import pytest
from torch import nn
from torchvision.models import DenseNet as TorchvisionDenseNet

from initlab.models import DenseNet, parameter_count
from tests.models.compare import assert_same_outputs, copied, images


def test_parameter_count_of_40_12():
    # The stem; twelve layers in each stage, from 16, 160 and 304 channels, each of them 2 numbers
    # of normalization and 9 · 12 weights a channel; transitions that keep 160 and 304 channels; at
    # the end the normalization of 448 channels and the head.
    layers = sum((2 + 9 * 12) * (start + 12 * j) for start in (16, 160, 304) for j in range(12))
    transitions = sum(2 * c + c * c for c in (160, 304))
    total = 27 * 16 + layers + transitions + 2 * 448 + 448 * 10 + 10
    assert parameter_count(DenseNet()) == total == 1_019_722


@pytest.mark.parametrize(
    ("model", "millions"),
    [
        (DenseNet(40, 12), 1.0),
        (DenseNet(100, 12), 7.0),
        (DenseNet(100, 24), 27.2),
        (DenseNet(100, 12, 0.5, True), 0.8),
        (DenseNet(250, 24, 0.5, True), 15.3),
        (DenseNet(190, 40, 0.5, True), 25.6),
    ],
)
def test_sizes_of_the_papers_table_2(model, millions):
    assert round(parameter_count(model) / 1e6, 1) == millions


def test_bc_is_torchvisions_with_another_stem():
    ours = DenseNet(22, 12, 0.5, True).build()
    theirs = TorchvisionDenseNet(12, (3, 3, 3), num_init_features=24, num_classes=10)
    theirs.features.conv0 = nn.Conv2d(3, 24, 3, padding=1, bias=False)
    for name in ("norm0", "relu0", "pool0"):
        setattr(theirs.features, name, nn.Identity())
    # Both list their layers in the order in which they are computed.
    names = dict(zip(ours.state_dict(), theirs.state_dict(), strict=True))
    theirs.load_state_dict(copied(ours, names))
    assert_same_outputs(ours, theirs, images())


def test_blocks_only_add_channels():
    model, seen = DenseNet(10, 3, input_shape=(1, 8, 8)), []
    params = {k: p.detach().unsqueeze(0) for k, p in model.build().named_parameters()}
    model.forward(params, images(side=8, channels=1), seen.append)
    assert [h.shape[1] for h in seen] == [1, 16, 19, 22, 22, 25, 28, 28, 31, 34, 34]
    assert seen[2][:, :16].equal(seen[1])


def test_compression_without_bottleneck():
    # 16 + 2·3 = 22 → 11, 11 + 6 = 17 → 8 channels.
    module = DenseNet(10, 3, compression=0.5).build("meta")
    assert (module.layer2.conv.out_channels, module.layer3.conv.out_channels) == (11, 8)
