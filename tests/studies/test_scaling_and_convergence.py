"""Chapter 2: its grid is recorded, its estimates are what they say, its claims are judged."""

from __future__ import annotations

from dataclasses import replace
from math import inf, log2
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from initlab import claims
from initlab.claims import number
from initlab.measure import meanfield
from initlab.spec import key
from initlab.store import RECORDED, Store
from initlab.studies import contract
from initlab.studies import scaling_and_convergence as study
from initlab.studies.scaling_and_convergence import ends, fans, inputs, phase, pooled, ranges
from initlab.studies.scaling_and_convergence.settings import FRESH
from initlab.studies.scaling_and_convergence.shortcuts import exact_ratio

HERE = Path(__file__).parent
LAPTOP = study.PRESETS["laptop"]


@pytest.fixture(scope="module")
def results():
    return contract.compute(study, study.PRESETS["laptop"])


@pytest.fixture(scope="module")
def estimates(results):
    return study.judge(results)


def test_the_grid_is_recorded():
    wanted = {key(run) for runs in study.grid(LAPTOP).values() for run in runs}
    assert wanted <= Store(RECORDED).keys()


def test_every_seed_draws_everything_anew_and_none_is_of_the_first_edition():
    for name, runs in study.grid(LAPTOP).items():
        assert all(run.seed >= FRESH for run in runs), name
        for run in runs:
            if run.budget:
                assert run.order == run.seed == run.data.subset, name


def test_the_seeds_that_choose_a_rate_do_not_judge(results):
    s = LAPTOP
    assert len(s.tuning_seeds) == 3
    assert not set(s.tuning_seeds) & {*s.seeds, *s.more_seeds}
    cell = ends.by_scale(study.scale.by_depth(s)[6])[1.0]
    frame = ends.ends(results, cell)
    means = frame[frame.seed.isin(s.tuning_seeds)].groupby("rate").epochs.mean()
    told = ends.summary(results, {"He": cell}, ["rule"]).iloc[0]
    judged = frame[(frame.rate == means.idxmin()) & frame.seed.isin(s.seeds)]
    assert (told.rate, told.n) == (means.idxmin(), s.runs)
    assert told["mean"] == pytest.approx(judged.epochs.mean())
    assert 0 <= told.low < told["mean"] < told.high <= told.budget
    assert ends.factor_of(cell[0]) == 1


def test_the_rate_of_convolutions_is_that_at_which_most_of_three_seeds_start(results):
    rates = study.classics.convolutions_rates(results)
    for kind, cell in rates.groupby(["depth", "rule"]):
        at = cell.set_index("rate")
        best = at[at.reached == at.reached.max()].epochs
        assert best[study.classics.CHOSEN] == best.min(), kind
        if at.reached.any():
            assert at.index.min() < study.classics.CHOSEN < at.index.max()


def cells(s):
    """All cells whose rate is tuned, by a name."""
    for d, runs in study.scale.by_depth(s).items():
        yield from (((d, k), cell) for k, cell in ends.by_scale(runs).items())
    for k, cell in ends.by_scale(study.scale.normed(s)).items():
        yield ("BatchNorm", k), cell
    for kind, runs in study.optimizers.runs(s).items():
        yield from (((*kind, k), cell) for k, cell in ends.by_scale(runs).items())
    for name, runs in study.inputs.runs(s).items():
        yield from (((name, k), cell) for k, cell in ends.by_scale(runs).items())
    for of in (
        study.classics.tanh_by_rule(s),
        study.shortcuts.residual_trained(s),
        study.shortcuts.dense_trained(s),
        study.size.cells(s),
        study.parts.runs(s),
    ):
        yield from of.items()


def test_the_best_rate_of_every_cell_that_trains_is_inside_its_grid(results):
    """Of a cell where two of the three choosing seeds get there."""
    seen = 0
    for name, cell in cells(LAPTOP):
        frame = ends.ends(results, cell)
        frame = frame[frame.seed.isin(LAPTOP.tuning_seeds)]
        best = ends.chosen(results, cell).idxmin()
        if frame[frame.rate == best].reached.sum() >= 2:
            seen += 1
            assert frame.rate.min() < best < frame.rate.max(), name
    assert seen > 120


