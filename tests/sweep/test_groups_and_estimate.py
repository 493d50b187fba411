"""Which runs train as one, what differs within a group, and what a sweep is said to cost."""

from __future__ import annotations

import importlib
from dataclasses import replace
from math import ceil

import pandas as pd
import pytest
import torch
from torch import nn

from initlab import sweep
from initlab.augment import Augment
from initlab.data import Data, Tensors, load
from initlab.init import LSUV, AsBuilt, GradInit, HeNormal, MetaInit
from initlab.measure import SecondMoments
from initlab.models import MLP, Network, ResNet9
from initlab.noise import LabelNoise
from initlab.spec import key
from initlab.store import Store
from initlab.sweep import Run, estimate, grid, groups
from initlab.sweep.execute import FITTED_ON
from initlab.sweep.groups import WORTH_SHARING
from initlab.train import SGD, Adam, AdamW, Budget, Curves
from initlab.train.choose import Form, Way
from tests.sweep.test_sweep import LOOK, TRAIN


def test_runs_of_one_order_keep_together_and_few_of_an_order_train_on_their_own_batches():
    many = grid(TRAIN, order=[0, 1], seed=range(WORTH_SHARING))
    few = grid(TRAIN, order=[2, 3, 4], seed=range(WORTH_SHARING - 1))
    cut = groups([*many, *few])
    assert sorted(map(key, many + few)) == sorted(key(r) for g in cut for r in g)
    orders = sorted(sorted({r.order for r in g}) for g in cut)
    assert orders == [[0], [1], [2, 3, 4]]


def test_what_may_differ_within_a_group_and_what_may_not():
    together = [
        *grid(TRAIN, optimizer=[SGD(0.1), SGD(0.2, momentum=0.9)], noise=[None, LabelNoise(0.2)]),
        *grid(TRAIN, seed=[7, 8]),
    ]
    assert len(groups(together)) == 1
    apart = [
        *grid(TRAIN, optimizer=[Adam(), AdamW(), SGD(0.1, momentum=0.9, nesterov=True)]),
        replace(TRAIN, budget=Budget(epochs=3)),
        replace(TRAIN, curves=Curves()),
        replace(TRAIN, data=Data("digits", train=100)),
    ]
    assert len(groups([*together, *apart])) == 7


def test_a_mixed_group_gives_what_its_runs_give_alone(tmp_path):
    runs = [
        *grid(TRAIN, optimizer=[SGD(0.1), SGD(0.2)], noise=[None, LabelNoise(0.2)]),
        replace(TRAIN, order=5, curves=Curves(("train_loss",))),
    ]
    frame = sweep.run(runs, store=Store(tmp_path), recorded=False)
    for r in runs:
        [(_, _, _, rows)] = sweep.execute([r])
        alone = pd.DataFrame(rows, columns=["network", "layer", "step", "statistic", "value"])
        found = frame[frame.key == key(r)][alone.columns]
        order = ["statistic", "step"]
        pd.testing.assert_frame_equal(
            found.sort_values(order).reset_index(drop=True),
            alone.sort_values(order).reset_index(drop=True),
            check_dtype=False,
            rtol=1e-4,
        )
    assert set(frame[frame.statistic == "train_loss"].step) > {-1, 0, 1}


def test_an_estimate_sums_over_kinds_and_needs_no_data(monkeypatch):
    monkeypatch.setattr("initlab.data.load", lambda *a: pytest.fail("data were loaded"))
    small = ResNet9(width=1, input_shape=(1, 8, 8))
    budget = Budget(epochs=1, batch_size=256)
    runs = [
        *grid(TRAIN, seed=range(5)),
        *grid(LOOK, seed=range(3)),
        *grid(replace(TRAIN, model=small, budget=budget, augment=Augment(flip=True)), seed=[0, 1]),
    ]
    cost = estimate([*runs, runs[0]], workers=2)
    assert sorted(zip(cost.table.model, cost.table.runs, strict=True)) == [
        ("MLP", 3),
        ("MLP", 5),
        ("ResNet9", 2),
    ]
    assert (cost.table.seconds >= 0).all()
    assert cost.wall == pytest.approx(cost.seconds / 2)
    assert cost.memory == 2 * cost.table.bytes.max() > 0
    assert str(cost).startswith("10 runs: ")
    with pytest.raises(ValueError, match="there are no runs"):
        estimate([])


