"""Paths through landscapes that are known: a bowl, and one network met twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from initlab.init import HeNormal, initialize
from initlab.measure.path import barrier, linear_path
from initlab.models import ResNet9


class Point(nn.Module):
    """Its output is its parameter, whatever the input."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w.expand(len(x), 3)


def bowl(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (out * torch.tensor([1.0, 4.0, 9.0]) * out).sum(-1).mean()


def test_a_quadratic_bowl():
    a, b = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([-1.0, 1.0, 1.0])
    x = torch.zeros(5, 1)
    path = linear_path(Point(), {"w": a}, {"w": b}, x, torch.zeros(5), loss=bowl, points=11)
    h = torch.tensor([1.0, 4.0, 9.0])
    expected = [float((h * ((1 - t) * a + t * b) ** 2).sum()) for t in np.linspace(0, 1, 11)]
    np.testing.assert_allclose(path["loss"], expected, rtol=1e-5)
    assert barrier(path["t"], path["loss"]) == 0  # convex: never above the chord


def test_a_ridge_has_its_height():
    a, b = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([-1.0, 0.0, 0.0])
    path = linear_path(
        Point(),
        {"w": a},
        {"w": b},
        torch.zeros(2, 1),
        torch.zeros(2),
        loss=lambda out, y: 1 - out[:, 0].square().mean(),
        points=5,
    )
    assert barrier(path["t"], path["loss"]) == pytest.approx(1)


def test_statistics_of_normalization_are_estimated_at_each_point():
    module = ResNet9(width=2, input_shape=(1, 8, 8)).build()
    g = torch.Generator().manual_seed(0)
    one, two = (initialize(module, HeNormal(), g) for _ in range(2))
    x = 5 + 3 * torch.randn(64, 1, 8, 8, generator=g)
    y = torch.randint(10, (64,), generator=g)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    state = torch.get_rng_state()
    path = linear_path(module, one, two, x, y, points=3, batch_size=64)
    assert torch.equal(torch.get_rng_state(), state)
    # One batch: the running statistics are the batch's own, up to n/(n − 1) in the variance.
    for t, loss in zip(path["t"], path["loss"], strict=True):
        other = ResNet9(width=2, input_shape=(1, 8, 8)).build()
        other.load_state_dict({n: torch.lerp(one[n], two[n], float(t)) for n in one}, strict=False)
        for norm in other.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = 1.0
        with torch.no_grad():
            other.train()(x)
            expected = nn.functional.cross_entropy(other.eval()(x), y)
        assert loss == pytest.approx(float(expected), rel=1e-4)
    assert module.training
    for k, v in module.state_dict().items():
        assert torch.equal(v, before[k])


def test_statistics_come_from_the_reference_where_there_is_one():
    """Statistics of other samples give another loss, and it is the one that they should give."""
    module = ResNet9(width=2, input_shape=(1, 8, 8)).build()
    g = torch.Generator().manual_seed(1)
    params = initialize(module, HeNormal(), g)
    x, other = (s * torch.randn(32, 1, 8, 8, generator=g) for s in (1.0, 4.0))
    y = torch.randint(10, (32,), generator=g)

    def loss(**given) -> float:
        return linear_path(module, params, params, x, y, points=2, **given)["loss"][0]

    module.load_state_dict(params, strict=False)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0
    with torch.no_grad():
        module.train()(other)
        expected = float(nn.functional.cross_entropy(module.eval()(x), y))
    assert loss(reference=other) == pytest.approx(expected, rel=1e-4)
    assert abs(loss() - expected) > 0.01


def test_bad_paths_are_refused():
    x, y = torch.zeros(1, 1), torch.zeros(1)
    with pytest.raises(ValueError, match="2 points or more, not 1"):
        linear_path(Point(), {"w": x[0]}, {"w": x[0]}, x, y, points=1)
    with pytest.raises(ValueError, match="end lacks 1 parameters, such as 'w'"):
        linear_path(Point(), {"w": x[0]}, {}, x, y)
