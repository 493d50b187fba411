"""One contract for every optimizer: its reference, alone as in a group, a state that is a tree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from inspect import getsource
from math import inf, nan, nextafter
from pathlib import Path

import pytest
import torch
from torch import Tensor

import initlab
from initlab.init import HeNormal
from initlab.models import MLP, ResNet9
from initlab.spec import canonical, from_plain, spec, to_plain
from initlab.train import LARS, SGD, Adam, AdamW, Budget, Lion, Muon, Optimizer, Step, family
from initlab.train.memory import state_bytes
from initlab.train.optim.muon import orthogonalized
from initlab.tree import leaves, take

SHAPES = {
    "first.weight": (4, 3),
    "first.bias": (4,),
    "conv.weight": (2, 3, 3, 3),
    "gain": (),
    "tall.weight": (7, 4),
    "wide.weight": (3, 5),
    "head.weight": (2, 4),
}
#: What Muon is to take for hidden matrices.
HIDDEN = ("conv.weight", "tall.weight", "wide.weight")
STEPS = 20


def subclasses(cls: type) -> Iterator[type]:
    for sub in cls.__subclasses__():
        yield from (sub, *subclasses(sub))


CLASSES = {c for c in subclasses(Optimizer) if c.__module__.startswith("initlab.")}


class Plain:
    """A reference for each parameter alone, from `one(w, g, state)`, which gives the new w."""

    def __init__(self, params: dict[str, Tensor]) -> None:
        self.params, self.state = params, {name: {} for name in params}

    def step(self) -> None:
        for name, p in self.params.items():
            p.data.copy_(self.one(p.data, p.grad, self.state[name]))


class PlainLARS(Plain):
    """You et al. 2017: w ← w − v, v ← m v + γ η ‖w‖ / (‖g‖ + β‖w‖) (g + β w), tensor by tensor."""

    def __init__(self, o: LARS, params: dict[str, Tensor]) -> None:
        super().__init__(params)
        self.o = o

    def one(self, w, g, state):
        o, rate = self.o, self.o.lr
        if w.dim() > 1:
            rate = o.lr * o.trust * w.norm() / (g.norm() + o.weight_decay * w.norm())
            g = g + o.weight_decay * w
        state["v"] = o.momentum * state.get("v", 0) + rate * g
        return w - state["v"]


class PlainLion(Plain):
    """Chen et al. 2023, algorithm 2."""

    def __init__(self, o: Lion, params: dict[str, Tensor]) -> None:
        super().__init__(params)
        self.o = o

    def one(self, w, g, state):
        o, m = self.o, state.get("m", torch.zeros_like(w))
        c = o.beta1 * m + (1 - o.beta1) * g
        state["m"] = o.beta2 * m + (1 - o.beta2) * g
        return w - o.lr * (torch.sign(c) + o.weight_decay * w)


class TorchMuon:
    """`torch.optim.Muon` on flattened hidden matrices, in float32; AdamW on all else."""

    def __init__(self, o: Muon, params: dict[str, Tensor]) -> None:
        self.hidden = {
            p: p.detach().flatten(1).requires_grad_() for n, p in params.items() if n in HIDDEN
        }
        self.muon = torch.optim.Muon(
            self.hidden.values(),
            lr=o.lr,
            weight_decay=o.weight_decay,
            momentum=o.momentum,
            nesterov=o.nesterov,
            ns_steps=o.ns_steps,
            adjust_lr_fn=o.adjust_lr,
        )
        others = [p for n, p in params.items() if n not in HIDDEN]
        betas = o.beta1, o.beta2
        self.adam = torch.optim.AdamW(others, o.adam_lr, betas, o.eps, o.weight_decay)

    def step(self) -> None:
        for p, flat in self.hidden.items():
            flat.grad = p.grad.flatten(1)
        self.muon.step()
        self.adam.step()


def torch_sgd(o: SGD, params: dict[str, Tensor]):
    return torch.optim.SGD(
        params.values(), o.lr, o.momentum, weight_decay=o.weight_decay, nesterov=o.nesterov
    )


def torch_adam(o: Adam, params: dict[str, Tensor]):
    make = torch.optim.AdamW if o.decoupled else torch.optim.Adam
    return make(params.values(), o.lr, (o.beta1, o.beta2), o.eps, o.weight_decay)


#: Optimizers of one family with numbers of their own, and the reference of each.
CASES = {
    "sgd": ([SGD(0.1), SGD(0.01), SGD(0.2)], torch_sgd),
    "momentum and L2": (
        [SGD(0.1, momentum=0.9, weight_decay=0.01), SGD(0.02), SGD(0.3, momentum=0.5)],
        torch_sgd,
    ),
    "nesterov": (
        [SGD(0.1, momentum=m, nesterov=True, weight_decay=0.01) for m in (0.9, 0.5, 0.1)],
        torch_sgd,
    ),
    "adam": (
        [Adam(0.01), Adam(0.1, beta1=0.5, beta2=0.9), Adam(0.02, eps=1e-3, weight_decay=0.1)],
        torch_adam,
    ),
    "adamw": ([AdamW(0.01), AdamW(0.1, weight_decay=0.5), AdamW(weight_decay=0.0)], torch_adam),
    "lars": (
        [
            LARS(1.0, momentum=0.9, weight_decay=0.01, trust=0.02),
            LARS(0.5, trust=0.1),
            LARS(momentum=0.0),
        ],
        PlainLARS,
    ),
    "lion": (
        [Lion(0.01), Lion(0.001, weight_decay=0.3), Lion(0.02, beta1=0.5, beta2=0.9)],
        PlainLion,
    ),
    "muon": ([Muon(), Muon(0.1, 0.5, weight_decay=0.1), Muon(adam_lr=0.01, beta2=0.8)], TorchMuon),
    "muon without nesterov": (
        [Muon(lr, nesterov=False, adjust_lr="match_rms_adamw") for lr in (0.1, 0.02, 0.01)],
        TorchMuon,
    ),
    "muon, spectral": (
        [Muon(lr, ns_steps=3, adjust_lr="spectral_unclamped") for lr in (0.1, 0.02, 0.01)],
        TorchMuon,
    ),
}
EVERY = pytest.mark.parametrize("name", CASES)


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
    assert {type(o) for optimizers, _ in CASES.values() for o in optimizers} == CLASSES


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
@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_the_schedule_is_on_learning_rates_alone(name, kind, start):
    optimizers, (theta, grads) = CASES[name][0], start
    factor = kind(0.5)
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
    assert step.descends == (name == "sgd")
    assert not Step(optimizers, SHAPES, [1.0] * len(SHAPES)).descends
    if step.descends:
        times = step.times(step.begin(theta), 0.5, 3).to(theta[0].device)
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
    ("optimizer", "hidden"),
    [
        (Muon(), ("block.weight",)),
        (Muon(ends=False), ("stem.weight", "block.weight", "head.weight")),
        (Muon(adam=("block.*",)), ("pos_embed",)),
        (Muon(adam=(), ends=False), ("stem.weight", "pos_embed", "block.weight", "head.weight")),
    ],
)
def test_which_parameters_muon_takes_for_hidden_matrices(optimizer, hidden):
    shapes = {
        "cls_token": (1, 1, 6),
        "stem.weight": (6, 3, 2, 2),
        "stem.bias": (6,),
        "pos_embed": (5, 6),
        "block.gain": (),
        "block.weight": (6, 6),
        "column": (6, 1),
        "head.weight": (2, 6),
    }
    assert optimizer.slots(shapes) == [1 if name in hidden else 2 for name in shapes]


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6)])
def test_orthogonalized_matrices_are_nearly_so(shape, generator, device):
    """Singular values come near 1, and singular vectors stay; for each matrix of a stack alone."""
    matrices = torch.randn(4, *shape, generator=generator).to(device) * 10.0 ** torch.arange(
        -2, 2, device=device
    ).view(-1, 1, 1)
    found = orthogonalized(matrices, 5)
    u, _, vt = torch.linalg.svd(matrices, full_matrices=False)
    inner = u.mT @ found @ vt.mT
    values = torch.diagonal(inner, dim1=1, dim2=2)
    assert ((values > 0.5) & (values < 1.3)).all()
    assert (inner - torch.diag_embed(values)).abs().max() < 1e-3
    for r in range(4):
        torch.testing.assert_close(orthogonalized(matrices[r : r + 1], 5)[0], found[r])


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
        (Optimizer, TypeError, "Optimizer has no update: an optimizer is a subclass that defines"),
    ],
)
def test_what_is_no_optimizer_is_refused(wrong, error, says):
    with pytest.raises(error) as found:
        wrong()
    assert says in str(found.value)


@spec
class SignDescent(Optimizer):
    """θ ← θ − lr · sign g (Bernstein et al. 2018)."""

    lr: float = 0.001

    @staticmethod
    def update(theta, grad, slots, n, count):
        theta.sub_(n["lr"] * grad.sign())


def test_an_optimizer_of_ones_own_is_one_class(tmp_path, device):
    """It trains, is stored and is found again, with networks that have rates of their own."""
    base = initlab.Run(
        MLP((8,), inputs=64, outputs=10),
        HeNormal(),
        initlab.Data("digits", train=200, test=50),
        budget=Budget(epochs=2, batch_size=50),
    )
    rates = [1e-9, 0.01]
    runs = initlab.grid(base, optimizer=[SignDescent(lr) for lr in rates], seed=range(3))
    frame = initlab.run(runs, store=initlab.Store(tmp_path), device=device)
    assert set(frame["optimizer"]) == {"SignDescent"}
    losses = frame[frame.statistic == "train_loss"].groupby("optimizer.lr").value.max()
    assert losses[0.01] < losses[1e-9] - 0.5
    again = initlab.run(runs, store=initlab.Store(tmp_path), device=device)
    assert again.equals(frame)


def test_contributing_shows_it_as_it_is():
    text = Path(__file__).parents[2].joinpath("CONTRIBUTING.md").read_text(encoding="utf8")
    assert getsource(SignDescent) in text
