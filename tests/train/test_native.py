"""Compiled steps are those of autograd and torch.optim; without them all still works."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from initlab.data import Data, load
from initlab.init import HeNormal, initialize
from initlab.models import MLP
from initlab.train import SGD, Adam, Budget, CrossEntropy, fit, native
from initlab.train.ensemble import Batch, StackedEnsemble
from initlab.train.fused import FusedMLP

R, B, INPUTS = 4, 19, 23


@pytest.fixture(autouse=True)
def with_a_compiler():
    if not native.available():
        pytest.skip("no C compiler on this machine")


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    """Nothing has been compiled yet, and what is compiled now is kept in this folder."""
    monkeypatch.setattr(native.folders, "cache", lambda: tmp_path / "initlab")
    native._library.cache_clear()
    yield tmp_path / "initlab"
    native._library.cache_clear()


def batch_of(x: torch.Tensor, y: torch.Tensor) -> Batch:
    """Vectors and their targets, of all networks alike or with a first axis of networks."""
    return Batch(x, y, x.dim() == 3, y.dim() == (3 if y.is_floating_point() else 2))


def networks(model: MLP, scale: float = 1.0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    drawn = initialize(model.build("meta"), HeNormal(), generator, count=R)
    return {
        name: scale * (t + 0.1 * torch.randn(t.shape, generator=generator))
        for name, t in drawn.items()
    }


def batch(own: bool, own_labels: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(*([R] if own else []), B, INPUTS, generator=generator)
    y = torch.randint(10, (*([R] if own or own_labels else []), B), generator=generator)
    return x, y


def assert_near(found, expected, relative=2e-6):
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() <= relative * other.norm()


@pytest.mark.parametrize("order", ["shared", "shared, own labels", "own"])
@pytest.mark.parametrize("widths", [(3,), (16, 16), (7, 9, 5)], ids=str)
@pytest.mark.parametrize("activation", native.ACTIVATIONS)
def test_gradients_and_steps_are_those_of_autograd(activation, widths, order):
    model = MLP(widths, inputs=INPUTS, activation=activation)
    params, (x, y) = networks(model), batch(order == "own", order != "shared")
    by_graph, expected = StackedEnsemble(model, params).gradients(batch_of(x, y), CrossEntropy())
    ours = FusedMLP(model, params)
    assert ours.steps(CrossEntropy(), y)
    losses, grads = ours.gradients(batch_of(x, y), CrossEntropy())
    assert_near([losses], [by_graph])
    assert_near(grads, expected)
    times = -torch.tensor([0.1, 0.2, 0.0, 3.0])
    losses = ours.step(x, None, y, times)
    assert_near([losses], [by_graph])
    for name, t, g in zip(ours.names, ours.theta, expected, strict=True):
        assert_near([t], [params[name] + times.view(-1, *[1] * (t.dim() - 1)) * g])
        assert torch.equal(t[2], params[name][2]), "a network of rate zero has moved"


@pytest.mark.parametrize("own", [False, True], ids=["shared order", "own order"])
def test_chosen_samples_are_a_batch_of_them(own):
    model = MLP((8, 6), inputs=INPUTS)
    samples = torch.randn(50, INPUTS, generator=torch.Generator().manual_seed(3))
    _, y = batch(own)
    chosen = torch.randint(50, y.shape, generator=torch.Generator().manual_seed(4))
    one, other = FusedMLP(model, networks(model)), FusedMLP(model, networks(model))
    times = torch.full((R,), -0.1)
    a, b = one.step(samples, chosen, y, times), other.step(samples[chosen], None, y, times)
    assert torch.equal(a, b)
    assert all(torch.equal(s, t) for s, t in zip(one.theta, other.theta, strict=True))


def test_other_types_and_shapes_of_the_same_batch():
    model = MLP((8, 6), inputs=INPUTS)
    params, (x, y) = networks(model), batch(False)
    losses, grads = FusedMLP(model, params).gradients(batch_of(x, y), CrossEntropy())
    for inputs, classes in ((x.double(), y.int()), (x.mT.contiguous().mT, y.unsqueeze(0))):
        again, others = FusedMLP(model, params).gradients(batch_of(inputs, classes), CrossEntropy())
        assert torch.equal(losses, again)
        assert all(torch.equal(g, other) for g, other in zip(grads, others, strict=True))


@pytest.mark.parametrize("scale", [1e-3, 3.0, 30.0])
@pytest.mark.parametrize("activation", native.ACTIVATIONS)
def test_small_and_large_signals(activation, scale):
    """Where exponentials end and activations saturate: up to logits in the millions.

    There float32 itself is 3e-5 off: as near to what doubles give as PyTorch's own steps are.
    """
    model = MLP((12, 12), inputs=INPUTS, activation=activation)
    params, (x, y) = networks(model, scale), batch(False)
    by_graph, expected = StackedEnsemble(model, params).gradients(batch_of(x, y), CrossEntropy())
    losses, grads = FusedMLP(model, params).gradients(batch_of(x, y), CrossEntropy())
    assert_near([losses], [by_graph], 1e-5)
    doubles = {name: value.double() for name, value in params.items()}
    _, exact = StackedEnsemble(model, doubles).gradients(batch_of(x.double(), y), CrossEntropy())
    for one, other, true in zip(grads, expected, exact, strict=True):
        assert (one - true).norm() <= 1e-5 * true.norm() + 3 * (other - true).norm()


def test_what_is_not_a_number_stays_so():
    model = MLP((8, 6), inputs=INPUTS)
    params, (x, y) = networks(model), batch(False)
    params["layer1.weight"][1] = torch.nan
    params["head.weight"][2] = torch.inf
    losses, grads = FusedMLP(model, params).gradients(batch_of(x, y), CrossEntropy())
    assert torch.isfinite(losses).tolist() == [True, False, False, True]
    assert all(torch.isfinite(g[[0, 3]]).all() for g in grads)


def test_a_class_that_is_none_is_refused_and_nothing_has_moved():
    model = MLP((8, 6), inputs=INPUTS)
    params, (x, y) = networks(model), batch(False)
    y[5] = 10
    ours = FusedMLP(model, params)
    with pytest.raises(IndexError, match="classes must be from 0 to 9, not from 0 to 10"):
        ours.step(x, None, y, torch.full((R,), -0.1))
    assert all(torch.equal(t, params[name]) for name, t in ours.params().items())


HOW = {
    "rates": [SGD(0.002), SGD(0.005), SGD(0.02), SGD(0.01)],
    "momentum": SGD(0.002, momentum=0.9, nesterov=True),
    "decay": SGD(0.01, weight_decay=0.01),
    "adam": Adam(1e-3),
}


def trained(how, widths, activation, own, nudge=0.0):
    """Parameters after a hundred steps, from a start that is off by a share `nudge` of it."""
    model = MLP(widths, inputs=64, activation=activation)
    generator = torch.Generator().manual_seed(1)
    params = initialize(model.build("meta"), HeNormal(), generator, count=R)
    params = {
        name: t * (1 + nudge * torch.randn(t.shape, generator=generator))
        for name, t in params.items()
    }
    orders = [torch.Generator().manual_seed(r if own else 0) for r in range(R)]
    ended = fit(
        model,
        params,
        load(Data("digits", train=400, test=100)),
        optimizer=HOW[how],
        budget=Budget(epochs=10, batch_size=40),
        order=orders if own else [orders[0]] * R,
    )
    return [torch.cat([t.flatten() for t in o.params.values()]) for o in ended]


@settings(max_examples=15)
@given(
    how=st.sampled_from(sorted(HOW)),
    widths=st.lists(st.integers(1, 20), min_size=1, max_size=4).map(tuple),
    activation=st.sampled_from(["tanh", "sigmoid"]),  # smooth, and never far from tame
    own=st.booleans(),
)
def test_a_hundred_steps_end_where_those_of_pytorch_do(how, widths, activation, own):
    """To 1e-5, or as near as PyTorch's own do from a start whose last digit is another one."""
    with pytest.MonkeyPatch.context() as patch:
        here = trained(how, widths, activation, own)
        patch.setenv(native.SWITCH, "0")
        assert not native.available()
        there = trained(how, widths, activation, own)
        control = trained(how, widths, activation, own, nudge=1e-7)
    for one, other, near in zip(here, there, control, strict=True):
        assert (one - other).norm() <= 1e-5 * other.norm() + 10 * (near - other).norm()


