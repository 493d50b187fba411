"""Chapter 2: the signal, other activations and the best rate against the width."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from initlab import claims, sweep
from initlab.init import gain
from initlab.measure import meanfield
from initlab.spec import key
from initlab.store import RECORDED, Store
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence import best_rate, finite, gains, level, mup, signal
from initlab.studies.scaling_and_convergence.ends import ends
from initlab.studies.scaling_and_convergence.settings import PRESETS, Settings
from initlab.sweep import Run

LAPTOP, SMOKE = PRESETS["laptop"], PRESETS["smoke"]
#: Those with estimates.
MODULES = (level, finite, gains, best_rate)


def grid(s: Settings) -> dict[str, list[Run]]:
    """The sweeps of these parts."""
    return {
        "signal_nets": list(signal.runs(s).values()),
        "level_nets": level.runs(s),
        "finite_nets": list(finite.runs(s).values()),
        "gain_trained": [r for cell in gains.runs(s).values() for r in cell],
        "control_trained": [r for cell in gains.controls(s).values() for r in cell],
        "rate_trained": [r for cell in best_rate.runs(s).values() for r in cell],
    }


def computed(s: Settings, recorded: bool) -> Results[Settings]:
    sweeps = grid(s)
    runs = [r for some in sweeps.values() for r in some]
    return Results(s, sweeps, sweep.run(runs, recorded=recorded))


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INITLAB_STORE", str(tmp_path_factory.mktemp("store")))
        return computed(SMOKE, recorded=False)


@pytest.fixture(scope="module")
def results():
    wanted = {key(r) for some in grid(LAPTOP).values() for r in some}
    assert wanted <= Store(RECORDED).keys()
    return computed(LAPTOP, recorded=True)


def test_every_criterion_of_these_parts_has_an_estimate(smoke):
    found = {name for module in MODULES for name in module.estimates(smoke)}
    registered = claims.study("scaling-and-convergence").criteria()
    assert found == {n for n in registered if n.startswith(("C-2", "C-12", "C-16"))}


def test_kinds_of_networks_share_no_draws():
    for name in ("signal_nets", "level_nets", "finite_nets"):
        seeds = [r.seed for r in grid(LAPTOP)[name]]
        assert len(set(seeds)) == len(seeds), name


def test_trainings_share_no_order():
    for name in ("gain_trained", "control_trained", "rate_trained"):
        assert all(r.order == r.seed for r in grid(LAPTOP)[name]), name


def test_frames_have_a_row_for_every_cell(smoke):
    assert len(signal.ratios(smoke)) == 2 * len(signal.runs(SMOKE))
    assert set(level.spread(smoke).activation) == set(level.kept(SMOKE))
    assert len(level.ends(smoke)) == sum(r.networks for r in level.kept(SMOKE).values())
    assert list(level.decay(smoke).layer) == list(range(1, level.followed(SMOKE)[-1] + 1))
    assert len(finite.frame(smoke)) == len(finite.runs(SMOKE))
    assert len(gains.frame(smoke)) == len(gains.runs(SMOKE))
    assert len(gains.hard(smoke)) == len(gains.BIASES) * (len(gains.RULES) + len(gains.CONTROLS))
    assert set(gains.by_rate(smoke).rate) == set(gains.rates(SMOKE))
    assert len(best_rate.frame(smoke)) == len(best_rate.runs(SMOKE))
    assert len(best_rate.by_rate(smoke)) == len(best_rate.runs(SMOKE)) * len(best_rate.rates(SMOKE))


# What theory says


@pytest.mark.parametrize("name", finite.ACTIVATIONS)
def test_gradients_at_the_fixed_point_grow_by_the_same_factor_in_every_layer(name):
    assert float(meanfield.mean_square(name, 1.0)) == pytest.approx(1 / gain(name) ** 2)
    ratio = np.exp(finite.expected(name, 7) - finite.expected(name, 6))
    assert ratio == pytest.approx(meanfield.chi_1(name, gain(name)), rel=1e-6)
    first = np.exp(finite.expected(name, 1))  # pre-activations of variance 1 from weights of 1/n
    assert first == pytest.approx(float(meanfield.mean_square_slope(name, 1.0)))


def test_the_forward_step_is_exact_at_any_width(results):
    """Given a layer, the next one's mean square has the expectation that theory gives it."""
    frame = signal.ratios(results)
    frame = frame[frame.way == "forward"]
    z = (frame.measured - frame.expected).abs() / frame.error
    assert len(z) == len(signal.runs(LAPTOP))
    assert z.max() < 5


def test_a_sample_of_one_deviation_per_width_has_the_exponent_that_it_was_made_with():
    rng = np.random.default_rng(0)
    samples = {n: 3 / n + 0.05 * rng.normal(size=50) / n for n in (25, 50, 100, 200)}
    found = finite.exponent(samples)
    assert found.value == pytest.approx(-1, abs=0.05)
    low, high = found.interval()
    assert low < -1 < high and high - low < 0.1


# How rates are chosen


@pytest.mark.parametrize("least", [-7.3, -5.0, -4.4])
def test_the_lowest_point_of_a_parabola_is_found_between_the_rates(least):
    x = np.array([-9.0, -7.5, -6.0, -4.2, -3.0])
    y = np.stack([2 * (x - least) ** 2 + 1, x, -x])
    assert best_rate.lowest(x, y) == pytest.approx([least, -9.0, -3.0])


def test_no_seed_chooses_its_own_rate(monkeypatch):
    rows = [(s, r, e) for s in (1, 2, 3) for r, e in ((0.1, 2.0), (0.2, 2.0 if s > 1 else 0.5))]
    table = pd.DataFrame(rows, columns=["seed", "rate", "epochs"]).assign(reached=1.0)
    monkeypatch.setattr(gains, "ends", lambda results, cell: table)
    found = gains.tuned(None, []).set_index("seed")
    assert found.rate.to_dict() == {1: 0.1, 2: 0.2, 3: 0.2}
    assert found.epochs.to_dict() == {1: 2.0, 2: 2.0, 3: 2.0}
    assert found.started.all()


def test_the_best_rate_is_inside_the_grid_or_few_start(results):
    for name, cell in (gains.runs(LAPTOP) | gains.controls(LAPTOP)).items():
        at = ends(results, cell).groupby("rate")[["epochs", "reached"]].mean()
        if at.reached.max() > 0.25:
            assert at.index[0] < at.epochs.idxmin() < at.index[-1], name


def test_the_best_rate_of_every_width_is_inside_the_grid(results):
    low, *_, high = best_rate.rates(LAPTOP)
    found = best_rate.frame(results)
    assert ((found["mean"] > low) & (found["mean"] < high)).all()
    assert set(found.width) == set(mup.widths(LAPTOP))


def test_the_narrowest_networks_are_the_same_with_mup_and_without(smoke):
    narrow = mup.widths(SMOKE)[0]
    losses = best_rate.losses(smoke)
    assert losses["μP", narrow] == pytest.approx(losses["He", narrow], rel=1e-4)


def test_smaller_settings_will_do(tmp_path, monkeypatch):
    monkeypatch.setenv("INITLAB_STORE", str(tmp_path))
    found = computed(replace(SMOKE, signal_depth=3, networks=8, epochs=1), recorded=False)
    for module in MODULES:
        for name, e in module.estimates(found).items():
            low, high = e.interval()
            assert low <= e.value <= high or e.n == 0, name
