"""Losses against torch's, and every hand-written gradient against autograd."""

from __future__ import annotations

from math import log

import pytest
import torch
import torch.nn.functional as F

from initlab.train import ClippedCrossEntropy, CrossEntropy
from initlab.train.loss import LEAST, by_autograd

R, B, C = 3, 7, 5
LOSSES = [CrossEntropy(), CrossEntropy(0.1), ClippedCrossEntropy(), ClippedCrossEntropy(0.05)]


def logits(scale: float = 2.0) -> torch.Tensor:
    return scale * torch.randn(R, B, C, generator=torch.Generator().manual_seed(0))


def targets(kind: str) -> torch.Tensor:
    g = torch.Generator().manual_seed(1)
    return {
        "shared": torch.randint(C, (B,), generator=g),
        "own": torch.randint(C, (R, B), generator=g),
        "soft": torch.rand(B, C, generator=g).softmax(-1),
        "own soft": torch.rand(R, B, C, generator=g).softmax(-1),
    }[kind]


@pytest.mark.parametrize("kind", ["shared", "own", "soft", "own soft"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_torchs(kind, smoothing):
    z, y = logits(), targets(kind)
    found = CrossEntropy(smoothing)(z, y)
    for r in range(R):
        own = y[r] if kind.startswith("own") else y
        expected = F.cross_entropy(z[r], own, label_smoothing=smoothing)
        torch.testing.assert_close(found[r], expected)


@pytest.mark.parametrize("kind", ["shared", "own", "soft", "own soft"])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_the_written_gradient_is_autograds(loss, kind, scale):
    z, y = logits(scale), targets(kind)
    before = z.clone()
    losses, g = loss.gradient(z, y)
    expected, by_graph = by_autograd(loss, z, y)
    assert torch.equal(z, before), "the logits were changed"
    assert g.shape == z.shape
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(g, by_graph)


def test_without_a_clip_in_reach_both_losses_are_one():
    z, y = logits(1.0), targets("own")
    torch.testing.assert_close(ClippedCrossEntropy()(z, y), CrossEntropy()(z, y))


def test_a_certain_mistake_costs_the_clip_and_pulls_at_nothing():
    z = torch.tensor([[[40.0, 0.0]], [[0.0, 40.0]], [[1.0, 0.0]]])
    y = torch.ones(1, dtype=torch.int64)
    losses, g = ClippedCrossEntropy().gradient(z, y)
    assert losses[0] == pytest.approx(-log(1e-7), rel=1e-6)
    assert losses[1] == pytest.approx(1e-7, rel=0.2)  # 1 − 1e-7 in float32
    assert torch.equal(g[:2], torch.zeros(2, 1, 2))
    assert g[2].abs().min() > 0
    assert CrossEntropy().gradient(z, y)[1][0].abs().max() == pytest.approx(1)


@pytest.mark.parametrize("eps", [0.0, 0.5, -1.0])
def test_impossible_clips_are_refused(eps):
    with pytest.raises(ValueError, match=r"eps must be > 0 and < 0\.5"):
        ClippedCrossEntropy(eps)


@pytest.mark.parametrize("loss", [CrossEntropy(), ClippedCrossEntropy()], ids=type)
def test_a_confident_network_has_no_numbers_that_are_slow(loss):
    """Subnormal numbers cost several times as much; nothing that is larger may change for it."""
    logits = 60 * torch.randn(3, 128, 62, generator=torch.Generator().manual_seed(0))
    targets = torch.randint(62, (128,), generator=torch.Generator().manual_seed(1))
    probabilities = logits.softmax(-1)
    tiny = torch.finfo(torch.float32).tiny
    assert ((probabilities > 0) & (probabilities < tiny)).any()
    _, g = loss.gradient(logits.clone(), targets)
    _, exact = by_autograd(loss, logits, targets)
    assert not ((g != 0) & (g.abs() < tiny)).any()
    torch.testing.assert_close(g, exact, rtol=1e-3, atol=LEAST)
