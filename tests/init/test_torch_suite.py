"""What torch's own suite asks of `torch.nn.init`, asked of the rules here.

Where an answer differs on purpose the test says why: `DIFFERENT`.
"""

from __future__ import annotations

from math import prod, sqrt

import pytest
import torch
from scipy import stats
from torch import nn

from initlab import init
from initlab.init import Fans

#: What torch does otherwise, and why it is not done here.
DIFFERENT = {
    "gains": "torch takes 5/3 for tanh and 1 for sigmoid by rule of thumb; here they are computed",
    "sparse": "torch zeroes a share of each input's weights; here each unit keeps as many, as in "
    "Martens 2010",
    "empty": "torch warns of an empty tensor and leaves it; here it is left without a word",
}
SHAPES = [(30, 50), (50, 30), (12, 9, 3), (8, 6, 3, 3), (6, 4, 2, 2, 2)]


def fans_of(shape: tuple[int, ...]) -> Fans:
    return Fans(prod(shape[1:]), shape[0] * prod(shape[2:]))


def draw(rule: init.Rule, shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return rule(fans_of(shape), shape, torch.Generator().manual_seed(seed))


def is_normal(t: torch.Tensor, mean: float, std: float) -> bool:
    return stats.kstest(t.flatten().numpy(), "norm", args=(mean, std)).pvalue > 1e-4


def is_uniform(t: torch.Tensor, low: float, high: float) -> bool:
    return stats.kstest(t.flatten().numpy(), "uniform", args=(low, high - low)).pvalue > 1e-4


@pytest.mark.parametrize("name, gain", [("linear", 1.0), ("relu", sqrt(2))])
def test_calculate_gain(name, gain):
    assert init.gain(name) == pytest.approx(gain, rel=1e-12)
    assert nn.init.calculate_gain(name) == pytest.approx(gain)


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.5, 2.0])
def test_calculate_gain_leaky_relu(slope):
    def phi(x):
        return nn.functional.leaky_relu(x, slope)

    assert init.gain(phi) == pytest.approx(nn.init.calculate_gain("leaky_relu", slope), rel=1e-9)


def test_calculate_gain_of_what_is_no_activation():
    with pytest.raises(ValueError, match="unknown activation"):
        init.gain("nonsense")


@pytest.mark.parametrize("shape", SHAPES)
def test_uniform_and_normal(shape):
    assert is_uniform(draw(init.Uniform(0.3), shape), -0.3, 0.3)
    assert is_normal(draw(init.Normal(0.7), shape), 0, 0.7)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mean, std, low, high", [(0, 1, -2, 2), (0.5, 0.2, 0, 1), (0, 1, 3, 5)])
def test_trunc_normal(shape, mean, std, low, high):
    rule = init.TruncatedNormal(std=float(std), mean=float(mean), low=float(low), high=float(high))
    t = draw(rule, shape)
    assert t.min() >= low and t.max() <= high
    a, b = (low - mean) / std, (high - mean) / std
    found = stats.kstest(t.flatten().double().numpy(), stats.truncnorm(a, b, mean, std).cdf)
    assert found.pvalue > 1e-4
    assert rule.variance(Fans(1, 1)) == pytest.approx(stats.truncnorm.var(a, b, mean, std))


def test_a_generator_gives_the_same_numbers_and_leaves_the_global_one(untouched_random_state):
    for rule in (init.TruncatedNormal(), init.Normal(), init.Uniform(), init.Orthogonal()):
        assert torch.equal(draw(rule, (9, 7), 3), draw(rule, (9, 7), 3))
        assert not torch.equal(draw(rule, (9, 7), 3), draw(rule, (9, 7), 4))


@pytest.mark.parametrize("shape", [(3,), *SHAPES])
def test_constant_ones_zeros(shape):
    assert (draw(init.Constant(0.4), (*shape, 1)) == 0.4).all()
    assert (draw(init.Ones(), (*shape, 1)) == 1).all()
    assert (draw(init.Zeros(), (*shape, 1)) == 0).all()


