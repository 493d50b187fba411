"""Runs that start from a scheme: its examples, its rates, and its place in a group."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from initlab import sweep
from initlab.data import Data, load
from initlab.init import (
    LSUV,
    At,
    Compose,
    Fixup,
    GradInit,
    HeNormal,
    MuP,
    ResidualScaling,
    SkipInit,
    initialize,
)
from initlab.measure import SecondMoments
from initlab.models import MLP, ResidualMLP, ResNet9
from initlab.spec import from_plain, key, seed_of, to_plain
from initlab.store import Store
from initlab.sweep import Run, estimate, grid, groups, initial
from initlab.sweep.execute import FITTED_ON, _fit
from initlab.train import SGD, Adam, Budget, Muon, fit

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


@pytest.mark.parametrize("a", [0.5, 4.0])
def test_before_a_normalization_a_scale_is_a_rate(a):
    """a times the weights, at a² times the rate, train as these do at the rate itself, up to what
    keeps variances from zero.
    """
    base = Run(
        ResNet9(width=4, input_shape=(1, 8, 8)),
        Compose(HeNormal()),
        data=replace(DIGITS, scaling="standard"),
        optimizer=SGD(lr=0.005),
        budget=Budget(epochs=1, batch_size=50),
    )
    same, other = (
        replace(base, init=Compose(HeNormal(), (At("conv", factor=a, rate=rate),)))
        for rate in (a**2, 1.0)
    )
    begun = initial(base)
    ends = [_fit([run], "cpu", None)[0].params for run in (base, same, other)]
    convolutions = [name for name in begun if "conv" in name]
    assert len(convolutions) == 8
    for name in convolutions:
        moved = ends[0][name] - begun[name]
        near, far = ((end[name] / a - ends[0][name]).norm() / moved.norm() for end in ends[1:])
        assert near < 0.15 < 0.8 < far, name


def test_networks_at_initialization_and_the_estimate(tmp_path):
    model = MLP((30, 30), inputs=64, outputs=None, activation="linear")
    measure = SecondMoments(image=0, layers="all")
    run = Run(model, LSUV(), data=DIGITS, measure=measure, networks=20)
    frame = sweep.run([run], store=Store(tmp_path))
    lengths = sweep.select(frame, [run], "second_moment")
    # Unit variance of linear layers: the mean square of one image is of the order of one.
    assert 0.2 < lengths[lengths.layer > 0].value.mean() < 5
    assert estimate(grid(BASE, init=[LSUV(), MuP(4, "sgd")])).seconds > 0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: Run(MLP((5,), inputs=4), LSUV(), measure=SecondMoments()),
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
        (
            lambda: grid(BASE, init=[MuP()], optimizer=[Muon()]),
            "trains by Muon: μP has no rates for it",
        ),
    ],
)
def test_runs_that_cannot_be_are_refused(make, says):
    with pytest.raises(ValueError) as error:
        make()
    assert says in str(error.value)
