"""A run that starts where another ended: its body is trained, its head is new."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from initlab import sweep
from initlab.data import Data, load
from initlab.init import HeNormal, initialize
from initlab.measure.signal import Lengths
from initlab.models import MLP
from initlab.spec import canonical, from_plain, seed_of, to_plain
from initlab.store import Store
from initlab.sweep import Pretrained, Run, execute, groups
from initlab.sweep.execute import _start
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
            lambda: Pretrained(Run(MLP((4,), inputs=4), HeNormal(), measure=Lengths())),
            "a run that trains; this one does not",
        ),
        (
            lambda: dataclasses.replace(TUNED, budget=None, data=None, measure=Lengths()),
            "start is for runs that train",
        ),
    ],
)
def test_starts_that_make_no_sense(make, says):
    with pytest.raises(ValueError, match=says):
        make()
