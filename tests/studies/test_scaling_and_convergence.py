"""Chapter 2: its grid is recorded, its estimates are the first edition's, or say why not."""

from __future__ import annotations

import hashlib
import json
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
from initlab.studies.scaling_and_convergence.shortcuts import exact_ratio
from tests.studies.then import key_then

HERE = Path(__file__).parent
FIRST = json.loads((HERE / "first_edition" / f"{study.STUDY}.json").read_text(encoding="utf8"))
#: Of the sorted keys of all runs, as the first edition's notebook made them.
GRIDS = {
    "smoke": "1448c8503bf0622f6b5f3f87d90f426ecbba6ca6970606bbbc47f2d5299bb9ba",
    "laptop": "95b5afe24235523f926ad81c27d72a34709f98bd564a2554b637505eb9572047",
    "paper": "4a7a435c79f21e0f8e0e8e82cf762ecd0e2bed8128a8c3fad35ac094717ae57d",
}
#: Criteria without a value of the first edition, and why.
CHANGED = {
    "C-1c.": "every scale of the range, not the slowest alone, which was picked by its result",
    "C-2a.": "was within the largest deviation of six from a level",
    "C-2c.": "every activation, not the largest deviation alone",
    "C-2d.": "a tolerance, not a count of pairs beyond three standard errors",
    "C-2e.": "a tolerance, not a count of pairs beyond three standard errors",
    "C-4c.": "pairs of which neither network starts are not known to be equal",
    "C-5a.": "epochs, of which the source speaks, not the range of scales",
    "C-5b.": "epochs, of which the source speaks, not the range of scales",
    "C-7.relative": "within a multiple of the fewest epochs, which the budget does not set",
    "C-8": "mean over seeds of each one's own R²; that against scale × size excluded this one",
    "C-12a.": "a tolerance, not a count of activations beyond three standard errors",
    "C-12b.mish": "pairs of which neither network starts are not known to be equal",
    "C-12b.abs": "pairs of which neither network starts are not known to be equal",
    "C-13a.": "new: against plain networks, of which the source speaks",
    "C-13c.": "at all depths, not at the greatest alone",
    "C-14c.": "new: width, which the source's sentence includes",
    "C-15b.": "against every single layer, not the one that cost least",
}


@pytest.fixture(scope="module")
def results():
    return contract.compute(study, study.PRESETS["laptop"])


@pytest.fixture(scope="module")
def estimates(results):
    return study.judge(results)


@pytest.mark.parametrize("preset", GRIDS)
def test_the_grid_is_that_of_the_first_edition(preset):
    grid = study.grid(study.PRESETS[preset])
    keys = sorted({key_then(run) for runs in grid.values() for run in runs})
    assert hashlib.sha256("\n".join(keys).encode()).hexdigest() == GRIDS[preset]
    if preset == "laptop":
        now = {key(run) for runs in grid.values() for run in runs}
        assert now <= Store(RECORDED).keys()


@pytest.mark.parametrize("name", FIRST["same"])
def test_estimates_are_those_of_the_first_edition(estimates, name):
    assert number(estimates[name].value) == FIRST["same"][name]


def test_what_changed_is_said(estimates):
    assert estimates.keys() == claims.study(study.STUDY).criteria().keys()
    changed = estimates.keys() - FIRST["same"].keys()
    assert {n for n in changed if not n.startswith(tuple(CHANGED))} == set()
    assert all(any(n.startswith(prefix) for n in changed) for prefix in CHANGED)


def test_what_was_an_estimate_is_still_to_be_had(results, estimates):
    first = FIRST["other"]
    apart = max(abs(e.value - 1) for n, e in estimates.items() if n.startswith(("C-2a", "C-2c")))
    assert number(apart) == first["farthest from level"]
    for way, count in first["beyond 3 standard errors"].items():
        assert number((study.signal.of_c2(results, way).z > 3).sum()) == count
    means = inputs.frame(results)
    for both, value in first["collapse"].items():
        assert number(inputs.collapse(means, *both.split())) == value


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
        essay = not claim.source.startswith("he_2015")
        assert claim.said.endswith("no number given") or not essay
        assert {k.bound_by for k in claim.criteria} == {"ours"}


def test_the_smoke_preset_judges_nothing_and_what_is_left_out_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("INITLAB_STORE", str(tmp_path))
    smoke = study.PRESETS["smoke"]
    assert sum(map(len, study.grid(smoke).values())) < 600
    fewer = {"octaves": (0, 1), "rates": (0.1,), "runs": 2, "networks": 8, "signal_depth": 3}
    settings = replace(smoke, recorded=False, epochs=1, samples=64, **fewer)
    card = contract.scorecard(study, contract.compute(study, settings))
    assert {c["verdict"] for c in card.plain()} == {claims.UNTESTED}
    outcomes = card.frame().set_index("id").outcome
    assert outcomes["C-7.budget-20-40"] == outcomes["C-14b.16"] == claims.UNDECIDED