def test_it_is_compiled_once_and_kept(empty_cache, monkeypatch):
    assert native.available()
    [kept] = empty_cache.iterdir()
    native._library.cache_clear()
    monkeypatch.setattr(native, "compiler", lambda: pytest.fail("compiled again"))
    assert native.available()
    assert list(empty_cache.iterdir()) == [kept]


def test_a_damaged_copy_is_replaced(empty_cache, monkeypatch, tmp_path):
    assert native.available()
    [kept] = empty_cache.iterdir()
    elsewhere = tmp_path / "another cache"
    damaged = elsewhere / "initlab" / kept.name
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(kept.read_bytes()[:1000])
    monkeypatch.setattr(native.folders, "cache", lambda: elsewhere / "initlab")
    native._library.cache_clear()
    assert native.available()
    assert damaged.read_bytes() == kept.read_bytes()


def test_a_cache_that_cannot_be_written_is_no_hindrance(empty_cache):
    empty_cache.write_text("a file where the folder should be")
    assert native.available()
    losses, _ = FusedMLP(model := MLP((5,), inputs=INPUTS), networks(model)).gradients(
        batch_of(*batch(False)), CrossEntropy()
    )
    assert torch.isfinite(losses).all()


@pytest.mark.parametrize("hindrance", ["no compiler", "one that fails", "one that is none"])
def test_without_a_compiler_pytorch_does_it(empty_cache, monkeypatch, tmp_path, hindrance):
    if hindrance == "no compiler":
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CC", raising=False)
    else:
        tool = tmp_path / "cc"
        tool.write_text("#!/bin/sh\nexit 1\n" if hindrance == "one that fails" else "no program")
        tool.chmod(0o755)
        monkeypatch.setenv("CC", str(tool))
    assert not native.available()
    model = MLP((8, 6), inputs=INPUTS)
    params, (x, y) = networks(model), batch(False)
    ours = FusedMLP(model, params)
    assert not ours.steps(CrossEntropy(), y)
    losses, grads = ours.gradients(batch_of(x, y), CrossEntropy())
    expected = F.cross_entropy(model.forward(params, x)[0], y)
    assert float(losses[0]) == pytest.approx(float(expected), rel=1e-5)
    assert all(torch.isfinite(g).all() for g in grads)
