"""An optimizer of one's own is one class, as CONTRIBUTING shows it."""

from __future__ import annotations

from inspect import getsource
from pathlib import Path

import initlab
from initlab.init import HeNormal
from initlab.models import MLP
from initlab.spec import spec
from initlab.train import Budget, Optimizer


@spec
class SignDescent(Optimizer):
    """θ ← θ − lr · sign g (Bernstein et al. 2018)."""

    lr: float = 0.001

    @staticmethod
    def update(theta, grad, slots, n, count):
        theta.sub_(n["lr"] * grad.sign())


def test_an_optimizer_of_ones_own_is_one_class(tmp_path, device):
    """It trains, is stored and is found again, with networks that have rates of their own."""
    base = initlab.Run(
        MLP((8,), inputs=64, outputs=10),
        HeNormal(),
        data=initlab.Data("digits", train=200, test=50),
        budget=Budget(epochs=2, batch_size=50),
    )
    rates = [1e-9, 0.01]
    runs = initlab.grid(base, optimizer=[SignDescent(lr) for lr in rates], seed=range(3))
    frame = initlab.run(runs, store=initlab.Store(tmp_path), device=device)
    assert set(frame["optimizer"]) == {"SignDescent"}
    losses = frame[frame.statistic == "train_loss"].groupby("optimizer.lr").value.max()
    assert losses[0.01] < losses[1e-9] - 0.5
    again = initlab.run(runs, store=initlab.Store(tmp_path), device=device)
    assert again.equals(frame)


def test_contributing_shows_it_as_it_is():
    text = Path(__file__).parents[2].joinpath("CONTRIBUTING.md").read_text(encoding="utf8")
    assert getsource(SignDescent) in text
