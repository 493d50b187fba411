"""The Hessian's largest eigenvalue against the whole Hessian, and the coordinate check."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, hessian

from initlab import init
from initlab.init import HeNormal, MuP, initialize
from initlab.measure.coordinates import coordinate_check
from initlab.measure.curvature import gradient_quotient, largest, top_eigenvalue
from initlab.models import MLP

properties = settings(max_examples=40)


@properties
@given(n=st.integers(1, 30), products=st.integers(1, 40), seed=st.integers(0, 2**31))
def test_an_eigenvalue_lies_within_the_residual(n, products, seed):
    g = torch.Generator().manual_seed(seed)
    A = torch.empty(n, n, dtype=torch.float64).normal_(generator=g)
    A = A + A.T
    start = torch.empty(n, dtype=torch.float64).normal_(generator=g)
    found = largest(lambda v: A @ v, start, products=products, tolerance=1e-10)
    values = torch.linalg.eigvalsh(A)
    scale = float(values.abs().max())
    assert float((values - found.value).abs().min()) <= found.residual + 1e-9 * scale
    assert found.value <= float(values[-1]) + 1e-9 * scale
    assert 1 <= found.products <= min(products, n)
    if products >= n:
        assert found.value == pytest.approx(float(values[-1]), rel=1e-6)


def whole_hessian(module, params, loss) -> torch.Tensor:
    """∂²loss/∂θ² as one matrix."""
    shapes, flat = (
        [p.shape for p in params.values()],
        torch.cat([p.flatten() for p in params.values()]),
    )
    sizes = [s.numel() for s in shapes]

    def value(theta):
        parts = [t.view(s) for t, s in zip(theta.split(sizes), shapes, strict=True)]
        return loss(functional_call(module, dict(zip(params, parts, strict=True)), (X,)))

    return hessian(value)(flat)


X = torch.empty(12, 4).normal_(generator=torch.Generator().manual_seed(0))
CLASSES = torch.arange(12) % 3
NUMBERS = torch.empty(12, 3).normal_(generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("targets", ["classes", "numbers"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_top_of_the_whole_hessian(targets, activation):
    model = MLP((5, 4), inputs=4, outputs=3, activation=activation)
    module = model.build()
    params = initialize(module, HeNormal(), torch.Generator().manual_seed(2))
    y = CLASSES if targets == "classes" else NUMBERS
    loss = F.cross_entropy if targets == "classes" else F.mse_loss
    values = torch.linalg.eigvalsh(whole_hessian(module, params, lambda out: loss(out, y)).double())
    found = top_eigenvalue(module, params, (X, y), tolerance=1e-4)
    assert found.value == pytest.approx(float(values[-1]), rel=1e-3)
    assert found.residual <= 1e-4 * found.value
    short = top_eigenvalue(module, params, (X, y), products=2)
    assert short.products == 2 and short.value < found.value and short.residual > found.residual


def test_a_loss_without_curvature_and_one_that_overflows():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return (self.w * 0).sum() + x

    module = Sum()
    found = top_eigenvalue(module, dict(module.named_parameters()), (X[:, :3], NUMBERS))
    assert found.value == found.residual == 0
    deep = MLP.constant(30, 8, inputs=4, outputs=3)
    params = {k: 1e6 * v for k, v in initialize(deep.build(), HeNormal(), G()).items()}
    assert np.isnan(top_eigenvalue(deep.build(), params, (X, NUMBERS)).value)


def G() -> torch.Generator:  # noqa: N802
    return torch.Generator().manual_seed(0)


def test_the_gradient_quotient_is_here_too():
    assert gradient_quotient is init.gradient_quotient


def test_products_below_one_are_refused():
    with pytest.raises(ValueError, match="products must be a whole number ≥ 1, not 0"):
        largest(lambda v: v, torch.ones(2), products=0)


# The coordinate check


def test_one_step_of_a_linear_layer_moves_outputs_by_what_algebra_says():
    """Loss mean (W x − y)²: ΔW = −rate · 2/(B k) Σ (W x − y) xᵀ."""
    built = []

    def build(width):
        built.append(width)
        return nn.Linear(4, 3, bias=False)

    frame = coordinate_check(
        build, HeNormal(), [7], (X, NUMBERS), rate=0.1, steps=(1,), generator=G()
    )
    g = G()
    torch.randint(2**62, (), generator=g)  # the seed with which the module was built
    W = initialize(nn.Linear(4, 3, bias=False), HeNormal(), g)["weight"]
    step = -0.1 * 2 / NUMBERS.numel() * (X @ W.T - NUMBERS).T @ X
    assert built == [7]
    [row] = frame.itertuples()
    assert (row.width, row.network, row.layer, row.path, row.kind) == (7, 0, 1, "", "linear")
    assert (row.step, row.statistic) == (1, "change")
    assert row.value == pytest.approx(float((X @ step.T).abs().mean()), rel=1e-4)


def slopes(rule, rate, **options) -> dict[str, float]:
    """Exponent of width in the change after five steps, by layer."""
    widths = [64, 256, 1024]

    def build(width):
        return MLP.constant(2, width, inputs=4, outputs=3, bias=False).build()

    frame = coordinate_check(
        build, rule, widths, (X, CLASSES), rate=rate, networks=6, generator=G(), **options
    )
    assert set(frame.step) == {1, 2, 5} and set(frame.network) == set(range(6))
    last = frame[(frame.step == 5) & frame.kind.isin(["linear"])]
    mean = last.groupby(["path", "width"]).value.mean().unstack()
    return {p: float(np.polyfit(np.log(widths), np.log(row), 1)[0]) for p, row in mean.iterrows()}


def test_mup_moves_all_widths_alike_and_the_standard_rule_does_not():
    """Adam moves every weight by the rate: a sum of n of them moves by n (Yang et al. 2022)."""
    standard = slopes(HeNormal(), 0.003, optimizer="adam")
    mup = slopes(MuP(base_width=64), 0.003, optimizer="adam")
    assert standard["layer2"] > 0.5 and standard["head"] > 0.5
    assert all(abs(slope) < 0.25 for slope in mup.values()), mup


def test_the_check_draws_and_changes_nothing_outside():
    made = []

    def build(width):
        made.append(nn.Sequential(nn.Linear(4, width), nn.Dropout(), nn.Linear(width, 3)))
        made.append({k: v.clone() for k, v in made[-1].state_dict().items()})
        return made[-2]

    state = torch.get_rng_state()
    options = {"rate": 0.1, "steps": (1,), "optimizer": torch.optim.AdamW}
    one = coordinate_check(build, HeNormal(), [3], (X, CLASSES), **options)
    same = coordinate_check(build, HeNormal(), [3], (X, CLASSES), **options)
    assert one.equals(same) and torch.equal(state, torch.get_rng_state())
    for module, before in zip(made[::2], made[1::2], strict=True):
        assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
        assert all(p.grad is None for p in module.parameters())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"optimizer": "lion"}, "unknown optimizer 'lion'; known: sgd, adam"),
        ({"steps": (0,)}, "whole numbers ≥ 1, not [3] and (0,)"),
        ({"widths": []}, "one or more whole numbers"),
    ],
)
def test_senseless_checks_are_refused(options, says):
    given = {"widths": [3], "rate": 0.1} | options
    widths = given.pop("widths")
    with pytest.raises(ValueError) as error:
        coordinate_check(lambda w: nn.Linear(4, 3), HeNormal(), widths, (X, CLASSES), **given)
    assert says in str(error.value)