# What the first edition judged and theory decides


def test_a_fan_predicts_the_ratio_whether_it_is_the_right_one_or_not():
    frame = fans.frame(study.PRESETS["laptop"])
    largest = frame.groupby("fan").z.max()
    first = FIRST["other"]["fans"]
    assert (number(largest["true"]), number(largest["shape"])) == (first["true"], first["shape"])
    dense = frame[frame.fan == "dense"].iloc[0]
    assert number(dense.measured) == first["as if fully connected"]
    assert (frame.z < 3).all()
    assert (frame[frame.fan == "true"].predicted == 1).all()
    shape = frame[frame.fan == "shape"].set_index(["layer", "direction"]).predicted
    assert shape["grouped, 4 groups", "backward"] == 1 / 4
    assert shape["stride 2", "backward"] == 1 / 4


def test_the_mean_square_of_residual_streams_is_the_expected_one(results):
    found = FIRST["other"]["mean square"]
    slope = study.shortcuts.decades_per_module(results, "η = 1")
    assert number(slope) == found["decades per module"]
    drawn = study.shortcuts.residual_drawn(results.settings)
    for (name, L), runs in drawn.items():
        ratio = study.shortcuts.final_ratio(results, runs)
        if L == 40 and name in found:
            assert number(ratio.mean()) == found[name]
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
    runs = study.scale.by_depth(results.settings)[10]
    scales, epochs = ranges.fewest(results, runs)
    assert epochs.shape == (5, len(scales)) and (epochs > 0).all()
    whole = ranges.octaves(results, runs)
    for times in (1.0, 2.0, 4.0):
        within = ranges.octaves(results, runs, within=times)
        assert (within <= whole).all()
        for row, stretch in zip(epochs, within, strict=True):
            assert stretch == ranges.stretch(scales, row <= times * row.min())
    assert np.isinf(epochs[:, 0]).all()  # an eighth of He's scale


def test_tuned_runs_are_those_of_the_rate_with_the_fewest_mean_epochs(results):
    cell = ends.by_scale(study.scale.by_depth(results.settings)[5])[1.0]
    frame = ends.ends(results, cell)
    means = frame.groupby("rate").epochs.mean()
    told = ends.summary(results, {"He": cell}, ["rule"]).iloc[0]
    assert told["mean"] == means.min() and told.rate == means.idxmin()
    assert 0 <= told.low < told["mean"] < told.high <= told.budget
    assert ends.factor_of(cell[0]) == 1


def test_the_interval_from_moments_is_students():
    x = np.random.default_rng(0).normal(size=30)
    found = pooled.from_moments(x.mean(), x.std(ddof=1) / 30**0.5, 30)
    assert found.interval(0.01) == pytest.approx(claims.mean(x).interval(0.01))
    assert pooled.from_moments(1.0, float("nan"), 30).interval() == (-inf, inf)


def test_the_largest_distance_of_several_is_covered():
    rng = np.random.default_rng(1)
    truth, held = np.array([0.0, 0.3, -1.0, 0.9]), 0
    for _ in range(300):
        samples = truth[:, None] + rng.normal(size=(4, 20))
        found = pooled.largest_distance([claims.mean(x) for x in samples])
        low, high = found.interval()
        held += low <= 1.0 <= high
        assert low <= found.value <= high
    assert held >= 0.95 * 300
    assert np.isnan(pooled.largest_distance([claims.unknown()]).value)


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


def test_wider_steps_of_a_part_cost_octaves(results):
    lost = study.parts.lost(results, study.parts.BETWEEN, 2.0)
    usual = ends.by_scale(study.scale.by_depth(results.settings)[10])[1.0]
    epochs = ends.times(results, study.parts.runs(results.settings)[study.parts.BETWEEN, 2.0])
    assert lost[0] == pytest.approx(log2(epochs[0] / ends.times(results, usual)[0]))
    assert study.parts.effects(results).part[0] == study.parts.BETWEEN


def test_the_table_of_decisions_names_what_was_tried(results):
    table = study.decision.table(results)
    assert (table.runs > 0).all()
    assert len(table) == 22
    gelu = table[table.activation == "gelu"].iloc[0]
    assert (gelu.use, gelu.epochs) == ("none of those tried", "–")
    forty = table[table["size"] == "40 layers"].iloc[0]
    assert (forty.use, forty["takes"]) == ("He", "no other gets there")
