"""Losses on sequences and on numbers against torch's, also where a batch has one sample."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initlab import SGD, Budget, Network, Run, Tensors, grid
from initlab.data import Split
from initlab.init import AsBuilt
from initlab.sweep.execute import _fit
from initlab.train import BinaryCrossEntropy, CrossEntropy, Huber, MeanSquaredError
from initlab.train.ensemble import ModuleEnsemble
from initlab.train.evaluate import evaluate

R = 3
G = torch.Generator().manual_seed(0)
NUMBERS = {
    "mse": (MeanSquaredError(), F.mse_loss),
    "huber": (Huber(0.7), lambda z, y: F.huber_loss(z, y, delta=0.7)),
    "bce": (BinaryCrossEntropy(), F.binary_cross_entropy_with_logits),
}


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("B", [1, 5])
@pytest.mark.parametrize("shape", [(), (1,), (4,)])
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name, shape, B, own):
    ours, theirs = NUMBERS[name]
    z = 2 * torch.randn(R, B, *(shape or (1,)), generator=G)
    y = torch.rand(R if own else 1, B, *shape, generator=G)
    found = ours(z, y)
    assert found.shape == (R,)
    for r in range(R):
        expected = theirs(z[r] if shape else z[r].squeeze(-1), y[r if own else 0])
        torch.testing.assert_close(found[r], expected)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("ignore", [None, -100])
def test_sequences(smoothing, ignore, own):
    z = torch.randn(R, 4, 6, 7, generator=G)
    y = torch.randint(7, (R if own else 1, 4, 6), generator=G)
    if ignore is not None:
        y[:, :, 4:] = ignore
    loss = CrossEntropy(smoothing, ignore)
    found, right = loss(z, y), loss.right(z, y)
    for r in range(R):
        own_y = y[r if own else 0].flatten()
        flat = z[r].flatten(0, 1)
        expected = F.cross_entropy(flat, own_y, label_smoothing=smoothing)
        torch.testing.assert_close(found[r], expected)
        kept = own_y >= 0
        share = (flat.argmax(-1) == own_y)[kept].float().mean()
        torch.testing.assert_close(right[r], share)


class Line(nn.Module):
    """One output of two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def test_a_last_batch_of_one_does_not_mix_networks():
    x = torch.randn(5, 2, generator=G)
    data = Tensors(train=(x, x[:, 0]), test=(x, x[:, 0]))
    base = Run(
        Network(Line), AsBuilt(), data=data, loss=MeanSquaredError(), optimizer=SGD(0.1),
        budget=Budget(epochs=4, batch_size=2),
    )  # fmt: skip
    runs = [r for o in range(3) for r in grid(base, order=[o], seed=[o])]
    for run, outcome in zip(runs, _fit(runs, "cpu"), strict=True):
        [alone] = _fit([run], "cpu")
        for name, value in outcome.params.items():
            torch.testing.assert_close(value, alone.params[name])


def test_a_part_without_targets_counts_for_nothing():
    """Whole samples may be left out, more of them than are evaluated at once."""
    model = Network(nn.Linear, in_features=3, out_features=4)
    module = model.build()
    params = {n: p.detach()[None] for n, p in module.named_parameters()}
    x, y = torch.randn(600, 3, generator=G), torch.randint(4, (600,), generator=G)
    y[:300] = -100
    loss = CrossEntropy(ignore_index=-100)
    found = evaluate(ModuleEnsemble(model, params), Split(x, y), loss, [0])
    expected = F.cross_entropy(module(x), y).detach()
    assert float(found["loss"]) == pytest.approx(float(expected), rel=1e-5)
    assert 0 <= float(found["accuracy"]) <= 1
