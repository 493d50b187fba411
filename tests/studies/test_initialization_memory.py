"""Chapter 5: its grid, its estimates and the statistics that it makes them of."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from math import log
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from initlab import claims, init, parameters, sweep
from initlab.measure import memory
from initlab.measure.invariance import scale_invariant, squared_norm
from initlab.store import RECORDED, Store
from initlab.studies import initialization_memory as study
from initlab.studies.contract import Results, compute
from tests.studies.then import key_then

FIRST_EDITION = Path(__file__).parent / "first_edition" / "initialization-memory.json"
#: SHA-256 of the sorted keys of the first edition's grid.
GRIDS = {
    "smoke": "e1c49e726cddd41cd4390ef333e6df66bcfbc8960057af58d749cad367d34bf7",
    "laptop": "c3d863da200f947a240a5877743d7db500f3a8685055bebca01da204218c1a87",
    "paper": "d7fbcd51d99020ce04e5397c89652ae69c9246a51ea1817bdf207373da7b13ec",
}
#: Estimates that are not those of the first edition, and why.
CHANGED = {
    "P1a.contrast": "was the lower end of the spread's interval less the spread of seeds alone",
    "P4a.deviation": "was the spread, which seeds alone take above its bound",
    "P4b.beyond": "was a difference of spreads, each of the scales furthest apart",
    "P4c.beyond": "the same",
    "P5.rank": "was of the means over seeds; with five seeds a bootstrap of that has no interval",
    "P6.best": "the same",
}


every = pytest.mark.parametrize("preset", ["smoke", "laptop", "paper"])
real = pytest.mark.parametrize("preset", ["laptop", "paper"])


@pytest.fixture(scope="module")
def results() -> Results[study.Settings]:
    return compute(study, study.PRESETS["laptop"])


def named(preset: str) -> dict[str, study.Group]:
    """All groups of a preset."""
    sweeps = study.groups(study.PRESETS[preset])
    return {f"{s}: {name}": group for s, of in sweeps.items() for name, group in of.items()}


# The grid.


@every
def test_the_grid_is_that_of_the_first_edition(preset):
    grid = study.grid(study.PRESETS[preset])
    keys = sorted({key_then(run) for runs in grid.values() for run in runs})
    assert hashlib.sha256("\n".join(keys).encode()).hexdigest() == GRIDS[preset]


def test_every_run_of_the_laptop_is_recorded():
    grid = study.grid(study.PRESETS["laptop"])
    assert {sweep.key(r) for runs in grid.values() for r in runs} <= Store(RECORDED).keys()


@every
def test_scales_of_a_group_share_everything_but_the_scale(preset):
    for group in named(preset).values():
        assert len(group) >= 2
        for twins in zip(*group.values(), strict=True):
            for field in fields(twins[0]):
                if field.name not in ("init", "bias"):
                    assert len({repr(getattr(r, field.name)) for r in twins}) == 1


@real
def test_scales_span_two_decades_and_five_seeds(preset):
    for name, group in named(preset).items():
        assert all(len({r.seed for r in runs}) == len(runs) == 5 for runs in group.values())
        if not name.startswith("plain"):
            assert max(group) / min(group) >= 100


def test_the_scale_multiplies_the_tensors_that_are_named():
    multiplied = {
        "all weights": lambda name: name.endswith("weight"),
        "convolutions": lambda name: name.endswith("weight") and not name.startswith("head"),
        "all, and the head's bias": lambda name: True,
    }
    settings = study.PRESETS["smoke"]
    low, high = min(settings.few_scales), max(settings.few_scales)
    for tensors, touches in multiplied.items():
        for name in study.CHOSEN:
            group = study.groups(settings)["which"][f"{name}, {tensors}"]
            small, large = (sweep.initial(group[a][0]) for a in (low, high))
            norms = {n for n, t in small.items() if t.dim() == 1 and not n.startswith("head")}
            for tensor in small.keys() - norms:
                ratio = high / low if touches(tensor) else 1.0
                torch.testing.assert_close(large[tensor], ratio * small[tensor], rtol=1e-5, atol=0)
                if ratio != 1:
                    assert large[tensor].any()


def test_a_rate_undoes_the_scale_or_comes_in_its_place():
    """Of the convolutions the rate over the squared norm, which sets by how much they turn."""
    settings = study.PRESETS["laptop"]
    scaled, undone, alone = study.groups(settings)["turned"].values()
    convolutions = [n for n in sweep.initial(scaled[1.0][0]) if n.endswith("conv.weight")]
    assert len(convolutions) == 8

    def effective(run):
        start, rates = sweep.initial(run), run.init.rates(run.model.build("meta"))
        assert set(rates) <= set(convolutions)
        return [rates.get(n, 1.0) / float(start[n].square().sum()) for n in convolutions]

    for a in settings.few_scales:
        one = effective(scaled[1.0][0])
        assert effective(undone[a][0]) == pytest.approx(one, rel=1e-5)
        expected = [value / a**2 for value in one]
        assert effective(scaled[a][0]) == pytest.approx(expected, rel=1e-5)
        assert effective(alone[a][0]) == pytest.approx(expected, rel=1e-5)
    starts = [sweep.initial(alone[a][0]) for a in settings.few_scales]
    assert all(torch.equal(s[n], starts[0][n]) for s in starts for n in starts[0])


def test_the_scaled_convolutions_do_not_change_the_function():
    settings = study.PRESETS["smoke"]
    draws = torch.Generator().manual_seed(0)
    module = study.network(settings).build("cpu")
    params = init.initialize(module, study.HE, draws)
    x = torch.randn(16, *study.data(settings).shape, generator=draws)
    convolutions = [n for n, t in params.items() if t.dim() == 4]
    assert len(convolutions) == 8
    assert scale_invariant(module, params, x) == convolutions


def test_one_pair_has_the_same_tau_and_five_times_the_epochs():
    cells = study.cells(study.PRESETS["laptop"])
    long, run = (next(iter(cells[name].values()))[0] for name in study.PAIR)
    assert long.budget.epochs >= 5 * run.budget.epochs
    assert study.tau(run) == pytest.approx(study.tau(long), rel=1e-9)
    assert run.optimizer.weight_decay == long.optimizer.weight_decay == 0


@every
def test_only_held_back_samples_choose_the_moment(preset):
    for group in named(preset).values():
        for run in (r for runs in group.values() for r in runs):
            assert run.data.val == study.PRESETS[preset].val > 0
            assert {"train_accuracy", "val_accuracy", "test_accuracy"} <= set(run.curves.statistics)


def test_scales_that_are_compared_must_be_among_those_that_are_run():
    with pytest.raises(parameters.ParameterError, match="few_scales must be among the scales"):
        replace(study.PRESETS["laptop"], few_scales=(0.1, 5.0))


# The estimates.


def test_estimates_are_those_of_the_first_edition(results):
    first, found = json.loads(FIRST_EDITION.read_text(encoding="utf8")), study.judge(results)
    same = {name: float(f"{found[name].value:.4g}") == value for name, value in first.items()}
    assert {name for name, is_same in same.items() if not is_same} == set(CHANGED)


def test_only_the_estimands_of_the_others_have_changed(results):
    """By the first edition's definitions they come out as they did."""
    first = json.loads(FIRST_EDITION.read_text(encoding="utf8"))
    seen, g = study.outcomes(results), study.groups(results.settings)
    both = seen.counted(g["main"][study.DECAYED])
    few = both.loc[list(results.settings.few_scales)]
    rate = seen.counted(g["main"][study.LARGER])
    decay = seen.counted(g["swept"]["low rate, L2"])
    cells, ways = study.whole(results), study.ways(results)
    taus = [study.tau(study.first(study.cells(results.settings)[name])) for name in cells]
    by_tau = study.correlation([study.spread(t).value for t in cells.values()], taus, ranks=True)
    best = [t.mean(axis=1).max() for t in ways.values()]
    again = {
        "P4a.deviation": study.spread(both).value,
        "P4b.beyond": study.spread(rate).value - study.spread(few).value,
        "P4c.beyond": study.spread(decay).value - study.spread(few).value,
        "P5.rank": -by_tau,
        "P6.best": study.correlation([study.spread(t).value for t in ways.values()], best),
    }
    assert {k: float(f"{v:.4g}") for k, v in again.items()} == {k: first[k] for k in again}


