"""Chapter 3: its grid is recorded, its estimates are what they say, its claims are judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from initlab import claims
from initlab.store import RECORDED, Store
from initlab.studies import contract
from initlab.studies import staying_near_the_start as study
from initlab.studies.contract import Results
from initlab.studies.staying_near_the_start import seeds, straight, weights
from initlab.studies.staying_near_the_start.fates import growth
from initlab.studies.staying_near_the_start.settings import BLOCK
from initlab.sweep import Run, key

LAPTOP = study.PRESETS["laptop"]
NOTEBOOK = Path(__file__).parents[2] / "notebooks" / f"03-{study.STUDY}.ipynb"


@pytest.fixture(scope="module")
def laptop() -> Results[study.Settings]:
    return contract.compute(study, LAPTOP)


@pytest.fixture(scope="module")
def estimates(laptop) -> dict[str, claims.Estimate]:
    return study.judge(laptop)


def test_every_run_is_recorded():
    wanted = {key(r) for some in study.grid(LAPTOP).values() for r in some}
    assert wanted <= Store(RECORDED).keys()


def test_replicates_share_nothing_but_twins_what_they_are_compared_by():
    """No seed of the first edition; the order of a seed; a seed for each cell of the grid."""
    grid = study.grid(LAPTOP)
    cells: dict[int, set[tuple]] = {}
    for name, runs in grid.items():
        if name == "twins":  # those of two other sweeps
            continue
        for run in runs:
            assert run.seed >= study.FRESH and run.order == run.seed
            twin = {"unclipped": "clipped", "marked_unclipped": "marked"}.get(name, name)
            kind = (study.data_of(run), study.width_of(run), run.init, run.optimizer)
            cells.setdefault(run.seed, set()).add((twin, *kind))
    assert sum(len(own) > 1 for own in cells.values()) == 1  # the two letters that are drawn
    assert max(LAPTOP.runs, LAPTOP.few_runs) <= BLOCK


def test_twins_share_their_weights_and_their_batches():
    grid = study.grid(LAPTOP)
    for free, clipped in (("unclipped", "clipped"), ("marked_unclipped", "marked")):
        by_seed = {r.seed: r for r in grid[clipped]}
        for run in grid[free]:
            assert replace(by_seed[run.seed], loss=run.loss) == run


def test_all_widths_train_as_long_and_are_looked_at_alike():
    grid = study.grid(LAPTOP)
    runs = [*grid["clipped"], *grid["unclipped"]]
    assert {r.budget.epochs for r in runs if r.budget} == {LAPTOP.epochs}
    marked = [*grid["marked"], *grid["marked_unclipped"]]
    assert {r.budget for r in marked} == {runs[0].budget}
    assert len({r.observer for r in marked}) == 1


def test_every_criterion_has_an_estimate_and_every_claim_its_runs(laptop, estimates):
    registry = claims.study(study.STUDY)
    assert set(estimates) == set(registry.criteria())
    assert set(study.BEHIND) == {c.id for c in registry.claims}
    assert {name for names in study.BEHIND.values() for name in names} <= set(laptop.grid)


def test_every_claim_is_judged_and_its_figure_is_in_the_chapter(laptop, estimates):
    registry = claims.study(study.STUDY)
    costs = {name: laptop.cost(*sweeps) for name, sweeps in study.BEHIND.items()}
    judged = claims.judged(registry, estimates, preset="laptop", costs=costs)
    unsettled = {c.claim.id for c in judged if c.verdict != claims.REPRODUCED}
    assert unsettled == {c.id for c in registry.claims if c.settles}
    text = NOTEBOOK.read_text("utf8")
    for claim in registry.claims:
        assert f'name=\\"{claim.figure}\\"' in text, claim.id


def test_every_criterion_can_decide():
    registry = claims.study(study.STUDY)
    families = [k.family for k in registry.criteria().values()]
    for k in registry.criteria().values():
        found = claims.chances(k, families.count(k.family) if k.family else 1)
        assert found.met_if_true >= 0.8 and found.met_if_wrong <= 0.05, k.id
        assert not k.underpowered


def test_smoke_settings_are_judged(monkeypatch, tmp_path):
    monkeypatch.setenv("INITLAB_STORE", str(tmp_path))
    smoke = replace(study.PRESETS["smoke"], recorded=False)
    results = contract.compute(study, smoke)
    card = contract.scorecard(study, results)
    assert {c.verdict for c in card.claims} == {claims.UNTESTED}
    found = study.judge(results)
    assert found["J1a.area"].n == smoke.few_runs
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


@pytest.mark.parametrize(
    ("right", "last", "at"),
    [
        (lambda e: 0.9, 10, None),
        (lambda e: 0.9 if e < 4 else 0.5, 10, 4.0),
        (lambda e: 0.5 if e in (2.0, 3.0) or e > 6 else 0.9, 10, 6.5),  # what heals is no fall
        (lambda e: 0.9 if e < 9.5 else 0.5, 10, None),  # too late to be for good
        (lambda e: 0.1, 10, None),  # it never learnt
        (lambda e: 0.9 if e < 8 else 0.82, 10, None),  # not far enough
        (lambda e: 0.9, 5, 5.0),  # it ended before its time
    ],
    ids=["stable", "diverged", "heals", "late", "never", "little", "infinite"],
)
def test_divergence_is_told_by_training_accuracy(right, last, at):
    settings = replace(study.PRESETS["smoke"], epochs=10)
    grid = study.grid(settings)
    run = grid["clipped"][0]
    frame = followed(
        run,
        np.arange(0, last + 0.5, 0.5),
        train_accuracy=right,
        test_accuracy=lambda e: 0.5,
        train_loss=lambda e: inf if e == 7 else 2.0 / (1 + e),
        test_loss=lambda e: 1 + (e - 2) ** 2,
    )
    told = study.fate(Results(settings, grid, frame), [run]).iloc[0]
    assert (told.diverged, told.t_test, told.min_test) == (at is not None, 2.0, 1.0)
    assert np.isnan(told.divergence) if at is None else told.divergence == at
    assert told.min_train == pytest.approx(2.0 / (1 + last))


def test_growth_is_a_slope_on_either_side_of_a_crossing():
    settings = replace(study.PRESETS["smoke"], epochs=10)
    grid = study.grid(settings)
    run = grid["clipped"][0]
    epochs = np.arange(1, 9.5, 0.5)
    rows = followed(run, epochs, delta_std=lambda e: e**0.5 if e < 4 else 2 * (e / 4) ** 3)
    results = Results(settings, grid, rows.assign(layer=2))
    told = pd.DataFrame({"key": [key(run)], "divergence": [4.0]})
    before, after = (growth(results, told, [run], side) for side in (-1, 1))
    assert (before[0], after[0]) == (pytest.approx(0.5, abs=0.3), pytest.approx(3.0, abs=0.6))


def test_curves_are_aligned_at_the_divergence(laptop):
    runs = study.of_width(laptop.grid["clipped"], LAPTOP.unstable)
    told = study.fate(laptop, runs)
    found = study.aligned(laptop, runs, "delta_std", 2)
    assert set(found) == set(told[told.diverged].key)
    assert found.loc[:0.8].iloc[-1].between(0.9, 1.1).all()


def test_exponents_are_slopes_of_independent_networks():
    rows = [(w, 100 * w + i, w**-a) for w in (10, 20, 40) for i, a in enumerate((1.0, 2.0))]
    told = pd.DataFrame(rows, columns=["width", "seed", "value"])
    found = seeds.exponent(told, "value")
    assert (found.value, found.n) == (pytest.approx(-1.5), 2)
    assert np.isnan(seeds.exponent(told[told.width == 10], "value").value)


def test_one_factor_on_all_weights_gives_one_slope():
    start = np.linspace(-1, 1, 21)
    field = pd.DataFrame({"key": "k", "start": start, "mean": 0.2 * start})
    field = field.assign(mode=1.2 * start, p50=1.2 * start)
    assert np.allclose(weights.slopes(field), 1.2)
    bent = field.assign(p50=start + 0.3 * start * np.abs(start))
    [row] = weights.slopes(bent).to_dict("records")
    assert row["inner"] < row["median"] < row["outer"]


def test_widths_are_compared_where_all_runs_reach_the_loss(laptop):
    for name in (LAPTOP.dataset, *LAPTOP.other_datasets):
        told = study.sized(laptop, name)
        assert set(told.width) == set(LAPTOP.sized)
        assert (told.groupby("width").size() == LAPTOP.few_runs).all()
        runs = study.of_data(laptop.grid["sizes"], name)
        train = study.followed(laptop, runs, "train_loss")
        assert (train.ffill().iloc[-1] <= LAPTOP.level).all()


def test_slices_of_the_plane_hold_its_links(laptop):
    table, a, b = study.plane(laptop)
    assert table.sum() == LAPTOP.stable**2
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


def test_straight_lines_begin_at_the_loss_of_a_guess_and_layers_are_put_back():
    settings = study.PRESETS["smoke"]
    lines = study.straight_lines(settings, (10,), epochs=2)
    begin = lines[(lines.t == 0) & (lines.way == study.START_TO_END)]
    assert len(begin) == 3 and begin.loss.between(0.8 * np.log(62), 1.3 * np.log(62)).all()
    back = study.put_back(settings, (10,), epochs=2)
    assert list(back.layer) == ["none", "layer1", "layer2", "head"]
    end = lines[(lines.t == 1) & (lines.way == study.START_TO_END)]
    assert back.accuracy[0] == pytest.approx(end.accuracy.mean(), abs=1e-3)


def test_the_still_figure_shows_every_link_once():
    seen = study.travel(8, rate=0.1, scale=1.0, epochs=(0, 1), seed=3)
    assert [len(w) for w in seen] == [64, 64]
    assert study.cloud(seen, 8, 1).count("<circle") == 64
    assert "no longer finite" in study.cloud([seen[0], seen[1] * np.nan], 8, 1)
