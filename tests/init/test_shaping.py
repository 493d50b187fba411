"""Deep Kernel Shaping: its four conditions, by independent integrals, and in networks."""

from __future__ import annotations

import pytest
import torch

from initlab.init import Orthogonal, deep_kernel_shaping
from initlab.measure import Correlation, Signal, meanfield
from initlab.models import MLP, Transformed
from initlab.spec import from_plain, key, to_plain
from initlab.sweep import Run, execute

SMOOTH = ("gelu", "silu", "mish", "tanh", "sigmoid", "erf")


@pytest.mark.parametrize(
    ("name", "depth", "zeta"), [*((name, 50, 1.5) for name in SMOOTH), ("gelu", 5, 1.5)]
)
def test_the_conditions_hold(name, depth, zeta):
    shaped, step = deep_kernel_shaping(name, depth, zeta), 1e-4
    assert meanfield.mean_square(shaped, 1.0) == pytest.approx(1, abs=1e-6)
    above, below = (float(meanfield.mean_square(shaped, 1 + h)) for h in (step, -step))
    assert (above - below) / (2 * step) == pytest.approx(1, abs=1e-5)
    z = torch.randn(10**6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(shaped(z).mean()) == pytest.approx(0, abs=5e-3)  # C(0) is its square
    parts = float(meanfield.mean_square_slope(shaped, 1.0)) ** depth
    assert parts == pytest.approx(zeta, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "depth", "zeta", "says"),
    [
        ("relu", 50, 1.5, "relu has no such transformation"),
        ("selu", 50, 1.5, "selu has no such transformation"),
        ("linear", 50, 1.5, "linear has no such transformation"),
        ("gelu", 0, 1.5, "depth must be ≥ 1 and zeta > 1, not 0 and 1.5"),
        ("gelu", 50, 1.0, "depth must be ≥ 1 and zeta > 1, not 50 and 1.0"),
        ("nosuch", 50, 1.5, "unknown activation 'nosuch'"),
    ],
)
def test_what_cannot_be_shaped_is_refused(name, depth, zeta, says):
    with pytest.raises(ValueError, match=says):
        deep_kernel_shaping(name, depth, zeta)


def test_fifty_layers_keep_the_mean_square_and_the_cosine():
    """Where GELU with its own gain spreads over decades and makes all inputs parallel."""
    model = MLP.constant(50, 200, inputs=200, outputs=None)
    model = MLP(model.widths, 200, None, deep_kernel_shaping("gelu", 50))
    [(_, _, _, rows)] = execute([Run(model, Orthogonal(), networks=8, measure=Signal())])
    at = {layer: value for _, layer, _, name, value in rows if name == "forward_mean"}
    assert 0.7 < at[50] < 1.4
    pair = Run(model, Orthogonal(), networks=8, measure=Correlation(start=0.0))
    [(_, _, _, rows)] = execute([pair])
    cosines = {layer: value for _, layer, _, name, value in rows if name == "mean"}
    assert abs(cosines[50]) < 0.3


def test_a_transformed_activation_is_a_value_of_its_own():
    shaped = Transformed("tanh", 0.5, 0.1, 2.0, -0.3)
    x = torch.linspace(-2, 2, 7)
    assert torch.equal(shaped(x), 2.0 * (torch.tanh(0.5 * x + 0.1) - 0.3))
    model = MLP((4, 3), inputs=2, activation=shaped)
    assert from_plain(to_plain(model)) == model
    assert key(model) != key(MLP((4, 3), inputs=2, activation="tanh"))
    module = model.build()
    params = {name: p.detach().unsqueeze(0) for name, p in module.named_parameters()}
    inputs = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(model.forward(params, inputs)[0], module(inputs), atol=1e-6)
    assert "transformed" not in repr(MLP((4,), inputs=2).build())
    with pytest.raises(ValueError, match="unknown activation 'nosuch'"):
        Transformed("nosuch")
    with pytest.raises(ValueError, match="activation must be a text or Transformed"):
        MLP((4,), inputs=2, activation=3)  # type: ignore[arg-type]