def test_every_criterion_has_an_estimate_and_every_claim_its_sweeps(results):
    registered = claims.study(study.STUDY)
    assert study.judge(results).keys() == registered.criteria().keys()
    assert study.BEHIND.keys() == {c.id for c in registered.claims}
    assert {s for names in study.BEHIND.values() for s in names} <= set(results.grid)


def test_tables_and_frames_have_the_first_editions_size(results):
    assert study.uncounted(results).networks.sum() == 55
    assert len(study.ranges(results)) == 44
    assert len(study.phase(results)) == 8
    assert len(study.ways(results)) == 12
    assert list(study.memories(results)["spread, points"].str.split().str[0]) == [
        "15.3",
        "13.1",
        "12.9",
        "2.5",
        "12.4",
        "14.0",
        "11.6",
        "1.0",
    ]


def invented(settings: study.Settings) -> Results[study.Settings]:
    """Results of the settings' grid with random numbers in place of training."""
    rng = np.random.default_rng(0)
    grid = study.grid(settings)
    rows = []
    for run in {sweep.key(r): r for runs in grid.values() for r in runs}.values():
        where = (sweep.key(run), 1.0)
        for step in (0, 1, 2, 4, 8):
            for name in ("train_accuracy", "val_accuracy", "test_accuracy", "correlation"):
                rows.append((*where, -1, step, name, -1, rng.uniform()))
            rows += [(*where, i, step, "norm", -1, rng.uniform(1, 2)) for i in range(1, 10)]
        rows += [(*where, -1, 8, "class", i, float(rng.integers(10))) for i in range(20)]
    columns = ["key", "seconds", "layer", "step", "statistic", "index", "value"]
    return Results(settings, grid, pd.DataFrame(rows, columns=columns))


