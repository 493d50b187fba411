"""Mean-field theory against closed forms to 1e-9, against mpmath to 1e-6, and against networks."""

from __future__ import annotations

from math import acos, asin, exp, inf, log, pi, sqrt

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from initlab.init import Normal, VarianceScaling
from initlab.measure import Correlation, Signal, meanfield
from initlab.measure.meanfield import (
    activation_correlation,
    c_star,
    chi_1,
    correlation_length,
    correlation_map,
    edge_of_chaos,
    mean_square,
    mean_square_slope,
    phase_diagram,
    q_star,
    second_moment_map,
    xi,
)
from initlab.models import ACTIVATIONS, MLP
from initlab.sweep import Run, execute

exact = settings(max_examples=50)
Q = st.floats(-6, 6).map(lambda e: 10.0**e)
C = st.floats(-1, 1)
W = st.floats(0.05, 5)
B = st.floats(0.01, 3)


def closely(value: float, digits: float = 1e-9):
    return pytest.approx(value, rel=digits, abs=digits)


# ReLU (Cho & Saul 2009), erf (Williams 1997) and linear layers in closed form


@exact
@given(q=Q, c=C)
def test_relu(q, c):
    assert mean_square("relu", q) == closely(q / 2)
    assert mean_square_slope("relu", q) == closely(0.5)
    kernel = (sqrt(1 - c * c) + c * (pi - acos(c))) / pi
    assert correlation_map("relu", c, 1.3, q=q) == closely(kernel)


@exact
@given(q=Q, c=C, w=W, b=B)
def test_erf(q, c, w, b):
    assert mean_square("erf", q) == closely(2 / pi * asin(2 * q / (1 + 2 * q)))
    assert mean_square_slope("erf", q) == closely(4 / pi / sqrt(1 + 4 * q))
    V = w**2 * 2 / pi * asin(2 * q / (1 + 2 * q)) + b**2
    assert second_moment_map("erf", q, w, b) == closely(V)
    overlap = w**2 * 2 / pi * asin(2 * q * c / (1 + 2 * q)) + b**2
    assert correlation_map("erf", c, w, b, q) == closely(overlap / V)


@exact
@given(w=W, b=B)
def test_fixed_points_of_erf(w, b):
    q = q_star("erf", w, b)
    assert w**2 * 2 / pi * asin(2 * q / (1 + 2 * q)) + b**2 == closely(q)
    chi = w**2 * 4 / pi / sqrt(1 + 4 * q)
    assert chi_1("erf", w, b) == closely(chi)
    assert xi("erf", w, b) == closely(-1 / log(chi))


@exact
@given(w=st.floats(0.05, 1.4), b=B, c=C)
def test_fixed_points_of_relu(w, b, c):
    q = b**2 / (1 - w**2 / 2)
    assert q_star("relu", w, b) == closely(q)
    assert chi_1("relu", w, b) == closely(w**2 / 2)
    assert xi("relu", w, b) == closely(-1 / log(w**2 / 2))
    kernel = (sqrt(1 - c * c) + c * (pi - acos(c))) / pi
    assert correlation_map("relu", c, w, b) == closely((w**2 * q / 2 * kernel + b**2) / q)
    assert c_star("relu", w, b) == 1
    assert correlation_length("relu", w, b) == closely(xi("relu", w, b))


@exact
@given(w=st.floats(0.05, 0.99), b=B, c=C, slope=st.floats(-0.9, 0.9))
def test_linear_and_leaky_relu(w, b, c, slope):
    q = b**2 / (1 - w**2)
    assert q_star("linear", w, b) == closely(q)
    assert chi_1("linear", w, b) == closely(w**2)
    assert correlation_map("linear", c, w, b) == closely((w**2 * q * c + b**2) / q)
    assert activation_correlation("linear", c) == closely(c)

    def leaky(x):
        return torch.nn.functional.leaky_relu(x, slope)

    assert chi_1(leaky, w, b) == closely(w**2 * (1 + slope**2) / 2)


