"""Chapter 5 compares networks that differ in the scale of their start and in nothing else."""

from __future__ import annotations

from dataclasses import fields
from functools import cache

import pytest
import torch

from initlab import sweep
from initlab.init import initialize
from initlab.measure.invariance import scale_invariant
from tests.chapters import NOTEBOOKS, grids

NOTEBOOK = NOTEBOOKS / "05-initialization-memory.ipynb"


def not_asked(*_, **__):
    raise AssertionError("the grids of this chapter are laid out before anything is computed")


@cache
def chapter(preset: str) -> dict:
    """What the cells of the grids leave behind."""
    return grids(NOTEBOOK, preset, not_asked)


every = pytest.mark.parametrize("preset", ["smoke", "laptop", "paper"])
real = pytest.mark.parametrize("preset", ["laptop", "paper"])


def groups(names: dict) -> dict:
    """All ways of training, each a list of runs for each scale."""
    tables = ("main", "which", "long", "faster", "turned", "swept", "augmented")
    return {(t, k): g for t in tables for k, g in names[t].items()} | {"plain": names["plain"]}


@every
def test_scales_of_a_pipeline_share_everything_but_the_scale(preset):
    for group in groups(chapter(preset)).values():
        assert len(group) >= 2
        for twins in zip(*group.values(), strict=True):
            for field in fields(twins[0]):
                if field.name not in ("init", "bias"):
                    assert len({repr(getattr(r, field.name)) for r in twins}) == 1


@real
def test_scales_span_two_decades_and_five_seeds(preset):
    for name, group in groups(chapter(preset)).items():
        assert all(len({r.seed for r in runs}) == len(runs) == 5 for runs in group.values())
        if name != "plain":
            assert max(group) / min(group) >= 100


def test_the_scale_multiplies_the_tensors_that_are_named():
    multiplied = {
        "all weights": lambda name: name.endswith("weight"),
        "convolutions": lambda name: name.endswith("weight") and not name.startswith("head"),
        "all, and the head's bias": lambda name: True,
    }
    names = chapter("smoke")
    low, high = min(names["p"].few_scales), max(names["p"].few_scales)
    for (tensors, _), group in names["which"].items():
        small, large = (sweep.initial(group[a][0]) for a in (low, high))
        normalized = {n for n, t in small.items() if t.dim() == 1 and not n.startswith("head")}
        for name in small.keys() - normalized:
            ratio = high / low if multiplied[tensors](name) else 1.0
            torch.testing.assert_close(large[name], ratio * small[name], rtol=1e-5, atol=0)
            if ratio != 1:
                assert large[name].any()


def test_a_rate_undoes_the_scale_or_comes_in_its_place():
    """Of the convolutions the rate over the squared length, which sets by how much they turn."""
    names = chapter("laptop")
    scaled, undone, alone = names["turned"].values()
    convolutions = [n for n in sweep.initial(scaled[1.0][0]) if n.endswith("conv.weight")]
    assert len(convolutions) == 8

    def effective(run):
        start, rates = sweep.initial(run), run.init.rates(run.model.build("meta"))
        assert set(rates) <= set(convolutions)
        return [rates.get(n, 1.0) / float(start[n].square().sum()) for n in convolutions]

    for a in names["p"].few_scales:
        one = effective(scaled[1.0][0])
        assert effective(undone[a][0]) == pytest.approx(one, rel=1e-5)
        expected = [value / a**2 for value in one]
        assert effective(scaled[a][0]) == pytest.approx(expected, rel=1e-5)
        assert effective(alone[a][0]) == pytest.approx(expected, rel=1e-5)
    starts = [sweep.initial(alone[a][0]) for a in names["p"].few_scales]
    assert all(torch.equal(s[n], starts[0][n]) for s in starts for n in starts[0])


def test_the_scaled_convolutions_do_not_change_the_function():
    names = chapter("smoke")
    net, draws = names["NET"], torch.Generator().manual_seed(0)
    module = net.build("cpu")
    params = initialize(module, names["he"], draws)
    x = torch.randn(16, *names["DATA"].shape, generator=draws)
    convolutions = [n for n, t in params.items() if t.dim() == 4]
    assert len(convolutions) == 8
    assert scale_invariant(module, params, x) == convolutions


def test_one_pair_has_the_same_tau_and_five_times_the_epochs():
    names = chapter("laptop")
    matched = next(iter(names["swept"].values()))
    run, long = (next(iter(g.values()))[0] for g in (matched, names["long"]["SGD, low rate"]))
    assert long.budget.epochs >= 5 * run.budget.epochs
    squared = [r.optimizer.lr**2 * r.budget.epochs / r.budget.batch_size for r in (run, long)]
    assert squared[0] == pytest.approx(squared[1], rel=1e-9)
    assert run.optimizer.weight_decay == long.optimizer.weight_decay == 0


@every
def test_only_held_back_samples_choose_the_moment(preset):
    for group in groups(chapter(preset)).values():
        for run in (r for runs in group.values() for r in runs):
            assert run.data.held == chapter(preset)["p"].held > 0 and not run.data.validation
            assert {"train_accuracy", "validation_accuracy", "test_accuracy"} <= set(
                run.curves.statistics
            )
