"""Chapter 3: its grid is the recorded one, and its estimates are those of the first edition."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from math import inf, log
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from initlab import claims
from initlab.measure.displacement import moments, spectrum, stable_rank
from initlab.store import RECORDED, Store
from initlab.studies import contract
from initlab.studies import staying_near_the_start as study
from initlab.studies.contract import Results
from initlab.studies.staying_near_the_start import judge_losses, seeds, sizes, straight
from initlab.sweep import Run, key
from tests.studies.then import key_then

FIRST = json.loads(
    Path(__file__, "..", "first_edition", f"{study.STUDY}.json").resolve().read_text("utf8")
)
#: Estimates that are others than the first edition's, and why.
CHANGED = {
    "J5d.ratio": "times that were not seen are cut at the horizon, and no longer left out",
    "J14a.loss": "by the last look, because three looks are most of what the end has",
}
#: SHA-256 of the sorted keys of the first edition's runs.
KEYS = {
    "smoke": "46f9270da7ff3275e8c100e637fd72aabd5fdc6bb3a7d33815c4c6b03b31d559",
    "laptop": "ed0889e4150ededf67fb3648f6cc8612a9c21574da13eafddb6c262b3c2535a8",
    "paper": "704c167e2f432acac596fba3864e81be99bb733e439cbc0349dd14dc95333f3f",
}


def keys(preset: str) -> set[str]:
    return {key(r) for runs in study.grid(study.PRESETS[preset]).values() for r in runs}


@pytest.mark.parametrize("preset", study.PRESETS)
def test_the_grid_is_the_first_editions(preset):
    assert study.PRESETS[preset].preset == preset
    runs = (r for some in study.grid(study.PRESETS[preset]).values() for r in some)
    then = sorted({key_then(r) for r in runs})
    assert sha256("\n".join(then).encode()).hexdigest() == KEYS[preset]


def test_every_run_is_recorded():
    assert keys("laptop") <= Store(RECORDED).keys()


@pytest.fixture(scope="module")
def laptop() -> Results[study.Settings]:
    return contract.compute(study, study.PRESETS["laptop"])


@pytest.fixture(scope="module")
def estimates(laptop) -> dict[str, claims.Estimate]:
    return study.judge(laptop)


@pytest.mark.parametrize("name", sorted(set(FIRST) - set(CHANGED)))
def test_estimates_are_the_first_editions(estimates, name):
    assert claims.number(estimates[name].value) == FIRST[name]


@pytest.mark.parametrize("name", CHANGED)
def test_changed_estimates_are_changed(estimates, name):
    assert claims.number(estimates[name].value) != FIRST[name]


def test_every_criterion_has_an_estimate_and_every_claim_its_runs(laptop, estimates):
    registry = claims.study(study.STUDY)
    assert set(estimates) == set(registry.criteria())
    assert set(study.BEHIND) == {c.id for c in registry.claims}
    assert {name for names in study.BEHIND.values() for name in names} <= set(laptop.grid)


def test_claims_name_figures_of_the_notebook():
    notebook = Path(__file__).parents[2] / "notebooks" / f"03-{study.STUDY}.ipynb"
    text = notebook.read_text("utf8")
    for claim in claims.study(study.STUDY).claims:
        assert f'name=\\"{claim.figure}\\"' in text


def test_power_is_marked_where_it_lacks():
    registry = claims.study(study.STUDY)
    families = [k.family for k in registry.criteria().values()]
    for k in registry.criteria().values():
        found = claims.chances(k, families.count(k.family) if k.family else 1)
        lacks = found.met_if_true < 0.8 or found.met_if_wrong > 0.05
        assert lacks == k.underpowered, k.id


def test_smoke_settings_are_judged(monkeypatch, tmp_path):
    monkeypatch.setenv("INITLAB_STORE", str(tmp_path))
    smoke = replace(study.PRESETS["smoke"], recorded=False)
    results = contract.compute(study, smoke)
    card = contract.scorecard(study, results)
    assert {c.verdict for c in card.claims} == {claims.UNTESTED}
    found = study.judge(results)
    assert found["J1.area"].n == smoke.runs
    assert np.isnan(found["J13a.bins.mnist"].value)  # smoke has one of the two sets


def followed(run: Run, epochs: np.ndarray, **curves: Callable) -> pd.DataFrame:
    """Rows of one made-up run, with curves as functions of the epoch."""
    steps = np.round(epochs * study.PRESETS["smoke"].per_epoch("emnist")).astype(int)
    return pd.concat(
        pd.DataFrame({"key": key(run), "layer": -1, "step": steps, "statistic": name}).assign(
            index=-1, index_2=-1, value=[float(curve(e)) for e in epochs]
        )
        for name, curve in curves.items()
    )


LINE = log(62) / 2  # half of the loss of a guess among EMNIST's classes


@pytest.mark.parametrize(
    ("train", "last", "diverged", "at"),
    [
        (lambda e: 0.1, 6, False, None),
        (lambda e: 0.1 if e < 4 else 3.0, 6, True, 4.0),
        (lambda e: 3.0 if e in (0.0, 2.0) or e > 4 else 0.1, 6, True, 4.5),  # peaks heal
        (lambda e: 0.1 if e < 5.5 else 3.0, 6, False, None),  # two looks are too few
        (lambda e: 3.0, 6, False, None),  # it never learnt
        (lambda e: 0.1 if e < 4 else inf, 5, True, 3.5),  # it ended before its time
    ],
    ids=["stable", "diverged", "peaks", "late", "never", "infinite"],
)
def test_divergence(train, last, diverged, at):
    settings = study.PRESETS["smoke"]
    grid = study.grid(settings)
    run = grid["clipped"][0]
    epochs = np.arange(0, last + 0.5, 0.5)
    frame = followed(run, epochs, train_loss=train, test_loss=lambda e: 1 + (e - 2) ** 2)
    told = study.fate(Results(settings, grid, frame), [run]).iloc[0]
    assert (told.diverged, told.t_test, told.min_test) == (diverged, 2.0, 1.0)
    assert np.isnan(told.divergence) if at is None else told.divergence == at
    assert told.above == (told.end_train >= LINE)


def test_a_jump_is_where_a_series_grows_most_per_factor_of_time():
    series = pd.Series([5.0, 1.0, 1.1, 4.4, 4.5], index=[0.5, 1.0, 2.0, 4.0, 8.0])
    assert study.jump(series) == pytest.approx(8**0.5)
    assert np.isnan(study.jump(series.iloc[:2]))


def test_pooled_means_are_over_runs_with_intervals_over_seeds():
    rows = pd.DataFrame({"seed": [*range(10), 0], "value": [1.0] * 10 + [12.0]})
    assert seeds.pooled(rows, "value").value == 2.0
    assert seeds.pooled(rows, "value").n == 10
    assert np.isnan(seeds.pooled(rows[:0], "value").value)


def test_times_that_were_not_seen_are_cut_and_pairs_of_them_are_left_out():
    first, second = np.array([8.0, inf, inf]), np.array([4.0, 6.0, inf])
    found = seeds.ratio_of_times(first, second, horizon=10.0)
    assert (found.value, found.n) == (pytest.approx(1.8), 2)
    assert np.isnan(seeds.ratio_of_times(first[2:], second[2:], horizon=10.0).value)


def test_order_is_spearmans_correlation_of_means():
    values = pd.DataFrame(np.array([[3.0, 5.0], [1.0, 2.0], [1.5, 2.0]]), index=[10, 20, 40])
    assert judge_losses.order(values).value == pytest.approx(-0.5)
    assert np.isnan(judge_losses.order(values[:2]).value)


def test_exponents_are_slopes_of_each_seed():
    widths = [10, 20, 40]
    values = pd.DataFrame({i: [w**-a for w in widths] for i, a in enumerate((1.0, 2.0))}, widths)
    assert sizes.exponent(values).value == pytest.approx(-1.5)


def test_the_spectral_norm_follows_from_what_is_recorded():
    delta = np.random.default_rng(0).standard_normal((6, 9)) + 0.3
    found = moments(delta)
    rms, rank = np.hypot(found["mean"], found["std"]), stable_rank(spectrum(delta))
    norm = sizes.spectral_norm(*(pd.Series([x]) for x in (rms, delta.size, rank)))
    assert norm[0] == pytest.approx(np.linalg.norm(delta, 2))


def test_widths_are_compared_where_all_runs_reach_the_loss(laptop):
    runs = study.sized(laptop, "fashion_mnist")
    high, low = (study.at_loss(laptop, runs, level) for level in (0.5, 0.1))
    assert set(high.width) == {30, 60, 120, 250} and len(high) == 4 * 10 * 3
    assert set(low.width) < set(high.width)
    train = study.followed(laptop, runs, "train_loss")
    for row in high[high.layer == 2].itertuples():
        [own] = [r for r in study.of_width(runs, row.width) if r.seed == row.seed]
        curve = train[key(own)].dropna()
        assert curve[row.epoch] <= 0.5 < curve[curve.index < row.epoch].min()


def test_twins_share_their_weights_and_their_batches(laptop):
    grid = laptop.grid
    for run in grid["unclipped"]:
        [twin] = [
            r for r in study.of_width(grid["clipped"], study.width_of(run)) if r.seed == run.seed
        ]
        assert replace(twin, loss=run.loss, observer=run.observer) == run


def test_slices_of_the_plane_hold_its_links(laptop):
    table, a, b = study.plane(laptop)
    assert table.sum() == 120 * 120
    found = study.slices(table, a, b)
    assert found.groupby("slice").links.sum()["lowest"] == table[1].sum()
    assert found.start.min() < -0.9 * a and found.start.max() > 0.9 * a
    assert (found["from"].min(), found["to"].max()) == (-b, b)


def test_barriers_are_of_each_pair():
    t = np.linspace(0, 1, 3)
    lines = pd.concat(
        pd.DataFrame({"t": t, "loss": loss, "width": 8, "way": "end to end", "pair": i})
        for i, loss in enumerate(([1.0, 4.0, 1.0], [1.0, 2.0, 3.0]))
    )
    [row] = straight.barriers(lines).to_dict("records")
    assert (row["mean"], row["min"], row["max"]) == (1.5, 0.0, 3.0)


def test_straight_lines_begin_at_the_loss_of_a_guess():
    settings = study.PRESETS["smoke"]
    lines = study.straight_lines(settings, (10,), epochs=2)
    begin = lines[(lines.t == 0) & (lines.way == study.START_TO_END)].loss
    assert len(begin) == 3 and begin.between(0.8 * log(62), 1.3 * log(62)).all()


def test_the_still_figure_shows_every_link_once():
    seen = study.travel(8, rate=0.1, scale=1.0, epochs=(0, 1), seed=3)
    assert [len(w) for w in seen] == [64, 64]
    assert study.cloud(seen, 8, 1).count("<circle") == 64
    assert "no longer finite" in study.cloud([seen[0], seen[1] * np.nan], 8, 1)