@pytest.mark.filterwarnings("error", "ignore::ResourceWarning")  # that of others
@pytest.mark.parametrize("changes", [{}, {"fitted": 2.0}, {"runs": 1}, {"scales": (0.3, 3.0)}])
def test_few_networks_and_none_that_counts_are_judged_without_a_warning(changes):
    results = invented(replace(study.PRESETS["smoke"], **changes))
    assert len({sweep.key(r) for runs in results.grid.values() for r in runs}) <= 124
    found = study.judge(results)
    assert found.keys() == claims.study(study.STUDY).criteria().keys()
    assert np.isnan(found["P8a.10"].value)  # there is no such scale


@pytest.mark.filterwarnings("error", "ignore::ResourceWarning")  # that of others
@pytest.mark.parametrize("changes", [{}, {"fitted": 2.0}])
def test_tables_and_frames_do_with_few_networks_and_none_that_counts(changes):
    results = invented(replace(study.PRESETS["smoke"], **changes))
    for table in (study.memories, study.uncounted, study.by_epochs, study.by_distance):
        assert isinstance(table(results), pd.DataFrame)
    for table in (study.by_tensors, study.turned, study.beyond, study.forgetters):
        assert len(table(results))
    for frame in (study.ranges, study.phase, study.forgetting):
        assert isinstance(frame(results), pd.DataFrame)
    for name in study.CHOSEN:
        assert "ratio" in study.norm_ratios(results, name)
        assert len(study.correlations(results, name))


# Spreads.


def table(values, scales=None) -> pd.DataFrame:
    """Accuracies (scales, seeds)."""
    array = np.asarray(values, float)
    return pd.DataFrame(array, index=scales or range(len(array)))


def test_a_contrast_is_taken_within_seeds():
    a = table([[10.0, 20.0, 30.0], [9.0, 19.0, 29.0], [5.0, 16.0, 27.0]], [0.1, 1.0, 10.0])
    assert study.contrast(a, 0.1, 1.0).interval() == (1.0, 1.0)
    assert study.spread(a).value == study.contrast(a, 0.1, 10.0).value == 4.0
    assert np.isnan(study.contrast(a, 0.1, 3.0).value)
    assert study.change(a, a - 1, (0.1, 10.0)).interval() == (0.0, 0.0)
    assert np.isnan(study.spread(a.iloc[:1]).value)


def test_the_spread_is_that_of_the_means():
    a = table(np.random.default_rng(0).normal(30, 2, (5, 5)))
    assert study.spread(a).value == pytest.approx(memory.spread(a))


