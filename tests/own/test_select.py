"""The moment of training is selected on validation samples, and patience ends it."""

from __future__ import annotations

import pytest
import torch

from initlab import SGD, Budget, Curves, Metric, Run, Tensors, grid
from initlab.init import AsBuilt
from initlab.sweep.execute import _fit
from tests.own.networks import cases

CASE = cases()["mlp"]
BY = ("val_loss", "val_accuracy")


def mean_margin(outputs, targets):
    """How far the right logit is above the mean of all, on average."""
    right = outputs.gather(1, targets[:, None])[:, 0]
    return (right - outputs.mean(1)).mean()


def runs(**budget) -> list[Run]:
    base = Run(
        CASE.network, AsBuilt(), data=CASE.data, optimizer=SGD(0.3, 0.9),
        budget=Budget(**{"epochs": 30, "batch_size": 16} | budget),
        curves=Curves((*BY, "test_loss", "test_mean_margin"), resolution=1e-9),
        metrics=(Metric.of(mean_margin),),
    )  # fmt: skip
    return grid(base, seed=range(4))


def per_epoch(outcome, statistic: str) -> list[float]:
    """Its value at the end of each epoch, of three steps."""
    return [v for step, name, v in outcome.curves if name == statistic and step and step % 3 == 0]


@pytest.mark.parametrize("by", BY)
def test_the_best_moment_on_validation_samples(by):
    for outcome in _fit(runs(select=by), "cpu"):
        best, values = dict(outcome.best), per_epoch(outcome, by)
        chosen = min(values) if by == "val_loss" else max(values)
        epoch = values.index(chosen)
        assert best["best_epochs"] == epoch + 1 and best["trained_epochs"] == 30
        assert best[f"best_{by}"] == pytest.approx(chosen, rel=1e-5)
        test = per_epoch(outcome, "test_loss")[epoch]
        assert best["best_test_loss"] == pytest.approx(test, rel=1e-4)
        margin = per_epoch(outcome, "test_mean_margin")[epoch]
        assert best["best_test_mean_margin"] == pytest.approx(margin, rel=1e-4)
        module = CASE.network.build()
        module.load_state_dict(outcome.params)
        x, y = CASE.data.splits["test"]
        loss = torch.nn.functional.cross_entropy(module(x), y).detach()
        assert float(loss) == pytest.approx(test, rel=1e-4)


def test_patience_counts_epochs_without_a_new_best():
    for outcome in _fit(runs(select="val_loss", patience=4), "cpu"):
        best, values = dict(outcome.best), per_epoch(outcome, "val_loss")
        assert len(values) == best["trained_epochs"] < 30
        assert best["trained_epochs"] == best["best_epochs"] + 4


def test_a_test_set_decides_nothing():
    """Other test samples change no moment."""
    train, val = (CASE.data.splits[s] for s in ("train", "val"))
    other = Tensors(train=train, val=val, test=val)
    for one, two in zip(
        _fit(runs(select="val_loss"), "cpu"),
        _fit(grid(runs(select="val_loss")[0], data=[other], seed=range(4)), "cpu"),
        strict=True,
    ):
        assert dict(one.best)["best_epochs"] == dict(two.best)["best_epochs"]