def test_at_the_edges():
    assert abs(chi_1("relu", sigma_w=sqrt(2), sigma_b=0) - 1) < 1e-9
    assert q_star("relu", sqrt(2)) == 1 and xi("relu", sqrt(2)) == inf
    assert q_star("relu", 2.0, 0.5) == inf and q_star("relu", 1.0) == 0
    assert q_star("tanh", 1.0) == 0 and q_star("tanh", 0.5) == 0
    assert chi_1("tanh", 0.5) == closely(0.25)  # φ′(0) = 1
    assert q_star("tanh", 0.0, 0.3) == closely(0.09)
    assert xi("tanh", 3.0, 0.5) < 0 < xi("tanh", 0.5, 0.5)
    assert correlation_length("relu", sqrt(2)) == inf
    for name, sigma in (
        ("relu", sqrt(2)),
        ("linear", 1),
        ("abs", 1),
        ("leaky_relu", sqrt(2 / 1.0001)),
    ):
        assert edge_of_chaos(name, 0.3) == closely(sigma)
    # 4/π σ_w²/√(1 + 4q) = 1 at q = 0: the slope of erf at zero is 2/√π.
    assert edge_of_chaos("erf") == pytest.approx(sqrt(pi) / 2, rel=1e-6)


# Every activation by an independent integrator, at thirty digits


MP = {
    "tanh": mpmath.tanh,
    "gelu": lambda x: x * (1 + mpmath.erf(x / mpmath.sqrt(2))) / 2,
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "relu6": lambda x: min(max(x, mpmath.mpf(0)), mpmath.mpf(6)),
    "elu": lambda x: x if x > 0 else mpmath.expm1(x),
}


@pytest.mark.parametrize("name", MP)
@pytest.mark.parametrize("q", [0.01, 1.0, 20.0])
def test_means_by_another_integrator(name, q):
    phi, root = MP[name], mpmath.sqrt(q)
    kinks = [k / root for k in (0, 6) if k / root < 30]

    def mean(f):
        return float(mpmath.quad(lambda z: f(root * z) ** 2 * mpmath.npdf(z), [-30, *kinks, 30]))

    with mpmath.workdps(30):
        assert mean_square(name, q) == closely(mean(phi), 1e-10)
        if name in ("tanh", "gelu", "silu"):
            slope = mean(lambda x: mpmath.diff(phi, x))
            assert mean_square_slope(name, q) == closely(slope, 1e-10)


@pytest.mark.parametrize("name", ["tanh", "gelu"])
@pytest.mark.parametrize(("w", "b"), [(1.2, 0.4), (1.35, 0.1), (2.5, 0.3)])
def test_tanh_and_gelu_by_another_quadrature(name, w, b):
    """q*, χ₁, ξ and the correlation map by the trapezoidal rule, which converges fastest here."""
    nodes = np.linspace(-9, 9, 601)
    weights = np.exp(-(nodes**2) / 2)
    weights = weights / weights.sum()
    phi = {"tanh": np.tanh, "gelu": lambda x: x * special.ndtr(x)}[name]
    q = 1.0
    for _ in range(400):
        q = w**2 * (weights * phi(sqrt(q) * nodes) ** 2).sum() + b**2
    if q > 1e20:
        assert q_star(name, w, b) == inf
        return
    assert q_star(name, w, b) == closely(q, 1e-6)
    h = 1e-5
    slope = (phi(sqrt(q) * nodes + h) - phi(sqrt(q) * nodes - h)) / (2 * h)
    chi = w**2 * (weights * slope**2).sum()
    assert chi_1(name, w, b) == closely(chi, 1e-6)
    assert xi(name, w, b) == closely(-1 / log(chi), 1e-5)
    for c in (-0.8, 0.3):
        v = c * nodes[:, None] + sqrt(1 - c * c) * nodes
        second = (weights * phi(sqrt(q) * v)).sum(1)
        overlap = w**2 * (weights * phi(sqrt(q) * nodes) * second).sum() + b**2
        assert correlation_map(name, c, w, b) == closely(overlap / q, 1e-6)


# What holds for every activation


@exact
@given(name=st.sampled_from(list(ACTIVATIONS)), w=W, b=B)
def test_fixed_points_are_fixed(name, w, b):
    q = float(q_star(name, w, b))
    if 0 < q < inf:
        assert second_moment_map(name, q, w, b) == closely(q)
        assert correlation_map(name, 1.0, w, b) == closely(1)
        # The slope at c = 1 is χ₁: the map lies on the tangent to first order.
        d = 1e-7
        assert (1 - correlation_map(name, 1 - d, w, b)) / d == pytest.approx(
            chi_1(name, w, b), rel=5e-3, abs=1e-6
        )
    c = c_star(name, w, b)
    assert correlation_map(name, c, w, b) == closely(c, 1e-8)
    assert -1 <= c <= 1


