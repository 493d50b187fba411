"""Runs that train in stages: their keys, their groups, what is drawn, and what they cost."""

from __future__ import annotations

import importlib
from dataclasses import replace
from math import ceil

import pytest
import torch

from initlab import sweep
from initlab.data import Data
from initlab.init import LSUV, HeNormal
from initlab.models import MLP
from initlab.noise import LabelNoise
from initlab.reinit import Full, Head, LaterLayers, LayerWise, ShrinkPerturb, Stages
from initlab.spec import canonical, from_plain, key, to_plain
from initlab.store import Store
from initlab.sweep import Pretrained, Run, estimate, execute, grid, groups
from initlab.sweep.execute import _fresh
from initlab.sweep.groups import cost
from initlab.train import SGD, Budget, Curves
from initlab.train.memory_estimate import group_bytes, networks_at_once
from tests.sweep.test_sweep import LOOK, TRAIN

PLAIN = Run(
    MLP((12, 9), inputs=64),
    HeNormal(),
    data=Data("digits", train=200, test=60),
    optimizer=SGD(0.05, momentum=0.9),
    budget=Budget(epochs=4, batch_size=40),
)
SHRINK = replace(PLAIN, stages=Stages(ShrinkPerturb(), 2))


def values(run: Run) -> dict[tuple[int, str], float]:
    [(_, _, _, rows)] = execute([run])
    return {(step, name): value for _, _, step, name, value in rows}


def test_stages_survive_json_and_their_absence_changes_no_key():
    for stages in (Stages(LaterLayers(0, norms=True), 3, buffers="fresh"), SHRINK.stages):
        run = replace(PLAIN, stages=stages)
        assert from_plain(to_plain(run)) == run
    assert "stages" not in canonical(PLAIN)
    assert key(TRAIN) == key(replace(TRAIN, stages=None)) != key(SHRINK)


def test_what_may_differ_within_a_group_and_what_may_not():
    methods = [ShrinkPerturb(), ShrinkPerturb(0.2), Full(), Head(), LaterLayers(0)]
    methods.append(LayerWise(normalize=False))
    together = grid(PLAIN, stages=[Stages(m, 2) for m in methods], seed=[0, 1])
    together += grid(SHRINK, noise=[LabelNoise(0.2)], optimizer=[SGD(0.1)])
    assert len(groups(together)) == 1
    apart = [
        None,
        Stages(LayerWise(), 2),
        Stages(Full(), 3),
        *(Stages(Full(), 2, teacher=t) for t in ("alone", "with labels")),
        Stages(Full(), 2, optimizer="kept"),
        Stages(Full(), 2, schedule="whole"),
        Stages(Full(), 2, total="each"),
    ]
    assert len(groups([*together, *grid(PLAIN, stages=apart)])) == 1 + len(apart)


def test_a_mixed_group_gives_what_its_runs_give_alone(tmp_path):
    looked = replace(PLAIN, curves=Curves(("test_accuracy",), 9.0))
    runs = grid(looked, stages=[Stages(m, 2) for m in (ShrinkPerturb(), Full())], seed=[0, 1])
    runs += grid(looked, stages=[SHRINK.stages], order=[5], noise=[LabelNoise(0.4)])
    frame = sweep.run(runs, store=Store(tmp_path), recorded=False)
    assert frame["stages.method"].unique().tolist() == ["Shrink & Perturb", "Full"]
    for run in runs:
        alone = values(run)
        found = frame[frame.key == key(run)]
        assert len(found) == len(alone)
        for row in found.itertuples():
            assert row.value == pytest.approx(alone[row.step, row.statistic], rel=1e-3, abs=0.02)
        assert {step for step, name in alone if name == "stage_test_accuracy"} == {10, 20}
        assert alone[20, "stage_test_accuracy"] == alone[-1, "test_accuracy"]
    assert execute(runs)[0][3] == execute(runs)[0][3], "bit for bit again"


