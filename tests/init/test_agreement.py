"""The rules that torch and JAX have too give the same distributions; where theirs are at fault,
both are shown.
"""

from __future__ import annotations

from math import erf, sqrt

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from initlab import init
from initlab.init import Fans, fans

OUT, IN = 300, 200
LAYER = nn.Linear(IN, OUT, device="meta")
#: Fixed seeds: a distribution that agrees falls below this once in ten thousand choices of them.
LEVEL = 1e-4


def ours(rule: init.Rule) -> np.ndarray:
    return rule(fans(LAYER), (OUT, IN), torch.Generator().manual_seed(1)).double().numpy()


def torchs(fill) -> np.ndarray:
    return fill(torch.empty(OUT, IN), torch.Generator().manual_seed(2)).double().numpy()


TORCH = {
    "he_normal": lambda w, g: nn.init.kaiming_normal_(w, nonlinearity="relu", generator=g),
    "he_uniform": lambda w, g: nn.init.kaiming_uniform_(w, nonlinearity="relu", generator=g),
    "glorot_normal": lambda w, g: nn.init.xavier_normal_(w, generator=g),
    "glorot_uniform": lambda w, g: nn.init.xavier_uniform_(w, generator=g),
    "lecun_normal": lambda w, g: nn.init.kaiming_normal_(w, nonlinearity="linear", generator=g),
    "lecun_uniform": lambda w, g: nn.init.kaiming_uniform_(w, nonlinearity="linear", generator=g),
    "torch_default": lambda w, g: nn.init.kaiming_uniform_(w, a=sqrt(5), generator=g),
    "normal": lambda w, g: nn.init.normal_(w, std=0.01, generator=g),
    "uniform": lambda w, g: nn.init.uniform_(w, -0.05, 0.05, generator=g),
    "orthogonal": lambda w, g: nn.init.orthogonal_(w, generator=g),
}


@pytest.mark.parametrize("name", TORCH)
def test_torch_draws_from_the_same_distribution(name):
    a, b = ours(init.RULES[name]).ravel(), torchs(TORCH[name]).ravel()
    assert stats.ks_2samp(a, b).pvalue > LEVEL


def test_the_comparison_sees_a_difference_of_six_percent():
    a = ours(init.HeNormal())
    b = torchs(TORCH["he_normal"])
    assert stats.ks_2samp(a.ravel(), 1.06 * b.ravel()).pvalue < LEVEL