@pytest.mark.parametrize("learned", [True, False])
def test_the_rates_of_little_data_are_inside_their_grid(results, learned):
    for (n, scale), x in study.little.cells(results, learned).items():
        rates = study.little.rates(LAPTOP, n)
        assert rates[0] < x.rate.iloc[0] < rates[-1], (n, scale)


def test_the_rates_of_transfer_that_are_judged_are_inside_their_grid(results):
    s, rates = LAPTOP, study.transfer.RATES
    frame = study.transfer.frame(results)
    judged = frame[frame["head"] != 0]  # no claim is about a head of zeros
    outside = judged[~judged.rate.between(rates[0], rates[-1], inclusive="neither")]
    assert outside.empty, outside
    assert len(judged) == 6 * len(study.transfer.sets(s)) * len(study.transfer.tuned(s))


def test_an_estimate_for_every_criterion(estimates):
    assert estimates.keys() == claims.study(study.STUDY).criteria().keys()


def test_every_claim_is_judged_and_its_figure_is_in_the_chapter(results, estimates):
    registry = claims.study(study.STUDY)
    costs = {name: results.cost(*sweeps) for name, sweeps in study.BEHIND.items()}
    judged = claims.judged(registry, estimates, preset="laptop", costs=costs)
    unsettled = {c.claim.id for c in judged if c.verdict != claims.REPRODUCED}
    assert unsettled == {c.id for c in registry.claims if c.settles}
    text = (HERE.parents[1] / "notebooks" / "02-scaling-and-convergence.ipynb").read_text("utf8")
    for claim in registry.claims:
        assert f'name=\\"{claim.figure}\\"' in text, claim.id


def test_the_source_has_no_numbers():
    for claim in claims.study(study.STUDY).claims:
        papers = claim.source.startswith(("he_2015", "yang_2022", "martens_2021"))
        assert claim.said.endswith("no number given") or papers, claim.id
        assert {k.bound_by for k in claim.criteria} == {"ours"}


def test_the_smoke_preset_judges_nothing_and_what_is_left_out_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("INITLAB_STORE", str(tmp_path))
    smoke = study.PRESETS["smoke"]
    assert sum(map(len, study.grid(smoke).values())) < 900
    fewer = {"outputs": (0, 4), "rates": (0.1,), "runs": 2, "networks": 8, "signal_depth": 3}
    settings = replace(smoke, recorded=False, epochs=1, samples=64, **fewer)
    card = contract.scorecard(study, contract.compute(study, settings))
    assert {c["verdict"] for c in card.plain()} == {claims.UNTESTED}
    outcomes = card.frame().set_index("id").outcome
    assert outcomes["C-7a.12-24"] == outcomes["C-14b.16"] == claims.UNDECIDED


# What the first edition judged and theory decides


def test_a_fan_predicts_the_ratio_whether_it_is_the_right_one_or_not():
    frame = fans.frame(study.PRESETS["laptop"])
    largest = frame.groupby("fan").z.max()
    assert largest.max() < 3
    dense = frame[frame.fan == "dense"].iloc[0]
    assert number(dense.measured) == "0.0351"
    assert (frame.z < 3).all()
    assert (frame[frame.fan == "true"].predicted == 1).all()
    shape = frame[frame.fan == "shape"].set_index(["layer", "direction"]).predicted
    assert shape["grouped, 4 groups", "backward"] == 1 / 4
    assert shape["stride 2", "backward"] == 1 / 4


def test_the_mean_square_of_residual_streams_is_the_expected_one(results):
    slope = study.shortcuts.decades_per_module(results, "η = 1")
    assert slope == pytest.approx(np.log10(3), abs=0.02)
    drawn = study.shortcuts.residual_drawn(results.settings)
    for (name, L), runs in drawn.items():
        ratio = study.shortcuts.final_ratio(results, runs)
        if name in study.shortcuts.BRANCHES:
            assert ratio == pytest.approx(1.0)
        elif name != "η = 1":  # whose mean over networks is that of rare ones
            error = ratio.std(ddof=1) / len(ratio) ** 0.5
            assert abs(ratio.mean() - exact_ratio(name, L)) < 5 * error
    assert exact_ratio("η = 1", 3) == 27


# Frames and statistics