@pytest.mark.parametrize("shape", [(7, 7), (4, 9), (9, 4)])
def test_eye(shape):
    assert torch.equal(draw(init.Dirac(), shape), nn.init.eye_(torch.empty(shape)))


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv2d, nn.Conv3d])
@pytest.mark.parametrize("channels, groups", [((4, 4), 1), ((6, 4), 2), ((4, 8), 4), ((3, 6), 3)])
def test_dirac(kind, channels, groups):
    layer = kind(*channels, 3, groups=groups, bias=False)
    ours = init.initialize(layer, init.Dirac(), torch.Generator())["weight"]
    assert torch.equal(ours, nn.init.dirac_(torch.empty_like(layer.weight), groups))


@pytest.mark.parametrize("sides", [1, 2, 3])
def test_dirac_is_an_identity(sides):
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[sides - 1]
    layer = kind(5, 8, 3, padding=1, bias=False)
    init.initialize_(layer, init.Dirac(), seed=0)
    x = torch.randn(2, 5, *[6] * sides, generator=torch.Generator().manual_seed(0))
    out = layer(x)
    assert torch.equal(out[:, :5], x) and (out[:, 5:] == 0).all()


@pytest.mark.parametrize("rule", [init.Dirac(), init.Orthogonal(), init.Sparse()])
def test_what_needs_a_matrix_says_so(rule):
    with pytest.raises(ValueError, match=r"matrix|two or more dimensions"):
        rule(Fans(3, 3), (3,), torch.Generator())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gain", [1.0, 1.7])
def test_xavier(shape, gain):
    into, out = fans_of(shape)
    std = gain * sqrt(2 / (into + out))
    assert is_normal(draw(init.GlorotNormal(scale=gain**2), shape), 0, std)
    bound = sqrt(3) * std
    assert is_uniform(draw(init.GlorotUniform(scale=gain**2), shape), -bound, bound)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize("slope", [0.0, 0.5])
def test_kaiming(shape, mode, slope):
    fan = getattr(fans_of(shape), mode)
    scale = 2 / (1 + slope**2)
    std = sqrt(scale / fan)
    assert is_normal(draw(init.HeNormal(scale=scale, mode=mode), shape), 0, std)
    bound = sqrt(3) * std
    assert is_uniform(draw(init.HeUniform(scale=scale, mode=mode), shape), -bound, bound)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")
@pytest.mark.parametrize(
    "kind, sizes", [(nn.Linear, (0, 5)), (nn.Linear, (5, 0)), (nn.Conv2d, (0, 4, 3))]
)
@pytest.mark.parametrize("name", ["he_normal", "glorot_uniform", "orthogonal", "sparse", "zero"])
def test_an_empty_tensor_stays_empty(kind, sizes, name):
    layer = kind(*sizes)
    found = init.initialize(layer, init.rule(name), torch.Generator())
    assert {n: t.shape for n, t in found.items()} == {
        n: p.shape for n, p in layer.named_parameters()
    }
    assert (found["bias"] == 0).all()


@pytest.mark.parametrize("std", [0.1, 2.0])
def test_sparse(std):
    w = draw(init.Sparse(incoming=7, std=std), (40, 30))
    kept = w[w != 0]
    assert ((w != 0).sum(1) == 7).all() and is_normal(kept, 0, std)


@pytest.mark.parametrize("shape", [(3, 4), (4, 3), (20, 2, 3), (2, 3, 4, 5)])
@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_orthogonal(shape, gain):
    w = draw(init.Orthogonal(gain), shape).flatten(1)
    rows, columns = w.shape
    product, n = (w.T @ w, columns) if rows > columns else (w @ w.T, rows)
    assert torch.allclose(product, gain**2 * torch.eye(n), atol=1e-5)


def test_differences_have_reasons():
    assert nn.init.calculate_gain("tanh") == pytest.approx(5 / 3) != init.gain("tanh")
