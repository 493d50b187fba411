"""A loss and a field of a run of one's own are one change in one place, as CONTRIBUTING shows."""

from __future__ import annotations

from inspect import getsource
from pathlib import Path

import pytest
import torch

from initlab import SGD, Budget, Data, Network, Run, Store, Tensors, grid, run
from initlab.init import AsBuilt, HeNormal
from initlab.models import MLP
from initlab.spec import from_plain, key, spec, to_plain
from initlab.sweep import groups
from initlab.train import OfNumbers
from tests.own.networks import DropoutRegression


@spec
class LogCosh(OfNumbers):
    """log cosh of the error, averaged: like a square near zero and like its size beyond."""

    def each(self, outputs, targets):
        return torch.log(torch.cosh(outputs - targets))


@spec
class ClippedRun(Run):
    """A run whose gradients, of all parameters together, are no longer than `clip`."""

    clip: float = 1.0

    def on_gradients(self, step, grads):
        norms = torch.stack([g.flatten(1).square().sum(1) for g in grads]).sum(0).sqrt()
        times = (self.clip / norms).clamp(max=1)
        return [g * times.view(-1, *[1] * (g.dim() - 1)) for g in grads]


def test_a_loss(tmp_path):
    x = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    data = Tensors(train=(x[:40], x[:40, 0]), test=(x[40:], x[40:, 0]))
    net = Network(DropoutRegression, rate=0.0)
    base = Run(net, AsBuilt(), data=data, loss=LogCosh(), budget=Budget(epochs=40, batch_size=10))
    runs = grid(base, optimizer=[SGD(0.1)], seed=range(3))
    frame = run(runs, store=Store(tmp_path), recorded=False)
    assert set(frame.loss) == {"LogCosh"}
    assert frame[frame.statistic == "test_loss"].value.max() < 0.2
    assert "test_accuracy" not in set(frame.statistic)
    assert run(runs, store=Store(tmp_path), recorded=False).equals(frame)
    with pytest.raises(ValueError, match="LogCosh takes one number for each output"):
        run([Run(net, AsBuilt(), data=Tensors(train=(x, x)), loss=LogCosh(), budget=base.budget)])


def test_a_field(tmp_path):
    base = ClippedRun(
        MLP((8,), inputs=64), HeNormal(), data=Data("digits", train=200, test=50),
        budget=Budget(epochs=2, batch_size=50), optimizer=SGD(0.1),
    )  # fmt: skip
    runs = grid(base, clip=[1e-6, 1e6], seed=range(3))
    assert len({key(r) for r in runs}) == 6
    assert from_plain(to_plain(runs[0])) == runs[0]
    assert len(groups(runs)) == 2, "networks that train as one share the field"
    frame = run(runs, store=Store(tmp_path), recorded=False)
    losses = frame[frame.statistic == "train_loss"].groupby("clip").value.mean()
    plain = Run(base.model, base.init, data=base.data, budget=base.budget, optimizer=SGD(0.1))
    free = run(grid(plain, seed=range(3)), store=Store(tmp_path), recorded=False)
    expected = free[free.statistic == "train_loss"].value.mean()
    assert losses[1e6] == pytest.approx(expected, rel=1e-4)
    assert losses[1e-6] > expected + 0.1


@pytest.mark.parametrize("part", [LogCosh, ClippedRun])
def test_contributing_shows_it_as_it_is(part):
    text = Path(__file__).parents[2].joinpath("CONTRIBUTING.md").read_text(encoding="utf8")
    assert getsource(part) in text