def test_what_draws_nothing_is_torchs_to_the_letter():
    for rule, fill in (
        (init.Constant(0.3), lambda w, g: nn.init.constant_(w, 0.3)),
        (init.Ones(), lambda w, g: nn.init.ones_(w)),
        (init.Zeros(), lambda w, g: nn.init.zeros_(w)),
    ):
        assert (ours(rule) == torchs(fill)).all()
    for groups in (1, 4):
        kernel = nn.init.dirac_(torch.empty(16, 16 // groups, 3, 3), groups)
        layer = nn.Conv2d(16, 16, 3, groups=groups)
        assert torch.equal(init.initialize(layer, init.Dirac(), _none())["weight"], kernel)
    assert torch.equal(init.Dirac()(Fans(1, 1), (5, 5), _none()), nn.init.eye_(torch.empty(5, 5)))


def _none() -> torch.Generator:
    return torch.Generator()


def jaxs(make) -> np.ndarray:
    jax = pytest.importorskip("jax", reason="jax is in the extras bench and dev")
    # JAX has inputs first.
    return np.asarray(make(jax.nn.initializers)(jax.random.key(3), (IN, OUT))).T.astype(float)


JAX = {
    "he_truncated": lambda i: i.he_normal(),
    "he_uniform": lambda i: i.he_uniform(),
    "glorot_truncated_corrected": lambda i: i.glorot_normal(),
    "glorot_uniform": lambda i: i.glorot_uniform(),
    "lecun_truncated": lambda i: i.lecun_normal(),
    "lecun_uniform": lambda i: i.lecun_uniform(),
    "he_normal": lambda i: i.variance_scaling(2.0, "fan_in", "normal"),
    "torch_default": lambda i: i.variance_scaling(1 / 3, "fan_in", "uniform"),
    "normal": lambda i: i.normal(0.01),
    "orthogonal": lambda i: i.orthogonal(),
}


@pytest.mark.parametrize("name", JAX)
def test_jax_draws_from_the_same_distribution(name):
    a, b = ours(init.RULES[name]).ravel(), jaxs(JAX[name]).ravel()
    distribution = stats.ks_2samp(a, b)
    if "normal" in name and "trunc" not in name and name != "normal":
        assert abs(b.std() / a.std() - 1) < 0.02
    assert distribution.pvalue > LEVEL


def test_jax_truncates_without_a_correction_and_so_do_we_if_asked():
    rule = init.TruncatedNormal(std=0.5, corrected=False)
    b = jaxs(lambda i: i.truncated_normal(0.5))
    assert stats.ks_2samp(ours(rule).ravel(), b.ravel()).pvalue > LEVEL
    assert b.std() == pytest.approx(0.5 * sqrt(0.7737), rel=0.01)  # and not 0.5


def test_jax_has_delta_orthogonal_kernels_too():
    jax = pytest.importorskip("jax", reason="jax is in the extras bench and dev")
    make = jax.nn.initializers.delta_orthogonal()
    theirs = np.stack([np.asarray(make(jax.random.key(k), (3, 3, 8, 12))) for k in range(200)])
    mine = init.DeltaOrthogonal().stack(
        Fans(1, 1), (12, 8, 3, 3), torch.Generator().manual_seed(0), 200
    )
    assert (theirs.any((0, 3, 4)) == mine.numpy().any((0, 1, 2))).all()  # the centre, no other
    a, b = mine[:, :, :, 1, 1].numpy().ravel(), theirs[:, 1, 1].ravel()
    assert stats.ks_2samp(a, b).pvalue > LEVEL


# Faults of others, and what is right.


def test_torch_reads_fans_off_the_shape():
    """Grouped convolutions asked for fan-out, and every transposed one, are off by a factor."""
    grouped = nn.Conv2d(64, 64, 3, groups=64)
    g = torch.Generator().manual_seed(0)
    theirs = nn.init.kaiming_normal_(torch.empty_like(grouped.weight), mode="fan_out", generator=g)
    right = init.HeNormal(mode="fan_out").variance(fans(grouped))
    assert right == pytest.approx(2 / 9)
    assert float(theirs.var()) == pytest.approx(right / 64, rel=0.2)

    up = nn.ConvTranspose2d(16, 64, 4, stride=2)
    theirs = nn.init.kaiming_normal_(torch.empty_like(up.weight), generator=g)
    right = init.HeNormal().variance(fans(up))
    assert right == pytest.approx(2 / (16 * 16 / 4))
    assert float(theirs.var()) == pytest.approx(2 / (64 * 16), rel=0.1)  # of the outputs' fan


def test_torch_truncates_at_bounds_that_are_no_multiples_of_sigma():
    """`trunc_normal_(std=0.02)` cuts at ±2, a hundred σ: nothing is cut."""
    plain = torchs(lambda w, g: nn.init.trunc_normal_(w, std=0.02, generator=g))
    assert abs(plain).max() > 3 * 0.02
    assert stats.ks_2samp(plain.ravel(), ours(init.Normal(0.02)).ravel()).pvalue > LEVEL
    # With bounds at 2σ it cuts, and does not widen what remains.
    cut = torchs(lambda w, g: nn.init.trunc_normal_(w, std=1.0, generator=g))
    assert cut.std() == pytest.approx(sqrt(0.7737), rel=0.01)
    mine = ours(init.TruncatedNormal(std=1.0, corrected=False))
    assert stats.ks_2samp(mine.ravel(), cut.ravel()).pvalue > LEVEL
    assert ours(init.TruncatedNormal(std=1.0)).std() == pytest.approx(1, rel=0.01)


def test_torchs_gain_of_tanh_keeps_nothing():
    theirs = nn.init.calculate_gain("tanh")
    assert theirs == pytest.approx(5 / 3)
    assert init.gain("tanh") == pytest.approx(1.5925, abs=1e-4)
    assert init.derivative_gain("tanh") == pytest.approx(1.4674, abs=1e-3)
    with pytest.raises(ValueError, match="Unsupported nonlinearity"):
        nn.init.calculate_gain("gelu")


def test_torchs_selu_gain_is_not_the_one_that_normalizes():
    assert nn.init.calculate_gain("selu") == 3 / 4
    assert init.gain("selu") == pytest.approx(1, abs=1e-6)


def test_torchs_sparse_leaves_out_by_column_and_units_differ():
    """Martens 2010 gives every unit the same number of incoming weights."""
    g = torch.Generator().manual_seed(0)
    theirs = nn.init.sparse_(torch.empty(OUT, IN), sparsity=0.9, generator=g)
    assert len(set((theirs != 0).sum(1).tolist())) > 5
    mine = ours(init.Sparse(incoming=20))
    assert set((mine != 0).sum(1).tolist()) == {20}


def test_the_share_of_a_normal_within_two_sigma_is_what_truncation_uses():
    assert erf(2 / sqrt(2)) == pytest.approx(stats.norm.cdf(2) - stats.norm.cdf(-2))
