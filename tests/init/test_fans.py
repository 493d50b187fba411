"""Fans and gains are right, also where torch's are not."""

from __future__ import annotations

from math import asin, pi, sqrt

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initlab.init import VarianceScaling, fans, gain, gaussian_mean

LAYERS = {
    "linear": (nn.Linear(40, 60), (64, 40)),
    "conv": (nn.Conv2d(8, 16, 3, padding=1), (4, 8, 33, 33)),
    "strided": (nn.Conv2d(8, 16, 3, stride=2), (4, 8, 33, 33)),
    "dilated": (nn.Conv2d(8, 16, 3, dilation=2), (4, 8, 33, 33)),
    "grouped": (nn.Conv2d(16, 32, 3, groups=4), (4, 16, 33, 33)),
    "depthwise": (nn.Conv2d(32, 32, 3, groups=32), (4, 32, 33, 33)),
    "transposed": (nn.ConvTranspose2d(16, 8, 4, stride=2), (4, 16, 21, 21)),
    "grouped transposed": (nn.ConvTranspose2d(16, 8, 3, groups=4), (4, 16, 21, 21)),
    "conv1d": (nn.Conv1d(8, 16, 5), (4, 8, 101)),
    "conv3d": (nn.Conv3d(4, 8, 3), (2, 4, 12, 12, 12)),
}


def inner(t: torch.Tensor, border: int = 4) -> torch.Tensor:
    """Away from the border, where every window is whole."""
    for dim in range(2, t.dim()):
        t = t.narrow(dim, border, t.shape[dim] - 2 * border)
    return t


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
def test_a_fan_keeps_what_it_says(kind, mode):
    """Variance 1/fan-in keeps the variance forward, 1/fan-out keeps it backward."""
    module, shape = LAYERS[kind]
    generator = torch.Generator().manual_seed(0)
    ratios = []
    for _ in range(30):
        rule = VarianceScaling(mode=mode)
        weight = rule(fans(module), tuple(module.weight.shape), generator)
        x = torch.empty(shape).normal_(generator=generator).requires_grad_()
        with torch.no_grad():
            module.weight.copy_(weight)
            module.bias.zero_()
        y = module(x)
        if mode == "fan_in":
            ratios.append(float(inner(y.detach()).square().mean()))
        else:
            g = torch.empty(y.shape).normal_(generator=generator)
            (back,) = torch.autograd.grad(y, x, g)
            ratios.append(float(inner(back).square().mean()))
    ratios = torch.tensor(ratios)
    assert abs(float(ratios.mean()) - 1) < 4 * float(ratios.std()) / sqrt(len(ratios)) + 0.005


def torchs(module) -> tuple[int, int]:
    return nn.init._calculate_fan_in_and_fan_out(module.weight)


def test_where_torch_is_wrong():
    """torch reads the fans off the shape; these are the cases in which that fails."""
    depthwise = nn.Conv2d(32, 32, 3, groups=32)
    assert torchs(depthwise) == (9, 288)  # says each input feeds 288 outputs
    assert fans(depthwise) == (9, 9)
    grouped = nn.Conv2d(16, 32, 3, groups=4)
    assert torchs(grouped) == (36, 288)
    assert fans(grouped) == (36, 72)
    transposed = nn.ConvTranspose2d(16, 8, 3)
    assert torchs(transposed) == (72, 144)  # in and out exchanged
    assert fans(transposed) == (144, 72)
    upsampling = nn.ConvTranspose2d(16, 8, 4, stride=2)
    assert torchs(upsampling) == (128, 256)
    assert fans(upsampling) == (64, 128)
    assert fans(nn.Linear(3, 5)) == torchs(nn.Linear(3, 5)) == (3, 5)


def test_a_module_without_fans_is_refused():
    with pytest.raises(TypeError, match="BatchNorm2d has no fans; known: Linear"):
        fans(nn.BatchNorm2d(3))


def test_gains_in_closed_form():
    assert gain("linear") == pytest.approx(1, abs=1e-9)
    assert gain("relu") == pytest.approx(sqrt(2), abs=1e-9)
    assert gain("leaky_relu") == pytest.approx(sqrt(2 / (1 + 0.01**2)), abs=1e-7)
    # E erf(z)² = (2/π) asin(2/3)  (Williams 1997)
    assert gain("erf") == pytest.approx(1 / sqrt(2 / pi * asin(2 / 3)), abs=1e-9)


@pytest.mark.parametrize("name", ["gelu", "silu", "elu", "selu", "tanh"])
def test_gains_against_sampling(name):
    from initlab.models import activation

    z = torch.empty(2_000_000, dtype=torch.float64).normal_(
        generator=torch.Generator().manual_seed(0)
    )
    square = activation(name)(z).square()
    error = float(square.std()) / sqrt(len(z))
    assert abs(1 / gain(name) ** 2 - float(square.mean())) < 4 * error


def test_where_torchs_gains_are_missing_or_rough():
    for name in ("gelu", "silu", "elu"):
        with pytest.raises(ValueError):
            nn.init.calculate_gain(name)
    # 5/3 is a rule of thumb: with it a tanh layer's output is 9 % too long.
    assert nn.init.calculate_gain("tanh") == pytest.approx(5 / 3)
    assert gain("tanh") == pytest.approx(1.5925, abs=1e-4)


@pytest.mark.parametrize("name", ["gelu", "silu", "elu", "tanh"])
def test_a_gain_keeps_the_mean_square(name):
    """Drawn with its gain, a wide layer passes on a unit mean square."""
    generator = torch.Generator().manual_seed(1)
    from initlab.models import activation

    x = torch.empty(200, 500).normal_(generator=generator)
    x = activation(name)(x) * gain(name)
    weight = torch.empty(500, 500).normal_(generator=generator) / sqrt(500)
    out = activation(name)(F.linear(x, weight)) * gain(name)
    assert abs(float(out.square().mean()) - 1) < 0.05


def test_gaussian_mean():
    assert gaussian_mean(lambda z: z**4) == pytest.approx(3, abs=1e-9)
