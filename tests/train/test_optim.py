"""One contract for every optimizer: its reference, alone as in a group, a state that is a tree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from math import inf, nan, nextafter

import pytest
import torch
from torch import Tensor

from initlab.models import MLP, ResNet9
from initlab.spec import canonical, from_plain, to_plain
from initlab.train import LARS, SGD, Adam, AdamW, Muon, Optimizer, Step, family
from initlab.train.memory_estimate import state_bytes
from initlab.tree import leaves, take
from tests.train.references import CASES, SHAPES, TorchMuon

STEPS = 20
EVERY = pytest.mark.parametrize("name", CASES)


def subclasses(cls: type) -> Iterator[type]:
    for sub in cls.__subclasses__():
        yield from (sub, *subclasses(sub))


#: Every optimizer of the package.
OURS = [c for c in subclasses(Optimizer) if c.__module__.startswith("initlab.")]
CLASSES = sorted(OURS, key=lambda c: c.__name__)


def drawn(count: int, generator: torch.Generator, device: str) -> list[Tensor]:
    return [torch.randn(count, *s, generator=generator).to(device) for s in SHAPES.values()]


def rows(tensors: list[Tensor], chosen: list[int]) -> list[Tensor]:
    """Copies of some networks."""
    return [t[chosen].clone() for t in tensors]


def trained(optimizers, theta, grads, rates=None, factor=1.0) -> list[Tensor]:
    """What becomes of copies of `theta` in one step for each of `grads`."""
    theta, step = [t.clone() for t in theta], Step(optimizers, SHAPES, rates)
    state = step.begin(theta)
    for g in grads:
        step(state, theta, [t.clone() for t in g], factor)
    return theta


def close(ours: list[Tensor], theirs: list[Tensor], tolerance: float = 1e-6) -> None:
    for name, a, b in zip(SHAPES, ours, theirs, strict=True):
        torch.testing.assert_close(
            a, b, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.fixture
def start(generator, device):
    """Parameters of three networks, and their gradients in every step."""
    return drawn(3, generator, device), [drawn(3, generator, device) for _ in range(STEPS)]


def scaled(optimizer: Optimizer, factor: float) -> Optimizer:
    """The optimizer with all of its learning rates multiplied."""
    return replace(optimizer, **{n: factor * getattr(optimizer, n) for n in optimizer.rates})


def test_every_optimizer_is_held_to_the_contract():
    assert {type(o) for optimizers, _ in CASES.values() for o in optimizers} == set(CLASSES)


@EVERY
@pytest.mark.parametrize("same", [True, False], ids=["equal numbers", "own numbers"])
def test_steps_are_those_of_the_reference(name, same, start, monkeypatch):
    optimizers, reference = CASES[name]
    if reference is TorchMuon:
        if not hasattr(torch.optim, "Muon"):
            pytest.skip("this torch has no Muon")
        # It would round to bfloat16, which is all that it does not share with ours.
        monkeypatch.setattr(Tensor, "bfloat16", Tensor.clone)
    optimizers = optimizers[:1] * 3 if same else optimizers
    theta, grads = start
    params = [
        {n: t[r].clone().requires_grad_() for n, t in zip(SHAPES, theta, strict=True)}
        for r in range(3)
    ]
    for r, (optimizer, own) in enumerate(zip(optimizers, params, strict=True)):
        theirs = reference(optimizer, own)
        for g in grads:
            for p, here in zip(own.values(), g, strict=True):
                p.grad = here[r].clone()
            theirs.step()
    expected = [torch.stack([own[n].detach() for own in params]) for n in SHAPES]
    close(trained(optimizers, theta, grads), expected, 1e-5 if reference is TorchMuon else 1e-6)


@EVERY
def test_a_network_of_a_group_is_what_it_is_alone(name, start):
    optimizers, (theta, grads) = CASES[name][0], start
    together = trained(optimizers, theta, grads)
    for r, optimizer in enumerate(optimizers):
        alone = trained([optimizer], rows(theta, [r]), [rows(g, [r]) for g in grads])
        close(rows(together, [r]), alone, 1e-5 if isinstance(optimizer, Muon) else 1e-6)


@EVERY
@pytest.mark.parametrize("captured", [False, True], ids=["a number", "on the device"])
def test_the_schedule_is_on_learning_rates_alone(name, captured, start):
    optimizers, (theta, grads) = CASES[name][0], start
    on_device = torch.full((), 0.5, dtype=torch.float64, device=theta[0].device)
    factor = on_device if captured else 0.5
    found = trained(optimizers, theta, grads, factor=factor)
    close(found, trained([scaled(o, 0.5) for o in optimizers], theta, grads))
    before = [t.clone() for t in theta]
    assert not any(map(torch.equal, found, before)), "a parameter stayed where it was"


@EVERY
def test_rates_of_parameters_are_on_learning_rates_alone(name, start):
    """One for all networks or one for each; a rate of 0 stops a parameter."""
    optimizers, (theta, grads) = CASES[name][0], start
    own = [2.0, 0.5, 1.0]
    rates = [torch.tensor(own, device=theta[0].device), 0.0, *[0.5] * (len(SHAPES) - 2)]
    found = trained(optimizers, theta, grads, rates)
    multiplied = trained([scaled(o, k) for o, k in zip(optimizers, own, strict=True)], theta, grads)
    halved = trained([scaled(o, 0.5) for o in optimizers], theta, grads)
    close(found, [multiplied[0], theta[1], *halved[2:]])


@EVERY
def test_networks_that_leave_change_nothing_for_the_others(name, start):
    optimizers, (theta, grads) = CASES[name][0], start
    everyone, stay = trained(optimizers, theta, grads), [0, 2]
    rates = [torch.ones(3, device=theta[0].device)] * len(SHAPES)
    step = Step(optimizers, SHAPES, rates)
    state = step.begin(theta)
    for i, g in enumerate(grads):
        if i == STEPS // 2:
            state, theta = take(state, stay), rows(theta, stay)
        step(state, theta, rows(g, list(range(3)) if i < STEPS // 2 else stay), 1.0)
    assert all(len(t) == 2 for t in leaves(state) if t.dim())
    close(theta, rows(everyone, stay), 1e-5 if isinstance(optimizers[0], Muon) else 1e-6)


@EVERY
def test_a_step_that_is_reset_remembers_nothing(name, start):
    optimizers, (theta, grads) = CASES[name][0], start
    step = Step(optimizers, SHAPES)
    state = step.begin(theta)
    for g in grads[:5]:
        step(state, theta, [t.clone() for t in g], 1.0)
    step.reset(state)
    expected = trained(optimizers, theta, grads[5:])
    for g in grads[5:]:
        step(state, theta, [t.clone() for t in g], 1.0)
    assert all(map(torch.equal, theta, expected))


@EVERY
def test_how_a_kernel_lies_in_memory_does_not_matter(name, start):
    optimizers, (theta, grads) = CASES[name][0], start
    last = [
        [t.movedim(2, -1).contiguous().movedim(-1, 2) if t.dim() == 5 else t for t in ts]
        for ts in (theta, *grads)
    ]
    close(trained(optimizers, last[0], last[1:]), trained(optimizers, theta, grads))


@EVERY
def test_what_descends_steps_along_the_gradient(name, start):
    optimizers, (theta, grads) = CASES[name][0], start
    step = Step(optimizers, SHAPES)
    assert step.is_plain_sgd == (name == "sgd")
    assert not Step(optimizers, SHAPES, [1.0] * len(SHAPES)).is_plain_sgd
    if step.is_plain_sgd:
        times = step.neg_lr(step.begin(theta), 0.5, 3).to(theta[0].device)
        found = trained(optimizers, theta, grads[:1], factor=0.5)
        close(
            found,
            [
                t + times.view(-1, *[1] * (t.dim() - 1)) * g
                for t, g in zip(theta, grads[0], strict=True)
            ],
        )


@pytest.mark.parametrize(
    "model", [MLP((8, 6, 5), inputs=20), ResNet9(2, (1, 8, 8))], ids=["MLP", "C"]
)
@EVERY
def test_what_it_remembers_is_what_a_group_is_said_to_hold(name, model):
    optimizer = CASES[name][0][0]
    named = {n: p for n, p in model.build("meta").named_parameters()}
    theta = [torch.zeros(2, *p.shape) for p in named.values()]
    state = Step([optimizer] * 2, named).begin(theta)
    held = sum(t.nbytes for slots in state["slots"] for t in slots)
    assert held == 2 * state_bytes(model, optimizer)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_numbers_that_are_none_are_refused(cls):
    numbers = [f.name for f in fields(cls) if f.type == "float"]
    assert set(numbers) == {*cls.rates, *cls.bounds}, "every number has a bound"
    wrong = [(name, value) for name in cls.rates for value in (0.0, -1.0)]
    for name, (low, high) in cls.bounds.items():
        wrong += [(name, nextafter(low, -inf)), (name, high)]
    for name, value in [*wrong, *((name, nan) for name in numbers)]:
        with pytest.raises(ValueError, match=f"{cls.__name__}: {name} must be .*, not "):
            cls(**{name: value})


@EVERY
def test_it_is_the_same_from_json(name):
    for optimizer in CASES[name][0]:
        assert from_plain(json.loads(canonical(optimizer))) == optimizer
        assert to_plain(type(optimizer)()) == {"type": type(optimizer).__name__}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (SGD(), Adam()),
        (SGD(momentum=0.9), SGD(momentum=0.9, nesterov=True)),
        (Adam(), AdamW()),
        (SGD(), LARS()),
        (Muon(), Muon(ns_steps=6)),
        (Muon(), Muon(adam=("*.query",))),
    ],
)
def test_other_kinds_do_not_step_as_one(one, other):
    assert family(one) != family(other)
    with pytest.raises(ValueError, match="different kinds cannot step as one"):
        Step([one, other], ["w"])


def test_a_class_of_other_defaults_is_of_the_family():
    assert family(AdamW(0.1)) == family(Adam(decoupled=True))


def test_decoupled_decay_shrinks_beside_the_step(start):
    optimizer, (theta, grads) = SGD(0.1, weight_decay=0.5, decoupled=True), start
    found = trained([optimizer] * 3, theta, grads[:1], factor=0.5)  # a schedule is on the rate
    expected = [t * (1 - 0.05 * 0.5) - 0.05 * g for t, g in zip(theta, grads[0], strict=True)]
    close(found, expected)


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        (lambda: SGD(nesterov=True), ValueError, "SGD: nesterov needs momentum > 0, not 0"),
        (lambda: Muon(ns_steps=0), ValueError, "Muon: ns_steps must be ≥ 1, not 0"),
        (
            lambda: Muon(adjust_lr="sqrt"),
            ValueError,
            "Muon: unknown adjust_lr 'sqrt'; known: original, match_rms_adamw, spectral_unclamped",
        ),
        (
            lambda: Muon(adam=(1,)),
            ValueError,
            "adam must be a tuple of values that are each a text",
        ),
        (
            type("Bare", (SGD,), {}),
            TypeError,
            "Bare is no spec: decorate the class by initlab.spec",
        ),
        (Optimizer, TypeError, "Optimizer has no update: an optimizer is a subclass that defines"),
    ],
)
def test_what_is_no_optimizer_is_refused(wrong, error, says):
    with pytest.raises(error) as found:
        wrong()
    assert says in str(found.value)
