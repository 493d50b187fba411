"""Networks that nobody here wrote train through `run` as they do in a plain loop."""

from __future__ import annotations

import copy
from pathlib import Path

import pandas as pd
import pytest
import torch

from initlab import SGD, Budget, Curves, Network, Run, Store, grid, run, tree
from initlab.init import AsBuilt, HeNormal, Leaving
from initlab.spec import key, seed_of
from initlab.sweep.execute import _fit
from tests.own.networks import Case, cases
from tests.smoke import once

CASES = cases()
BATCH, EPOCHS = 24, 50  # 100 steps
#: A step of one of these takes a tenth of a second.
SLOW = ("resnet of torchvision", "vit of timm")


def base(case: Case, **more) -> Run:
    return Run(
        case.network, AsBuilt(), data=case.data, loss=case.loss, optimizer=SGD(case.rate, 0.9),
        **({"budget": Budget(epochs=EPOCHS, batch_size=BATCH)} | more),
    )  # fmt: skip


def batches(run: Run, epochs: int = EPOCHS):
    """The samples of each step, in the order that the run's `order` draws."""
    generator = torch.Generator().manual_seed(seed_of(run.order, "order"))
    for _ in range(epochs):
        yield from torch.randperm(run.data.train, generator=generator).split(BATCH)


def by_loop(case: Case, run: Run, nudge: int | None = None) -> torch.nn.Module:
    """An ordinary loop over the module that the factory gives.

    With `nudge`, a seed, from a start that differs in its last digits.
    """
    module = case.network.build(seed=seed_of(run.seed, "built"))
    trained = [p for p in module.parameters() if p.requires_grad]
    if nudge is not None:
        generator = torch.Generator().manual_seed(nudge)
        with torch.no_grad():
            for p in trained:
                p.mul_(1 + 1e-7 * torch.randn(p.shape, generator=generator))
    x, y = case.data.splits["train"]
    optimizer = torch.optim.SGD(trained, case.rate, 0.9)
    module.train()
    for chosen in batches(run):
        some = tree.apply(lambda t, chosen=chosen: t[chosen], x)
        out = module(**some) if isinstance(some, dict) else module(some)
        optimizer.zero_grad()
        case.plain(case.network.logits(out), y[chosen]).backward()
        optimizer.step()
    return module


def away(found: dict, expected: dict) -> float:
    """The largest relative distance of a tensor, of those that are numbers."""
    far = 0.0
    for name, value in expected.items():
        if name not in found or not value.is_floating_point():
            continue
        if value.isfinite().all():
            difference = (found[name] - value).norm() / (value.norm() + 1e-3)
            far = max(far, float(difference))
        else:  # a mask
            assert torch.equal(found[name], value), name
    return far


@pytest.mark.parametrize("name", [n for n in CASES if "dropout" not in n])
def test_a_group_equals_a_plain_loop(name):
    """To 1e-5 after 100 steps, or as two loops do whose starts differ in the last digit: where
    rounding carries a sample across a kink of a ReLU it grows.
    """
    case = CASES[name]
    runs = grid(base(case), seed=range(1 if name in SLOW else 3))
    for one, outcome in zip(runs, _fit(runs, "cpu"), strict=True):
        expected = by_loop(case, one).state_dict()
        found = away(outcome.params, expected)
        if found > 1e-5:
            assert "resnet" in name, found  # the others have no kinks
            control = [away(by_loop(case, one, seed).state_dict(), expected) for seed in range(3)]
            assert found <= 2 * max(control), (found, control)


@pytest.mark.parametrize("name", CASES)
def test_a_network_of_a_group_is_that_network_alone(name):
    case = CASES[name]
    runs = grid(base(case, budget=Budget(epochs=5, batch_size=BATCH)), seed=range(4))
    for one, outcome in zip(runs, _fit(runs, "cpu"), strict=True):
        [alone] = _fit([one], "cpu")
        assert away(outcome.params, alone.params) <= (1e-3 if "resnet" in name else 1e-5)


