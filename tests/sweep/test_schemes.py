"""Runs that start from a scheme: its examples, its rates, and its place in a group."""

from __future__ import annotations

import pytest
import torch

from initlab import sweep
from initlab.data import Data, load
from initlab.init import (
    LSUV,
    Fixup,
    GradInit,
    HeNormal,
    MuP,
    ResidualScaling,
    SkipInit,
    initialize,
)
from initlab.measure import Lengths
from initlab.models import MLP, ResidualMLP
from initlab.spec import from_plain, key, seed_of, to_plain
from initlab.store import Store
from initlab.sweep import Run, estimate, grid, groups
from initlab.sweep.execute import FITTED_ON
from initlab.train import SGD, Adam, Budget, fit

DIGITS = Data("digits", train=400, test=100)
MODEL = ResidualMLP(2, 8, matrices=2, inputs=64, outputs=10, multiplier=True)
BASE = Run(MODEL, HeNormal(), data=DIGITS, budget=Budget(epochs=2, batch_size=50))
SCHEMES = [
    HeNormal(),
    Fixup(),
    SkipInit(),
    ResidualScaling(),
    LSUV(),
    GradInit(steps=3),
    MuP(4, "sgd"),
]


def results(frame, run) -> dict[str, float]:
    own = sweep.select(frame, [run])
    return dict(zip(own.statistic, own.value, strict=True))


def test_schemes_train_together_as_they_train_alone(tmp_path):
    runs = grid(BASE, init=SCHEMES)
    assert len(groups(runs)) == 1
    frame = sweep.run(runs, store=Store(tmp_path / "together"))
    assert frame.drop_duplicates("key").init.tolist() == [s.label for s in SCHEMES]
    for i in (1, 4, 6):
        alone = sweep.run([runs[i]], store=Store(tmp_path / f"alone{i}"))
        one, other = results(frame, runs[i]), results(alone, runs[i])
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
        assert one["test_accuracy"] == other["test_accuracy"]
    assert all(from_plain(to_plain(r)) == r for r in runs)
    assert len({key(r) for r in runs}) == len(runs)


def test_rates_and_examples_are_those_that_a_user_would_give(tmp_path):
    data = load(DIGITS)
    for run in (
        grid(BASE, init=[MuP(4, "sgd")])[0],
        grid(BASE, init=[LSUV()], order=[3])[0],
    ):
        module = MODEL.build("meta")
        g = torch.Generator().manual_seed(seed_of(run.order, "fitted"))
        chosen = torch.randperm(400, generator=g)[:FITTED_ON]
        params = initialize(
            module,
            run.init,
            torch.Generator().manual_seed(seed_of(run.seed, "weights", 0)),
            batch=(data.train.x[chosen].flatten(1), data.train.y[chosen]),
        )
        [ended] = fit(
            MODEL,
            {n: p.unsqueeze(0) for n, p in params.items()},
            data,
            optimizer=run.optimizer,
            budget=run.budget,
            order=torch.Generator().manual_seed(seed_of(run.order, "order")),
            rates=run.init.rates(module),
        )
        found = results(sweep.run([run], store=Store(tmp_path)), run)
        assert found["train_loss"] == pytest.approx(ended.train_loss, rel=1e-5)
    plain = results(sweep.run([BASE], store=Store(tmp_path)), BASE)
    assert plain["train_loss"] != pytest.approx(ended.train_loss, rel=1e-3)


def test_networks_at_initialization_and_the_estimate(tmp_path):
    model = MLP((30, 30), inputs=64, outputs=None, activation="linear")
    measure = Lengths(image=0, layers="all")
    run = Run(model, LSUV(), data=DIGITS, measure=measure, networks=20)
    frame = sweep.run([run], store=Store(tmp_path))
    lengths = sweep.select(frame, [run], "length")
    # Unit variance of linear layers: the mean square of one image is of the order of one.
    assert 0.2 < lengths[lengths.layer > 0].value.mean() < 5
    assert estimate(grid(BASE, init=[LSUV(), MuP(4, "sgd")])).seconds > 0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: Run(MLP((5,), inputs=4), LSUV(), measure=Lengths()),
            "LSUV looks at data: its runs need some, data=Data(…)",
        ),
        (
            lambda: grid(BASE, init=[MuP()], optimizer=[SGD()]),
            "μP's rates are those of 'adam', but the run trains by SGD: give MuP(optimizer='sgd')",
        ),
        (
            lambda: grid(BASE, init=[MuP(optimizer="sgd")], optimizer=[Adam()]),
            "trains by Adam: give MuP(optimizer='adam')",
        ),
    ],
)
def test_runs_that_cannot_be_are_refused(make, says):
    with pytest.raises(ValueError) as error:
        make()
    assert says in str(error.value)