@pytest.mark.parametrize("way", Way)
def test_a_users_networks_are_timed_as_they_will_be_computed(monkeypatch, way):
    """All of a group where they are computed as one, else one of them."""
    module, seen = importlib.import_module("initlab.sweep.estimate"), []
    monkeypatch.setattr(module, "found", lambda *a: Form(False, way, 2.0))

    def fit(model, params, *args, **options):
        seen.append(len(params["weight"]))

    monkeypatch.setattr(module, "fit", fit)
    noise = torch.Generator().manual_seed(0)
    data = Tensors(train=(torch.randn(64, 3, generator=noise), torch.arange(64) % 2))
    net = Network(nn.Linear, in_features=3, out_features=2)
    estimate(grid(Run(net, AsBuilt(), data=data, budget=Budget(epochs=1)), seed=range(5)))
    assert set(seen) == {1 if way.apart else 5}


def test_augmented_images_of_a_network_that_takes_vectors_are_timed_as_images():
    run = replace(TRAIN, data=Data("digits", train=64, test=32), augment=Augment(flip=True))
    assert isinstance(run.model, MLP)
    cost = estimate([run])
    assert cost.table.runs.tolist() == [1] and cost.seconds > 0


def test_an_estimate_is_what_the_measured_speed_gives(monkeypatch):
    """With a clock that only training moves: a thousandth of a second for each sample."""
    module, clock = importlib.import_module("initlab.sweep.estimate"), [0.0]

    def training(model, params, data, **_):
        clock[0] += len(next(iter(params.values()))) * len(data.train.x) / 1000

    monkeypatch.setattr(module, "fit", training)
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])
    samples = len(load(TRAIN.data).train.x)
    for epochs in (1, 10):
        run = replace(TRAIN, budget=Budget(epochs=epochs, batch_size=256))
        steps = ceil(samples / 256) * epochs
        cost = estimate(grid(run, seed=range(4)))
        assert cost.seconds == pytest.approx(4 * steps * 256 / 1000)


def test_an_estimate_counts_the_fitting_of_every_start(monkeypatch):
    """With a clock that only fitting moves: half a second, and a tenth for each step."""
    module, clock = importlib.import_module("initlab.sweep.estimate"), [0.0]
    given = set()

    def starting(model, rule, generator, *, batch=None, **_):
        if batch is not None:
            given.add(len(batch[0]))
            clock[0] += 0.5 + 0.1 * getattr(rule, "steps", 0)

    monkeypatch.setattr(module, "initialize", starting)
    monkeypatch.setattr(module, "fit", lambda *_, **__: None)
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])
    plain = replace(TRAIN, init=HeNormal())
    assert estimate([plain]).seconds == 0
    runs = [
        *grid(plain, init=[HeNormal(), LSUV(), MetaInit(steps=200)], seed=range(3)),
        *grid(plain, init=[GradInit(steps=1), GradInit(steps=3)]),
    ]
    cost = estimate(runs)
    assert cost.table.runs.tolist() == [len(runs)], "they train as one"
    assert cost.seconds == pytest.approx(3 * 0.5 + 3 * (0.5 + 20) + 0.6 + 0.8)
    assert given == {FITTED_ON}


def test_networks_that_are_looked_at_are_timed_from_the_start_that_they_have():
    model = MLP((6, 6), inputs=64, outputs=None)
    look = Run(model, HeNormal(), data=Data("digits"), measure=SecondMoments(image=0), networks=2)
    runs = grid(look, init=[HeNormal(), LSUV()], seed=[0, 1])
    assert estimate(runs).table.runs.tolist() == [2, 2]
    assert estimate(grid(LOOK, seed=[0, 1])).table.runs.tolist() == [2]