def test_what_seeds_share_over_scales_is_no_memory():
    seeds = np.random.default_rng(0).normal(0, 10, 6)
    assert study.deviation(table(np.array([[1.0], [2.0], [3.0]]) + seeds)).value == (
        pytest.approx(1.0)
    )


@pytest.mark.parametrize("true", [0.0, 1.0, 3.0])
def test_the_interval_of_a_deviation_covers_it(true):
    """Five scales and five seeds, as in the chapter; at zero it can only be too wide."""
    rng, repetitions = np.random.default_rng(1), 400
    means = np.array([1.0, 1.0, -1.0, -1.0, 0.0])
    means *= true / means.std(ddof=1)
    held = 0
    for _ in range(repetitions):
        a = table(means[:, None] + 1.1 * rng.standard_normal((5, 5)))
        low, high = study.deviation(a).interval()
        held += low <= true + 1e-12 and true <= high
    assert held / repetitions > 0.95 - 3 * (0.95 * 0.05 / repetitions) ** 0.5
    assert true == 0 or held / repetitions < 0.985


def test_seeds_alone_make_a_spread():
    """The mean range of five means of five normal numbers is 2.326 σ/√5."""
    draws = np.random.default_rng(0).normal(0, 1, (5, 4000))
    found = [study.by_seeds_alone(table(draws[:, i : i + 5])) for i in range(0, 400, 5)]
    assert np.mean(found) == pytest.approx(2.326 / 5**0.5, rel=0.1)


def test_correlations_of_one_number_are_none():
    assert np.isnan(study.correlation([1.0, 1.0], [1.0, 2.0]))
    assert np.isnan(study.correlation([1.0], [1.0], ranks=True))
    assert study.correlation([1.0, 2.0, 9.0], [3.0, 2.0, 1.0], ranks=True) == pytest.approx(-1)
    spreads = pd.DataFrame({0: [1.0, 2.0, 3.0], 1: [3.0, 2.0, 1.0]})
    assert study.correlation_by_seed(spreads, [1.0, 2.0, 3.0]) == pytest.approx([1.0, -1.0])
    assert study.correlation_by_seed(spreads, spreads) == pytest.approx([1.0, 1.0])


# Norms. What is exact of them is tested here and in tests/measure/test_invariance.py.

STEPS, RATE, DECAY = 400, 0.2, 0.01
GROUP = {
    a: [SimpleNamespace(scale=a, optimizer=SimpleNamespace(lr=RATE, weight_decay=DECAY))]
    for a in (1.0, 10.0)
}


def norms_of(gradient: float, decay: float):
    """Outcomes of networks whose norms obey the equation, two such layers and a head."""

    def norms(run):
        squared = squared_norm([gradient] * STEPS, run.scale**2, RATE, weight_decay=decay)
        r = np.sqrt(squared)
        return pd.DataFrame({1: r, 2: r, 3: np.full(STEPS + 1, 7.0)})

    return SimpleNamespace(norms=norms)


def test_without_gradient_and_decay_the_norms_keep_the_scale():
    assert study.shares_kept(norms_of(0.0, 0.0), GROUP, 10.0) == pytest.approx([1.0])


def test_without_decay_the_smaller_norms_grow_and_the_ratio_falls_by_the_equation():
    grown = 2 * RATE * RATE * STEPS
    expected = log((1e4 + grown) / (1 + grown)) / log(1e4)
    assert study.shares_kept(norms_of(1.0, 0.0), GROUP, 10.0) == pytest.approx([expected])
    assert study.share_left(norms_of(1.0, 0.0), GROUP) == pytest.approx(expected)


def test_decay_alone_takes_norms_down_at_the_rate_of_decay():
    """Both scales fall at ηλ, and keep their ratio."""
    assert study.decay_slopes(norms_of(0.0, DECAY), GROUP, 10.0) == pytest.approx([1.0])
    assert study.shares_kept(norms_of(0.0, DECAY), GROUP, 10.0) == pytest.approx([1.0])


def test_slopes_count_steps_above_the_floor_only():
    (slope,) = study.decay_slopes(norms_of(1.0, DECAY), GROUP, 10.0)
    assert 0.9 < slope < 1
    assert np.isnan(study.decay_slopes(norms_of(1.0, DECAY), GROUP, 10.0, until=20.0)).all()
    assert study.decay_slopes(norms_of(1.0, DECAY), GROUP, 3.0) == []