def test_dropout_is_a_loops_in_distribution():
    """The loss after training, over seeds: means apart by less than four standard errors."""
    case = CASES["regression with dropout"]
    runs = grid(base(case), seed=range(40))
    ours = torch.tensor([o.test_loss for o in _fit(runs, "cpu")])
    x, y = case.data.splits["test"]
    theirs = []
    for one in runs:
        torch.manual_seed(one.seed + 1000)
        module = by_loop(case, one).eval()
        with torch.no_grad():
            theirs.append(case.plain(module(x), y))
    theirs = torch.stack(theirs)
    error = (ours.var() / len(ours) + theirs.var() / len(theirs)).sqrt()
    assert (ours.mean() - theirs.mean()).abs() < 4 * error
    plain = Network(type(case.network.build()), rate=0.0)
    without = [
        o.train_loss
        for o in _fit([r for r in grid(base(case), model=[plain], seed=range(10))], "cpu")
    ]
    with_it = [o.train_loss for o in _fit(runs[:10], "cpu")]
    assert sum(without) < sum(with_it), "dropout was not on in training"


def test_dropout_draws_from_seeds_of_the_runs_and_leaves_the_global_generator_alone():
    runs = grid(base(CASES["regression with dropout"]), seed=range(2))
    before = torch.get_rng_state()
    first = _fit(runs, "cpu")
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(5)
    for one, other in zip(first, _fit(runs, "cpu"), strict=True):
        assert one.train_loss == other.train_loss


def twenty(name: str) -> list[Run]:
    """Twenty runs of a case: ten seeds under two starts."""
    budget, curves = Budget(epochs=2, batch_size=BATCH), Curves(("train_loss", "test_loss"))
    some = base(CASES[name], budget=budget, curves=curves)
    return grid(some, init=[AsBuilt(), Leaving(HeNormal())], seed=range(10))


def every() -> list[Run]:
    """Twenty runs of each case."""
    return [one for name in CASES for one in twenty(name)]


def _in_one_process(folder: Path) -> None:
    run(every(), store=Store(folder), recorded=False, workers=1)


def here(shared: Path) -> pd.DataFrame:
    """What all of them give in one process: computed once for all tests."""
    kept = once(shared / "twenty", _in_one_process)
    return run(every(), store=Store(kept), recorded=False, workers=1)


@pytest.fixture(scope="module")
def swept(shared, tmp_path_factory) -> list[pd.DataFrame]:
    """All cases as one sweep: on two processes, and in this one."""
    store = Store(tmp_path_factory.mktemp("store"))
    return [run(every(), store=store, recorded=False, workers=2), here(shared)]


@pytest.mark.parametrize("name", CASES)
def test_twenty_seeds_through_run_on_two_processes(name, swept):
    keys = {key(one) for one in twenty(name)}
    own = [f[f.key.isin(keys)].set_index(["key", "statistic", "step"]).value for f in swept]
    two, here = (values.sort_index() for values in own)
    pd.testing.assert_series_equal(two, here, rtol=1e-4, atol=1e-5)
    assert len(keys) == two.index.unique("key").size == 20
    statistics = set(two.index.unique("statistic"))
    classifies = CASES[name].loss.classifies
    assert {"train_loss", "test_accuracy" if classifies else "test_loss"} <= statistics
    assert ("test_accuracy" in statistics) == classifies


def test_frozen_parameters_and_buffers_stay_as_they_were():
    case = CASES["gpt with a tied head"]
    [one] = grid(base(case), seed=[4])
    [outcome] = _fit([one], "cpu")
    start = case.network.build(seed=seed_of(4, "built"))
    assert torch.equal(outcome.params["places.weight"], start.places.weight)
    assert torch.equal(outcome.params["mask"], start.mask)
    assert not torch.equal(outcome.params["tokens.weight"], start.tokens.weight)
    assert "head.weight" not in outcome.params  # it is the embedding


def test_batch_norm_is_in_the_right_mode():
    """Running statistics move in training, and evaluation uses them."""
    case = CASES["cnn with batch norm"]
    [one] = grid(base(case), seed=[0])
    [outcome] = _fit([one], "cpu")
    assert outcome.params["layers.1.running_mean"].abs().max() > 0
    module = copy.deepcopy(by_loop(case, one)).eval()
    x, y = case.data.splits["test"]
    with torch.no_grad():
        assert outcome.test_accuracy == pytest.approx(
            float((module(x).argmax(-1) == y).float().mean())
        )
