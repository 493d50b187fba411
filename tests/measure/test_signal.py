"""D1–D5 of the study hold for the package's own networks, at random widths, depths and seeds.

Each test compares a sample mean with its exact expectation and allows 4.5 standard errors: of a
hundred thousand such comparisons one fails by chance. Hypothesis is derandomized, so that a
passing suite stays a passing suite.
"""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from initlab.init import HeNormal, HeUniform, Normal, VarianceScaling, initialize, stacked
from initlab.measure import theory
from initlab.measure.signal import (
    SecondMoments,
    empirical_variance,
    random_unit_inputs,
    second_moments,
)
from initlab.models import MLP, ConvNet, ResidualMLP

WIDTHS = st.lists(st.integers(8, 40), min_size=2, max_size=6)
# Second moments have heavy tails; in wider networks 20,000 draws suffice for a standard error.
WIDE = st.lists(st.integers(16, 48), min_size=2, max_size=5)
SEEDS = st.integers(0, 2**31)
properties = settings(max_examples=12)


def sample(model, rule, seed, networks=20_000, bias=None) -> np.ndarray:
    """M_0 … M_d of many networks, in units of M_0."""
    generator = torch.Generator().manual_seed(seed)
    params = stacked(model.build("meta"), rule, generator, networks, bias)
    x = random_unit_inputs(networks, model.input_shape, generator)
    return second_moments(model, params, x).numpy()


def z_score(x: np.ndarray, expected: float) -> float:
    """Distance of the sample mean from `expected`, in standard errors."""
    return abs(x.mean() - expected) / (x.std(ddof=1) / sqrt(len(x)))


@properties
@given(widths=WIDTHS, s=st.floats(0.5, 4), nu2=st.sampled_from([0.0, 0.01, 0.3]), seed=SEEDS)
def test_d1_mean_length(widths, s, nu2, seed):
    model = MLP(tuple(widths), inputs=widths[0], outputs=None)
    M = sample(model, VarianceScaling(scale=s), seed, bias=Normal(sqrt(nu2)))
    M_0 = 1 / widths[0]
    expected = theory.mean_second_moment(len(widths), s=s, nu2=nu2, M_0=M_0)
    for j in range(1, len(widths) + 1):
        assert z_score(M[:, j], expected[j - 1]) < 4.5


def test_d1_a_last_layer_without_relu_gives_twice_as_much():
    model = MLP((30, 30), inputs=30, outputs=30)
    generator = torch.Generator().manual_seed(0)
    params = stacked(model.build("meta"), HeNormal(), generator, 5000)
    x = random_unit_inputs(5000, (30,), generator)
    out = model.forward(params, x).square().mean((-1, -2)).numpy() * 30
    assert z_score(out, 2.0) < 4.5


@properties
@given(widths=WIDE, seed=SEEDS)
def test_d2_ratios_and_second_moment(widths, seed):
    M = sample(MLP(tuple(widths), inputs=widths[0], outputs=None), HeNormal(), seed) * widths[0]
    second = theory.second_moment(widths)
    for j, n in enumerate(widths, 1):
        alive = M[:, j - 1] > 0
        ratio = M[alive, j] / M[alive, j - 1]
        assert z_score(ratio, 1.0) < 4.5
        assert z_score((ratio - 1) ** 2, theory.ratio_variance(n)) < 4.5
        assert z_score(M[:, j] ** 2, second[j - 1]) < 4.5


@properties
@given(widths=WIDE, seed=SEEDS)
def test_d3_expected_empirical_variance(widths, seed):
    M = sample(MLP(tuple(widths), inputs=widths[0], outputs=None), HeNormal(), seed) * widths[0]
    exact = theory.expected_empirical_variance(widths)
    assert z_score(empirical_variance(M), exact) < 4.5


@properties
@given(eta=st.floats(0.1, 1.5), width=st.integers(3, 30), seed=SEEDS)
def test_d4_residual_step(eta, width, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.empty(width).normal_(generator=generator) + 0.5
    model = ResidualMLP(1, width, (eta,))
    params = stacked(model.build("meta"), HeNormal(), generator, 20_000)
    M = second_moments(model, params, x.unsqueeze(0)).numpy()
    mean, M_0 = float(x.mean()), float(x.square().mean())
    expected = theory.residual_mean_second_moment(M_0, mean, eta)
    assert expected == pytest.approx((1 + eta**2) * M_0 + 2 * eta * mean * sqrt(M_0 / pi))
    assert z_score(M[:, 1], expected) < 4.5


@properties
@given(widths=st.lists(st.integers(1, 6), min_size=1, max_size=5), seed=SEEDS)
def test_d5_dead_layers(widths, seed):
    M = sample(MLP(tuple(widths), inputs=4, outputs=None), HeNormal(), seed, networks=10_000)
    dead = (M[:, -1] == 0).astype(float)
    expected = theory.dead_layer_probability(widths)
    error = sqrt(expected * (1 - expected) / len(dead))
    assert abs(dead.mean() - expected) < 4.5 * error


@properties
@given(seed=SEEDS)
def test_uniform_weights_keep_the_mean_too(seed):
    M = sample(MLP.constant(4, 16, inputs=16, outputs=None), HeUniform(), seed) * 16
    assert z_score(M[:, -1], 1.0) < 4.5


def test_a_circular_convolution_keeps_the_mean():
    model = ConvNet((6, 6, 6), input_shape=(3, 8, 8), padding="circular")
    M = sample(model, HeNormal(), 0, networks=4000)
    assert z_score(M[:, -1] / M[:, 0], 1.0) < 4.5


def test_lengths_are_what_they_say(device):
    model = MLP((3, 2), inputs=4, outputs=2)
    generator = torch.Generator().manual_seed(0)
    params = initialize(model.build("meta"), HeNormal(), generator, count=2, device=device)
    x = torch.empty(5, 4).normal_(generator=generator).to(device)
    M = second_moments(model, params, x)
    assert M.shape == (2, 3)
    assert M.dtype == torch.float64
    for r in range(2):
        h = x
        for j in (1, 2):
            h = torch.relu(h @ params[f"layer{j}.weight"][r].T)
            assert float(M[r, j]) == pytest.approx(float(h.square().mean()), rel=1e-5)
    assert M[0, 0] == M[1, 0] == pytest.approx(float(x.square().mean()))


def test_random_inputs_have_unit_length():
    x = random_unit_inputs(7, (3, 4, 4), torch.Generator().manual_seed(0))
    assert x.shape == (7, 1, 3, 4, 4)
    torch.testing.assert_close(x.flatten(1).norm(dim=1), torch.ones(7))


def test_report_of_single_networks():
    M = np.array([[1.0, 2.0, 4.0], [1.0, 0.0, 0.0]])
    rows = SecondMoments().report(M)
    assert (0, 2, -1, "second_moment", 4.0) in rows
    assert (1, 0, -1, "second_moment", 1.0) in rows
    assert not [r for r in rows if r[1] == 1]


def test_report_of_moments():
    M = np.array([[1.0, 2.0, 4.0], [1.0, 0.0, 0.0]])
    values = {
        (j, name): v for _, j, _, name, v in SecondMoments(layers="all", reduce=True).report(M)
    }
    assert values[1, "mean"] == 1
    assert values[1, "mean_square"] == 2
    assert values[2, "dead"] == 0.5
    assert values[2, "ratio_mean"] == 2  # only the network that was alive at layer 1
    assert values[2, "variance_mean"] == 0.5


def test_unknown_layers_are_refused():
    with pytest.raises(ValueError, match="'last' or 'all', not 'first'"):
        SecondMoments(layers="first")