def test_methods_share_their_draws_and_stages_and_seeds_have_their_own():
    module = PLAIN.model.build("meta")
    drawn = [_fresh(r, module, 1, "cpu")["head.weight"] for r in (SHRINK, replace(SHRINK, seed=1))]
    full = replace(SHRINK, stages=Stages(Full(), 4))
    assert torch.equal(_fresh(full, module, 1, "cpu")["head.weight"], drawn[0])
    assert not torch.equal(_fresh(full, module, 2, "cpu")["head.weight"], drawn[0])
    assert not torch.equal(*drawn)
    noise = replace(SHRINK, stages=Stages(ShrinkPerturb(0.6, 0.0, 0.01), 2))
    z = _fresh(noise, module, 1, "cpu")["layer1.weight"]
    assert z.std().item() == pytest.approx(1, abs=0.1)


def test_a_scheme_that_looks_at_data_does_so_at_every_stage():
    run = replace(PLAIN, init=LSUV(), stages=Stages(Full(), 2))
    fresh = _fresh(run, run.model.build("meta"), 1, "cpu")
    assert set(fresh) == {n for n, _ in run.model.build("meta").named_parameters()}
    assert values(run)[-1, "test_accuracy"] > 0.1


def test_a_full_budget_schedule_costs_count_times(monkeypatch):
    """With a clock that only training moves: a thousandth of a second for each sample."""
    module, clock = importlib.import_module("initlab.sweep.estimate"), [0.0]

    def training(model, params, data, **_):
        clock[0] += len(next(iter(params.values()))) * len(data.train.x) / 1000

    monkeypatch.setattr(module, "fit", training)
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])
    steps = ceil(200 / 40) * 4
    for stages, times in (
        (None, 1),
        (Stages(ShrinkPerturb(), 4), 1),
        (Stages(LayerWise(), 4), 1),
        (Stages(Full(), 3, total="each"), 3),
        (Stages(Full(), 3, teacher="alone", total="each"), 3),
    ):
        runs = grid(replace(PLAIN, stages=stages), seed=range(4))
        assert estimate(runs).seconds == pytest.approx(4 * times * steps * 40 / 1000)
        teacher = 1 + 2 / 9 if stages is not None and stages.teacher else 1
        assert cost(runs) == pytest.approx(times * teacher * cost(grid(PLAIN, seed=range(4))))


def test_a_teacher_is_timed_and_has_its_place_in_memory():
    taught = replace(PLAIN, stages=Stages(Full(), 3, teacher="alone"))
    model, optimizer = PLAIN.model, PLAIN.optimizer
    alone, both = (group_bytes(model, 40, optimizer, 5, teacher=t) for t in (False, True))
    assert both - alone == 5 * 4 * sum(p.numel() for p in model.build("meta").parameters())
    plain, table = (estimate(grid(r, seed=range(5))).table for r in (PLAIN, taught))
    assert table.bytes.item() - plain.bytes.item() == both - alone
    assert networks_at_once(model, 40, optimizer, memory=alone, teacher=True) < networks_at_once(
        model, 40, optimizer, memory=alone
    )
    for stages in (taught.stages, Stages(LayerWise(), 2)):
        assert estimate([replace(PLAIN, stages=stages)]).seconds > 0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: replace(PLAIN, stages=Stages(Full(), 5)), "5 stages need a budget of as many"),
        (
            lambda: replace(PLAIN, stages=Stages(LaterLayers(2), 2)),
            "from_block must be from 0 to 1, a block of Sequential after its stem, not 2",
        ),
        (
            lambda: replace(SHRINK, budget=Budget(epochs=4, target_test_accuracy=0.5)),
            "a run in stages trains for all of its budget",
        ),
        (lambda: replace(LOOK, stages=SHRINK.stages), "stages is for runs that train"),
        (lambda: replace(PLAIN, stages=ShrinkPerturb()), "stages must be Stages(…) or None"),
        (
            lambda: Pretrained(replace(PLAIN, stages=Stages(LayerWise(), 2))),
            "give its method normalize=False",
        ),
    ],
)
def test_stages_that_make_no_sense(make, says):
    with pytest.raises(ValueError) as error:
        make()
    assert says in str(error.value)