@pytest.mark.parametrize(
    ("works", "octaves"),
    [
        ([True] * 5, 4.0),
        ([False, False, True, False, False], 1.0),
        ([True, False, True, True, False], 2.0),
        ([True, True, False, True, True], 0.0),
        ([False, False, True, True, True], 2.5),
    ],
)
def test_a_range_is_the_stretch_around_1(works, octaves):
    assert ranges.stretch(2.0 ** np.arange(-2, 3), np.array(works)) == octaves


def test_ranges_within_a_multiple_are_narrower_and_by_each_seeds_own_fewest(results):
    runs = study.scale.by_depth(results.settings)[6]
    scales, epochs = ranges.fewest(results, runs)
    assert epochs.shape == (LAPTOP.runs, len(scales)) and (epochs > 0).all()
    whole = ranges.octaves(results, runs)
    for times in (1.0, 2.0, 3.0):
        within = ranges.octaves(results, runs, within=times)
        assert (within <= whole).all()
        for row, stretch in zip(epochs, within, strict=True):
            assert stretch == ranges.stretch(scales, row <= times * row.min())
    assert np.isinf(epochs[:, 0]).all()  # a sixth of He's scale


def test_the_interval_from_moments_is_students():
    x = np.random.default_rng(0).normal(size=30)
    found = pooled.from_moments(x.mean(), x.std(ddof=1) / 30**0.5, 30)
    assert found.interval(0.01) == pytest.approx(claims.mean(x).interval(0.01))
    assert pooled.from_moments(1.0, float("nan"), 30).interval() == (-inf, inf)


@pytest.mark.parametrize("q", [0.01, 1.0, 6.0])
@pytest.mark.parametrize("c", [0.0, 0.5, 0.999])
def test_the_series_is_the_correlation_map(q, c):
    expected = meanfield.correlation_map(phase.ACTIVATION, c, 1.7, 0.3, q)
    assert phase.next_correlation(c, 1.7, 0.3, q) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("w", "b"), [(0.8, 0.1), (1.5, 0.0), (2.0, 0.3), (2.7, 0.7)])
def test_two_inputs_end_where_mean_field_theory_says(w, b):
    at = meanfield.phase_diagram(phase.ACTIVATION, w, b).iloc[0]
    found = phase.limit(w, b, at.q_star, at.chi_1)
    assert found == pytest.approx(meanfield.c_star(phase.ACTIVATION, w, b), abs=1e-9)


def test_one_curve_is_told_from_several():
    scale = 2.0 ** np.arange(-3, 4)
    rows = []
    for name, rms in (("pixels × 0.1", 0.1), (inputs.REFERENCE, 1.0), ("standardized", 3.0)):
        y = (scale * rms**0.5) ** 3
        rows.append(pd.DataFrame({"inputs": name, "scale": scale, "rms": rms, "epochs": y}))
    means = inputs.with_sizes(pd.concat(rows, ignore_index=True))
    assert inputs.collapse(means, "epochs", "root") > 0.999
    assert inputs.collapse(means, "epochs", "product") < 0.9
    flat = means.assign(epochs=1.0)
    assert np.isnan(inputs.collapse(flat, "epochs", "root"))


def test_a_part_off_its_scale_costs_octaves(results):
    s = results.settings
    lost = study.parts.lost(results, study.parts.BETWEEN, 2.0)
    epochs = ends.times(results, study.parts.runs(s)[study.parts.BETWEEN, 2.0])
    usual = ends.times(results, study.parts.as_usual(s))
    assert lost[0] == pytest.approx(log2(epochs[0] / usual[0])) and len(lost) == s.more_runs
    assert study.parts.effects(results).part[0] == study.parts.BETWEEN


def test_a_frozen_body_does_not_learn():
    from initlab.sweep import execute, initial

    s = study.PRESETS["smoke"]
    [frozen] = {
        k: v for k, v in study.transfer.runs(s).items() if k[2] == "random, frozen"
    }.values()
    rates = frozen[0].init.rates(frozen[0].model.build())
    assert {n for n, rate in rates.items() if rate == 0} == {
        n for n, _ in frozen[0].model.build().named_parameters() if not n.startswith("head")
    }
    assert set(initial(frozen[0])) >= set(rates)
    assert execute([frozen[0]])


def test_the_table_of_decisions_names_what_was_tried(results):
    table = study.decision.table(results)
    assert (table.runs > 0).all()
    deep = table[table["size"] == "24 layers"].iloc[0]
    assert deep.use.startswith("He")