@pytest.mark.parametrize(("w", "b"), [(2.2, 0.6), (2.5, 0.0), (4.0, 0.3)])
def test_iterating_the_map_leads_to_c_star_at_the_speed_of_its_slope(w, b):
    q, target = float(q_star("tanh", w, b)), c_star("tanh", w, b)
    gaps = [0.02]
    for _ in range(4):
        c = correlation_map("tanh", target + gaps[-1], w, b, q)
        gaps.append(c - target)
    assert gaps[-1] / gaps[-2] == pytest.approx(
        exp(-1 / correlation_length("tanh", w, b)), abs=0.01
    )
    # From far away it gets there as well.
    c = -0.5
    for _ in range(60):
        c = correlation_map("tanh", c, w, b, q)
    assert c == pytest.approx(target, abs=1e-3)


def test_the_edge_of_tanh_is_the_papers():
    """(σ_w², σ_b²) ≈ (1.76, 0.05): the point at which Schoenholz et al. train 10,000 layers."""
    assert chi_1("tanh", sqrt(1.76), sqrt(0.05)) == pytest.approx(1, abs=5e-4)
    assert edge_of_chaos("tanh", sqrt(0.05)) ** 2 == pytest.approx(1.76, abs=2e-3)


def test_a_diagram_has_a_row_for_each_point():
    frame = phase_diagram("gelu", [0.5, 1.0, 2.0], [0.0, 0.3])
    assert frame.shape == (6, 5)
    assert frame.sigma_b.tolist() == [0.0, 0.3] * 3
    for row in frame.itertuples():
        assert row.q_star == q_star("gelu", row.sigma_w, row.sigma_b)
        assert row.chi_1 == chi_1("gelu", row.sigma_w, row.sigma_b)
        assert row.xi == xi("gelu", row.sigma_w, row.sigma_b)


def test_functions_that_write_over_their_input_are_activations_too():
    assert chi_1(torch.tanh_, 1.4, 0.3) == chi_1("tanh", 1.4, 0.3)


# Networks


@pytest.mark.parametrize(("name", "w", "b"), [("tanh", 1.3, 0.2), ("gelu", 1.4, 0.1)])
def test_wide_networks_are_what_theory_says(name, w, b):
    n, depth, networks = 400, 5, 60
    model = MLP.constant(depth, n, inputs=n, activation=name, outputs=n)
    draw = {"init": VarianceScaling(scale=w**2), "bias": Normal(b), "networks": networks}

    def sample(measure):
        found = {}
        for _, layer, _, statistic, value in execute([Run(model, measure=measure, **draw)])[0][3]:
            found.setdefault((layer, statistic), []).append(value)
        return {where: np.array(values) for where, values in found.items()}

    seen = sample(Signal(reduce=False)) | sample(Correlation(0.4, reduce=False))

    def close(values, expected):
        # Finite width moves each layer's mean by O(1/n), which adds up with depth.
        error = 4.5 * values.std() / sqrt(networks) + 4 * depth / n * abs(expected)
        return abs(values.mean() - expected) < error

    q, c, gradient = w**2 + b**2, (0.4 * w**2 + b**2) / (w**2 + b**2), w**2
    lengths = []
    for layer in range(1, depth + 1):
        lengths.append(q)
        assert close(seen[layer, "forward"], float(mean_square(name, q)))
        assert close(seen[layer, "correlation"], activation_correlation(name, c, q))
        c = correlation_map(name, c, w, b, q)
        q = float(second_moment_map(name, q, w, b))
    for layer in range(depth, 0, -1):
        assert close(seen[layer, "backward"], gradient)
        gradient *= w**2 * float(mean_square_slope(name, lengths[layer - 1]))
    assert close(seen[0, "backward"], gradient)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: chi_1("rely", 1), "unknown activation 'rely'; known: linear, relu"),
        (lambda: q_star("relu", -1), "sigma_w must be a standard deviation, a finite number ≥ 0"),
        (lambda: q_star("relu", 1, inf), "sigma_b must be a standard deviation"),
        (lambda: mean_square("relu", -1), "q must be a variance, ≥ 0, not -1"),
        (lambda: correlation_map("relu", 1.5, 1), "c must be a correlation, from -1 to 1, not 1.5"),
        (lambda: mean_square(lambda x: x.sum(), 1), "gives one of the same shape, not ()"),
        (lambda: mean_square(lambda x: 1.0, 1), "gives one of the same shape, not 1.0"),
        (lambda: edge_of_chaos(lambda x: 0 * x), "has no edge of chaos there"),
    ],
)
def test_senseless_arguments_are_refused(call, says):
    with pytest.raises(ValueError) as error:
        call()
    assert says in str(error.value)


def test_the_global_random_state_is_left_alone():
    state = torch.get_rng_state()
    meanfield.phase_diagram("silu", [1.0], [0.1])
    assert torch.equal(state, torch.get_rng_state())
