"""Chapter 1: its grid is recorded, its estimates are the first edition's, or say why not."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from initlab import claims, init, parameters
from initlab.claims import number
from initlab.measure import theory
from initlab.spec import key
from initlab.store import RECORDED, Store
from initlab.studies import contract
from initlab.studies import how_to_start_training as study
from initlab.studies.how_to_start_training import frames, judge_signal, judge_starts, signal
from initlab.studies.how_to_start_training.starts import epochs
from tests.studies.then import key_then

HERE = Path(__file__).parent
FIRST = json.loads((HERE / "first_edition" / f"{study.STUDY}.json").read_text(encoding="utf8"))
#: Of the sorted keys of all runs of the laptop preset, as the first edition's notebook made them.
GRID = "170a724e6bbec493d06d6f8cd141518179b6f024a0694217b5c8a27f53012882"
#: Criteria without a value of the first edition, and why.
CHANGED = {
    "H1.level-": "at depth 100, not the largest of ten depths, whose interval would be biased",
    "H2a.": "a share of seeds, not of seeds and depths, which share the order of batches",
    "H2c.": "at depth 100, not at the depth at which most were given up",
    "H2d.": "at depth 100, and at the greatest depth that was trained",
    "H2e.": "a share of seeds over all depths",
    "H4c.": "a difference with an interval, not whether three numbers are in order",
    "H5b.1-": "by pairs; those of which neither network starts are not known to be equal",
    "H5c.": "new: of networks that start, because the restricted mean counts overflows",
    "H6b.": "in place of a comparison of two R², of which that with more values of x wins",
    "H7.": "of an exponential against a power, not of growth",
    "H8.control": "new",
    "H9.": "an effect size, not a number of standard errors",
}


@pytest.fixture(scope="module")
def results():
    return contract.compute(study, study.PRESETS["laptop"])


@pytest.fixture(scope="module")
def estimates(results):
    return study.judge(results)


def test_the_grid_is_that_of_the_first_edition_and_recorded():
    runs = [run for some in study.grid(study.PRESETS["laptop"]).values() for run in some]
    keys = sorted({key_then(run) for run in runs})
    assert hashlib.sha256("\n".join(keys).encode()).hexdigest() == GRID
    assert {key(run) for run in runs} <= Store(RECORDED).keys()


def test_images_are_asked_for():
    settings = replace(study.PRESETS["smoke"], image_dataset="gaussian")
    with pytest.raises(parameters.ParameterError, match="must be of images, not 'gaussian'"):
        study.grid(settings)


@pytest.mark.parametrize("name", FIRST["same"])
def test_estimates_are_those_of_the_first_edition(estimates, name):
    assert number(estimates[name].value) == FIRST["same"][name]


@pytest.mark.parametrize("depth", FIRST["largest"]["H6c"])
def test_the_families_are_as_far_apart_as_in_the_first_edition(estimates, depth):
    apart = [abs(estimates[f"H6c.depth-{depth}-{f}"].value - 1) for f in ("i", "ii", "iii", "iv")]
    assert number(max(apart)) == FIRST["largest"]["H6c"][depth]
    over = [estimates[f"H6d.depth-{depth}-{f}"].value for f in ("i", "ii", "iii", "iv")]
    assert number(max(over)) == FIRST["largest"]["H6d"][depth]


def test_what_changed_is_said(estimates):
    assert estimates.keys() == claims.study(study.STUDY).criteria().keys()
    changed = estimates.keys() - FIRST["same"].keys()
    changed -= {name for name in changed if name[:4] in ("H6c.", "H6d.")}
    assert {n for n in changed if not n.startswith(tuple(CHANGED))} == set()
    assert all(any(n.startswith(prefix) for n in changed) for prefix in CHANGED)


def test_every_claim_is_judged_and_its_figure_is_in_the_chapter(results, estimates):
    registry = claims.study(study.STUDY)
    costs = {name: results.cost(*sweeps) for name, sweeps in study.BEHIND.items()}
    judged = claims.judged(registry, estimates, preset="laptop", costs=costs)
    unsettled = {c.claim.id for c in judged if c.verdict != claims.REPRODUCED}
    assert unsettled == {c.id for c in registry.claims if c.settles}
    text = (HERE.parents[1] / "notebooks" / "01-how-to-start-training.ipynb").read_text("utf8")
    for claim in registry.claims:
        assert not claim.figure or f'name=\\"{claim.figure}\\"' in text, claim.id


def test_the_smoke_preset_judges_nothing_and_what_is_left_out_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("INITLAB_STORE", str(tmp_path))
    smoke = study.PRESETS["smoke"]
    assert sum(map(len, study.grid(smoke).values())) < 250
    schemes = ("he_normal_2x", "he_uniform", "torch_default")
    small = {"depths": (2, 3), "modules": (2, 4), "family_depths": (4,), "draw_seeds": 2}
    counts = {"networks": 10, "draws": 10, "epochs": 1}
    settings = replace(smoke, schemes=schemes, recorded=False, slow_depths=(2,), **small, **counts)
    card = contract.scorecard(study, contract.compute(study, settings))
    assert {c["verdict"] for c in card.plain()} == {claims.UNTESTED}
    outcomes = card.frame().set_index("id").outcome
    assert outcomes["H2d.glorot-uniform"] == outcomes["H7.iv"] == claims.UNDECIDED


# What the first edition judged and theory decides


def test_slopes_of_schemes_that_share_draws_differ_exactly(results):
    square = signal.square_ratios(results)
    for kind in (
        ("he_normal", "he_normal_2x", "lecun_normal"),
        ("he_uniform", "glorot_uniform"),
        ("he_truncated", "he_truncated_uncorrected", "glorot_truncated"),
    ):
        excess = []
        for scheme in kind:
            points = judge_signal.by_depth(square, scheme)
            variance = init.rule(scheme).variance(init.Fans(100, 100))
            logs = [np.log10(x.mean()) for x in points.values()]
            found = judge_signal.trend(list(points)) @ logs
            excess.append(found - theory.growth_per_layer(variance, 100))
        assert np.ptp(excess) < 1e-5


def test_the_spread_is_exactly_as_large_as_the_first_edition_printed():
    square = {d: theory.expected_empirical_variance((d,) * d) for d in (10, 20, 50, 100, 200)}
    narrow = {d: theory.expected_empirical_variance((20,) * d) for d in (10, 20, 50, 100)}
    assert [number(square[d]) for d in (10, 20, 50, 100)] == ["9.1", "12.29", "15.29", "16.59"]
    assert [number(v) for v in narrow.values()] == ["1.416", "12.29", "5745", "2.234e+08"]
    assert square[200] / square[100] < 1.1
    at = [theory.expected_empirical_variance((15,) * d) for d in range(10, 101, 10)]
    assert min(b / a for a, b in pairwise(at)) > 10


def test_measured_spread_is_exact_where_it_can_be_estimated(results):
    layers = study.ratio_variances(results)
    assert (layers.relative - 1).abs().max() < 0.05
    spread = study.spread(results)
    spread = spread[spread.reciprocal <= 0.7]
    assert len(spread) == 24
    error = (np.log(spread.high) - np.log(spread.low)) / (2 * 2.262)  # 10 seeds
    assert (np.log(spread["mean"] / spread.exact).abs() < 4 * error).all()


def test_without_biases_the_mean_square_stays(results):
    still = study.biases(results)
    assert still[still.nu == 0].z.abs().max() < 4


def test_weighted_streams_level_off_where_a_simulation_had_them(results):
    """Beyond module 75 weights below 0.75^75 change nothing, whatever the network."""
    ratios = signal.residual_ratios(results)
    ratios = ratios[ratios.matrices == 1]
    for b, plateau in ((0.9, 4.06), (0.75, 1.105), (0.5, 0.222)):
        means = ratios[ratios.b == b].groupby("modules").value.mean()
        assert np.log10(means[100]) == pytest.approx(plateau, abs=0.15)
        if b < 0.9:
            assert means[100] == pytest.approx(means[75], rel=1e-8)


# Frames and statistics


def test_means_for_a_logarithmic_axis_have_positive_ends():
    heavy = [1e-3] * 9 + [50.0]
    frame = pd.DataFrame({"cell": ["a"] * 10 + ["b"], "value": [*heavy, 2.0]})
    found = frames.log_means(frame, ["cell"]).set_index("cell")
    assert claims.mean(heavy).interval()[0] < 0 < found.low["a"] < found["mean"]["a"]
    assert found["mean"]["a"] == pytest.approx(np.mean(heavy))
    assert np.isnan(found.low["b"])


def test_intervals_of_restricted_means_end_at_the_budget():
    trained = pd.DataFrame({"cell": "a", "epochs": [3.0, 100.0, 100.0]})
    [row] = epochs(trained, ["cell"], 100).itertuples()
    assert row.mean == pytest.approx(203 / 3)
    assert row.high == 100


def test_ratios_are_of_a_networks_last_layer_over_its_first():
    rows = [("k", 0, 0, 2), ("k", 0, 7, 3), ("k", 1, 0, 4), ("k", 1, 7, 2)]
    frame = pd.DataFrame(rows, columns=["key", "network", "layer", "value"])
    assert list(signal.ratios(frame).value) == [1.5, 0.5]


def test_the_exponent_of_a_power_does_not_rise_and_an_exponentials_does():
    x = np.array([4.0, 8.0, 10.0, 20.0])
    assert judge_signal.rise(*x**3) == pytest.approx(0)
    assert judge_signal.rise(*np.exp(x)) > 5


def test_trend_is_the_least_squares_slope():
    x, y = [1.0, 2.0, 4.0], np.array([3.0, 1.0, 0.0])
    assert judge_signal.trend(x) @ y == pytest.approx(np.polyfit(x, y, 1)[0])


@pytest.mark.parametrize(
    ("epochs", "share"), [([1, 2, 2, 9], 1.0), ([9, 4, 2, 1], 0.0), ([1, 9, 1, 9], 0.5)]
)
def test_share_explained_by_an_increasing_function(epochs, share):
    found = judge_starts.explained(np.arange(4.0), np.array(epochs, dtype=float))
    assert found == pytest.approx(share, abs=0.01)


def test_families_have_the_sums_that_they_are_chosen_for():
    sums = {
        name: {round(sum(1 / n for n in widths(d)) / d, 12) for d in (4, 8, 20)}
        for name, widths in study.FAMILIES.items()
    }
    *four, fifth = sums.values()
    assert four == [{round(1 / 15, 12)}] * 4
    assert fifth == {0.05}
    for run in study.grid(study.PRESETS["laptop"])["swapped_trained"]:
        widths = run.model.widths
        assert widths == study.FAMILIES["(i) 30, 10, 30, 10 …"](len(widths))[::-1]


def test_overflow_tells_what_does_not_start_from_what_starts_late(results):
    found = study.overflow(results).set_index("eta")
    assert list(found.start + found.overflow) == [1.0] * 4
    late = found.loc["η = 0.9ˡ"]
    restricted = late.start * late["mean"] + 100 * late.overflow
    whole = study.figure_2b(results).set_index(["b", "modules"])["mean"]
    assert restricted == pytest.approx(whole[0.9, 100])
