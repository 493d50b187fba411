"""A run that starts where another ended: its body is trained, its head is new."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from initlab import sweep
from initlab.data import Data, load
from initlab.init import HeNormal, initialize
from initlab.measure.signal import SecondMoments
from initlab.models import MLP, ResNet18
from initlab.reinit import Full, Head, LayerWise, ShrinkPerturb
from initlab.spec import canonical, from_plain, seed_of, to_plain
from initlab.store import Store
from initlab.sweep import Pretrained, Run, execute, groups
from initlab.sweep.execute import _ending, _fit, _start
from initlab.train import SGD, Budget, fit

FIRST, SECOND = (
    Data("digits", classes=c, train=300, test=80) for c in ((0, 1, 2, 3, 4), (5, 6, 7))
)
SOURCE = Run(
    MLP((16, 12), inputs=64, outputs=5),
    HeNormal(),
    data=FIRST,
    optimizer=SGD(lr=0.1),
    budget=Budget(epochs=3, batch_size=64),
)
TUNED = Run(
    MLP((16, 12), inputs=64, outputs=3),
    HeNormal(),
    data=SECOND,
    seed=7,
    optimizer=SGD(lr=0.1),
    budget=Budget(epochs=1, batch_size=64),
    start=Pretrained(SOURCE),
)


def test_the_body_is_the_source_s_end_and_the_head_is_new():
    module = TUNED.model.build("meta")
    began = _start(TUNED, module, "cpu")
    source = initialize(
        SOURCE.model.build("meta"),
        HeNormal(),
        torch.Generator().manual_seed(seed_of(0, "weights", 0)),
    )
    [end] = fit(
        SOURCE.model,
        {n: p.unsqueeze(0) for n, p in source.items()},
        load(FIRST),
        optimizer=SOURCE.optimizer,
        budget=SOURCE.budget,
        order=torch.Generator().manual_seed(seed_of(0, "order")),
    )
    fresh = _start(dataclasses.replace(TUNED, start=None), module, "cpu")
    for name in began:
        expected = fresh[name] if name.startswith("head.") else end.params[name]
        torch.testing.assert_close(began[name], expected)
    assert not torch.equal(began["layer1.weight"], fresh["layer1.weight"])


def test_starts_of_all_kinds_train_as_one_group_and_come_out_as_alone(tmp_path):
    other = dataclasses.replace(SOURCE, seed=3)
    runs = [
        dataclasses.replace(TUNED, start=start)
        for start in (None, Pretrained(SOURCE), Pretrained(other))
    ]
    assert len(groups(runs)) == 1
    together = execute(runs)
    for run, (_, text, _, rows) in zip(runs, together, strict=True):
        [(_, _, _, alone)] = execute([run])
        torch.testing.assert_close(
            torch.tensor([r[-1] for r in rows]), torch.tensor([r[-1] for r in alone])
        )
        assert sweep.from_json(text) == run
    frame = sweep.run(runs, store=Store(tmp_path), recorded=False)
    assert frame["start.run.seed"].dropna().unique().tolist() == [0, 3]
    accuracy = [dict((r[3], r[4]) for r in rows)["test_accuracy"] for _, _, _, rows in together]
    assert accuracy[1] != accuracy[0]


CONV = ResNet18(2, input_shape=(1, 8, 8))
CONV_SOURCE = Run(
    CONV,
    HeNormal(),
    data=Data("digits", train=96, test=50),
    budget=Budget(epochs=1, batch_size=32),
)
METHODS = {
    "warm": (ShrinkPerturb(1.0, 0.0), None),
    "warm, buffers too": (ShrinkPerturb(1.0, 0.0), "kept"),
    "mixed": (ShrinkPerturb(0.4, 0.1), None),
    "anew": (Full(), None),
    "head": (Head(), None),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_changes_all_of_the_source_s_end(name):
    method, choice = METHODS[name]
    start = Pretrained(CONV_SOURCE, method, choice)
    run = dataclasses.replace(CONV_SOURCE, seed=5, start=start)
    module = CONV.build("meta")
    [end] = _fit([CONV_SOURCE], "cpu")
    fresh = _start(dataclasses.replace(run, start=None), module, "cpu")
    began = _start(run, module, "cpu")
    shares = {"head": (1.0, 0.0), "anew": (0.0, 1.0), "mixed": (0.4, 0.1)}.get(name, (1.0, 0.0))
    for key_, value in fresh.items():
        keep, mix = (0.0, 1.0) if name == "head" and key_.startswith("head.") else shares
        torch.testing.assert_close(began[key_], keep * end.params[key_] + mix * value)
    running = {n for n in end.params if n.endswith(("running_mean", "running_var"))}
    assert running and (running <= set(began)) == (name in ("warm, buffers too", "head"))
    for n in running & set(began):
        assert torch.equal(began[n], end.params[n])
    assert all(torch.equal(end.params[n], v) for n, v in _ending(CONV_SOURCE, "cpu").items())


def test_noise_in_place_of_mixing():
    run = dataclasses.replace(
        TUNED,
        model=SOURCE.model,
        data=FIRST,
        start=Pretrained(SOURCE, ShrinkPerturb(0.6, 0.0, noise=0.01)),
    )
    began, end = _start(run, run.model.build("meta"), "cpu"), _ending(SOURCE, "cpu")
    noise = (began["layer1.weight"] - 0.6 * end["layer1.weight"]).flatten()
    assert noise.std().item() == pytest.approx(0.01, rel=0.1)
    assert noise.mean().abs() < 0.001


def test_kept_and_fresh_statistics_train_together_as_alone():
    runs = [
        dataclasses.replace(CONV_SOURCE, seed=2, start=start)
        for start in (
            None,
            Pretrained(CONV_SOURCE, ShrinkPerturb(1.0, 0.0), "kept"),
            Pretrained(CONV_SOURCE, ShrinkPerturb()),
        )
    ]
    [group] = groups(runs)
    for run, (_, _, _, rows) in zip(group, execute(group), strict=True):
        [(_, _, _, alone)] = execute([run])
        assert rows == alone


def test_a_full_new_draw_is_the_run_without_a_start():
    alone = dataclasses.replace(TUNED, model=SOURCE.model, data=FIRST, start=None)
    anew = dataclasses.replace(alone, start=Pretrained(SOURCE, Full()))
    [(_, _, _, a)], [(_, _, _, b)] = execute([alone]), execute([anew])
    assert a == b


def test_a_start_survives_json_and_its_absence_changes_no_key():
    assert from_plain(to_plain(TUNED)) == TUNED
    assert "start" not in canonical(SOURCE)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: dataclasses.replace(TUNED, model=MLP((8, 12), inputs=64, outputs=3)),
            "only the number of outputs may differ",
        ),
        (
            lambda: Pretrained(Run(MLP((4,), inputs=4), HeNormal(), measure=SecondMoments())),
            "a run that trains; this one does not",
        ),
        (
            lambda: dataclasses.replace(TUNED, budget=None, data=None, measure=SecondMoments()),
            "start is for runs that train",
        ),
        (lambda: dataclasses.replace(TUNED, start=Pretrained(SOURCE, Full())), "keeps the head"),
        (lambda: Pretrained(SOURCE, LayerWise()), "give it normalize=False"),
        (lambda: Pretrained(SOURCE, Full(), "old"), "'fresh', 'kept' or None, not 'old'"),
        (lambda: Pretrained(SOURCE, buffers="kept"), "buffers are for a start with a method"),
    ],
)
def test_starts_that_make_no_sense(make, says):
    with pytest.raises(ValueError, match=says):
        make()
