"""Measures of memory on synthetic runs of known memory, and the watch against a network by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from initlab.data import Data
from initlab.init import HeNormal
from initlab.measure.memory import (
    Memory,
    correlation,
    deviation,
    disagreement,
    forgetting_time,
    selected,
    spread,
    spread_of_seeds,
)
from initlab.models import ResNet9
from initlab.spec import from_plain, to_plain
from initlab.sweep import Run, execute, initial
from initlab.train import SGD, Budget, Curves


@settings(max_examples=50)
@given(
    effect=st.lists(st.floats(0, 1), min_size=2, max_size=6),
    seeds=st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=8),
)
def test_what_seeds_add_to_all_scales_alike_is_no_memory(effect, seeds):
    accuracy = np.add.outer(effect, seeds)
    assert spread(accuracy) == pytest.approx(max(effect) - min(effect), abs=1e-12)
    if len(seeds) > 1:
        within = np.var(seeds, ddof=1) / len(seeds)
        known = max(np.var(effect, ddof=1) - within, 0) ** 0.5
        assert deviation(accuracy) == pytest.approx(known, abs=1e-7)


def test_deviation_and_spread_of_runs_of_known_memory():
    rng = np.random.default_rng(0)
    scales, seeds, noise = 400, 5, 0.01
    for memory in (0.0, 0.02):
        means = memory * rng.standard_normal((scales, 1))
        accuracy = means + noise * rng.standard_normal((scales, seeds))
        assert deviation(accuracy) == pytest.approx(memory, abs=2e-3)
    # Five means of five seeds each span 2.326 standard errors on average.
    pool = noise * rng.standard_normal(20_000)
    assert spread_of_seeds(pool, 5, 5) == pytest.approx(2.326 * noise / 5**0.5, rel=0.03)


@pytest.mark.parametrize("measure", [spread, deviation])
@pytest.mark.parametrize("wrong", [[0.1, 0.2], [[0.1, 0.2]]])
def test_one_scale_has_no_memory(measure, wrong):
    with pytest.raises(ValueError, match=r"accuracies are \(scales ≥ 2, seeds\)"):
        measure(wrong)


def test_disagreement_is_that_of_pairs_with_one_seed():
    # Two seeds, whose classes have nothing in common; three scales that differ in one sample.
    classes = np.zeros((3, 2, 10), int)
    classes[:, 1] = 5
    classes[2, :, 0] = 7
    assert disagreement(classes) == pytest.approx((0 + 0.1 + 0.1) / 3)
    with pytest.raises(ValueError, match="classes are"):
        disagreement(classes[:1])


def curves(train, validation, test) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"step": step, "statistic": name, "value": value}
            for name, values in (
                ("train_accuracy", train),
                ("val_accuracy", validation),
                ("test_accuracy", test),
            )
            for step, value in zip((1, 10, 100, 1000), values, strict=True)
        ]
    )


def test_validation_selects_among_moments_that_interpolate():
    told = selected(curves([0.5, 0.996, 1, 1], [0.9, 0.4, 0.45, 0.45], [0.8, 0.3, 0.35, 0.5]))
    assert (told.step, told.test_accuracy) == (100, 0.35)


def test_a_run_that_does_not_interpolate_is_not_counted():
    told = selected(curves([0.5, 0.9, 0.99, 0.994], [0.1] * 4, [0.1] * 4))
    assert told.isna().all() and "test_accuracy" in told


@pytest.mark.parametrize(
    ("values", "time"),
    [
        ([[0, 0, 0, 0], [5, 1.01, 1, 0]], 100.0),
        ([[0, 0, 0, 0], [5, 1, 1.01, 1]], 1000.0),
        ([[0, 0, 0, 0], [0, 0, 0, 2]], float("inf")),
        ([[0, 0, 0, 0], [0, 0, 0, 0]], 1.0),
        ([[0, 0, 0, 0], [0, float("nan"), 0, 0]], 100.0),
    ],
)
def test_forgetting_times(values, time):
    assert forgetting_time([1, 10, 100, 1000], values, tolerance=1) == time


def test_forgetting_times_want_a_value_for_each_step():
    with pytest.raises(ValueError, match="3 values were given for 2 steps"):
        forgetting_time([1, 2], [[1, 2, 3]], 0.1)


@settings(max_examples=30)
@given(seed=st.integers(0, 99), factor=st.floats(0.1, 10), shift=st.floats(-5, 5))
def test_outputs_that_classify_alike_are_correlated(seed, factor, shift):
    a = torch.randn(20, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    # Neither what all classes of a sample share nor what all samples of a class do is a function.
    moved = factor * a + shift + torch.arange(20).unsqueeze(1) + torch.arange(5)
    assert correlation(a, moved) == pytest.approx(1.0, abs=1e-9)
    b = torch.randn(20, 5, generator=torch.Generator().manual_seed(seed + 100))
    assert abs(correlation(a, b)) < 0.6


def test_constant_outputs_have_no_correlation():
    assert np.isnan(correlation(torch.ones(4, 3), torch.randn(4, 3)))


def test_the_watch_tells_norms_correlation_and_classes():
    run = Run(
        ResNet9(1, input_shape=(1, 8, 8)),
        HeNormal(),
        data=Data("digits", train=64, test=32, val=16),
        optimizer=SGD(lr=0.05),
        budget=Budget(epochs=3, batch_size=16),
        curves=Curves(("train_accuracy", "val_accuracy"), 1.0),
        observer=Memory(1.0, examples=20),
    )
    [(_, _, _, found)] = execute([run])
    rows = pd.DataFrame(found, columns=["network", "layer", "step", "statistic", "value"])
    at = rows.set_index(["statistic", "step"]).sort_index()
    steps = sorted(rows[rows.statistic == "correlation"].step.unique())
    assert steps == [0, 1, 2, 4, 8, 11, 12]
    first, last = steps[0], steps[-1]
    assert at.loc[("correlation", first)].value.item() == pytest.approx(1.0, abs=1e-6)
    assert abs(at.loc[("correlation", last)].value.item()) < 1
    norms = at.loc[("norm", first)].sort_values("layer")
    assert norms.layer.tolist() == list(range(1, 10))
    weights = [float(p.norm()) for p in initial(run).values() if p.dim() > 1]
    assert norms.value.tolist() == pytest.approx(weights, rel=1e-5)
    given_ = rows[rows.statistic.str.startswith("class/")].sort_values("statistic")
    assert given_.statistic.tolist() == [f"class/{i:04d}" for i in range(20)]
    assert given_.value.isin(range(10)).all()
    told = rows[rows.statistic == "val_accuracy"]
    assert len(told) and ((told.value * 16) % 1 == 0).all()


def test_the_watch_is_a_plain_value_and_refuses_impossible_ones():
    assert from_plain(to_plain(Memory(0.5, 8))) == Memory(0.5, 8)
    for wrong in (dict(resolution=0.0), dict(examples=1)):
        with pytest.raises(ValueError, match="must be"):
            Memory(**wrong)


def test_a_watched_run_is_the_run():
    fields = dict(
        data=Data("digits", train=64, test=32),
        optimizer=SGD(lr=0.05),
        budget=Budget(epochs=2, batch_size=16),
    )
    runs = [
        Run(ResNet9(1, input_shape=(1, 8, 8)), HeNormal(), **fields, observer=watch)
        for watch in (None, Memory(0.5, 8))
    ]
    [(_, _, _, plain)], [(_, _, _, seen)] = (execute([run]) for run in runs)
    watched = ("norm", "correlation", "class")
    assert [r for r in seen if r[3].split("/")[0] not in watched] == plain
