"""Chapter 1: its grid is recorded, its estimates are what they say, its claims are judged."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from initlab import claims, parameters
from initlab.claims import number
from initlab.measure import theory
from initlab.spec import key
from initlab.store import RECORDED, Store
from initlab.studies import contract
from initlab.studies import how_to_start_training as study
from initlab.studies.how_to_start_training import frames, judge_signal, judge_starts, signal, starts
from initlab.studies.how_to_start_training.normalized import PLACES, NormalizedResidual
from initlab.studies.how_to_start_training.parts import FRESH, LAST_WIDTHS
from initlab.studies.how_to_start_training.starts import epochs
from initlab.studies.how_to_start_training.trained import free_widths

HERE = Path(__file__).parent
LAPTOP = study.PRESETS["laptop"]


@pytest.fixture(scope="module")
def results():
    return contract.compute(study, study.PRESETS["laptop"])


@pytest.fixture(scope="module")
def estimates(results):
    return study.judge(results)


def test_the_grid_is_recorded():
    wanted = {key(run) for some in study.grid(LAPTOP).values() for run in some}
    assert wanted <= Store(RECORDED).keys()


def test_replicates_share_nothing_with_the_first_edition_and_initializers_nothing_with_each_other():
    grid = study.grid(LAPTOP)
    assert all(run.seed >= FRESH for some in grid.values() for run in some)
    assert all(run.order == run.seed for some in grid.values() for run in some if run.budget)
    for name in ("square_nets", "square_trained", "lost", "tuned", "conv_nets", "conv_layers"):
        seeds: dict[str, set[int]] = {}
        for run in grid[name]:
            seeds.setdefault(run.init.label, set()).add(run.seed)
        assert len(set().union(*seeds.values())) == sum(map(len, seeds.values())), name


def test_the_seeds_that_choose_a_rate_do_not_judge(results):
    few, more, chosen = LAPTOP.runs, LAPTOP.close_runs, LAPTOP.tuning_runs
    tuned, tiny = starts.tuned_starts(results), starts.tiny_starts(results)
    for frame, arms, judging in ((tuned, 4, 2 * few + 2 * more), (tiny, 1, few)):
        assert frame[frame.tunes].seed.nunique() == arms * chosen
        assert frame[~frame.tunes].seed.nunique() == judging


def test_the_best_rate_is_inside_the_grid_or_none_is(results):
    """Where no network starts at any rate, the grid reaches from standing still to overflow."""
    frames = {"η = 1": starts.tiny_starts(results)}
    frames |= dict(list(starts.tuned_starts(results).groupby("init")))
    assert len(frames) == 5
    for name, own in frames.items():
        low, high = own.rate.min(), own.rate.max()
        if own.reached.any():
            assert low < starts.best_rate(own) < high, name
            by_rate = own.groupby("rate").reached.mean()
            assert low < by_rate.idxmax() < high, name
        else:
            overflow = own.groupby("rate").diverged.mean()
            assert overflow[low] == 0 and overflow[high] == 1, name


def test_images_are_asked_for():
    settings = replace(study.PRESETS["smoke"], image_dataset="gaussian")
    with pytest.raises(parameters.ParameterError, match="must be of images, not 'gaussian'"):
        study.grid(settings)


def test_every_criterion_has_an_estimate(estimates):
    assert estimates.keys() == claims.study(study.STUDY).criteria().keys()


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
    assert sum(map(len, study.grid(smoke).values())) < 400
    schemes = ("he_normal_2x", "he_uniform", "torch_default")
    small = {"depths": (7, 8), "modules": (2, 4), "family_depths": (4,), "draw_seeds": 2}
    few = {"lost_depths": (7, 8), "lost_epochs": (1, 1), "rates": (0.01,), "free_depths": (4,)}
    counts = {"networks": 20, "layer_networks": 4, "draws": 10, "epochs": 1, "short_epochs": 1}
    settings = replace(smoke, schemes=schemes, recorded=False, **small, **few, **counts)
    card = contract.scorecard(study, contract.compute(study, settings))
    assert {c["verdict"] for c in card.plain()} == {claims.UNTESTED}
    outcomes = card.frame().set_index("id").outcome
    assert outcomes["H3.glorot-uniform"] == outcomes["H7.iv"] == claims.UNDECIDED


# What theory decides


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
    error = (np.log(spread.high) - np.log(spread.low)) / (2 * 2.093)  # 20 seeds
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


def test_effects_are_slopes_with_the_other_factors_held_fixed():
    generator = np.random.default_rng(0)
    cells = 2 ** generator.uniform(0, 3, (18, 3))
    y = 0.7 * np.log2(cells[:, 0]) - 0.2 * np.log2(cells[:, 2]) + 5
    assert judge_starts.effects(cells) @ y == pytest.approx([0.7, 0.0, -0.2], abs=1e-10)


def test_free_networks_have_the_sums_that_they_are_chosen_for():
    for d in LAPTOP.free_depths:
        for total in LAPTOP.free_sums:
            for last in LAST_WIDTHS:
                widths = free_widths(d, total, last)
                assert len(widths) == d and widths[-1] == last
                assert sum(1 / n for n in widths) == pytest.approx(total, rel=0.06)


def test_padding_takes_what_is_outside_of_the_image():
    """Of one pixel eight ninths in every layer; of a large image nearly nothing."""
    assert study.even_padding(1, 5) == pytest.approx(np.log10(1 / 9))
    assert -2e-3 < study.even_padding(500, 20) < 0


@pytest.mark.parametrize("place", PLACES)
def test_the_normalization_stands_where_it_says(place):
    torch.manual_seed(0)
    net = NormalizedResidual(place, modules=3, width=5, inputs=6)
    seen: list[torch.Tensor] = []
    net.head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    for layer in net.layers:
        torch.nn.init.constant_(layer.weight, 10.0)
    net(torch.randn(4, 2, 3))
    size = float(seen[0].detach().square().mean())
    assert (size > 10) == (place == "none") and (
        place == "none" or size == pytest.approx(1, abs=0.2)
    )
    counts = {"none": 0, "last": 1, "pre": 4, "post": 3}
    norms = [m for m in net.modules() if isinstance(m, torch.nn.LayerNorm)]
    assert len(norms) == counts[place]
    with pytest.raises(ValueError, match="must be one of none, last, pre, post, not 'middle'"):
        NormalizedResidual("middle", modules=3, width=5, inputs=6)


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
    whole = study.figure_2b(results).set_index(["eta", "modules"])["mean"]
    assert restricted == pytest.approx(whole["η = 0.9ˡ", 100])
