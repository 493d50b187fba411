"""Every step on stacked parameters is the step that torch.optim takes on each network."""

from __future__ import annotations

import pytest
import torch

from initlab.train import LARS, SGD, Adam, AdamW, Step, family

SHAPES = [(4, 3), (3,), (2, 3, 3, 3)]
#: Optimizers of one family with different numbers, and torch's equivalent of each.
FAMILIES = {
    "sgd": (
        [SGD(0.1), SGD(0.01)],
        lambda o, p: torch.optim.SGD(p, o.lr),
    ),
    "momentum and L2": (
        [SGD(0.1, momentum=0.9, weight_decay=0.01), SGD(0.02), SGD(0.3, momentum=0.5)],
        lambda o, p: torch.optim.SGD(p, o.lr, o.momentum, weight_decay=o.weight_decay),
    ),
    "nesterov": (
        [SGD(0.1, momentum=m, nesterov=True, weight_decay=0.01) for m in (0.9, 0.5)],
        lambda o, p: torch.optim.SGD(p, o.lr, o.momentum, 0, o.weight_decay, nesterov=True),
    ),
    "adam": (
        [Adam(0.01), Adam(0.1, beta1=0.5, beta2=0.9), Adam(0.02, eps=1e-3)],
        lambda o, p: torch.optim.Adam(p, o.lr, (o.beta1, o.beta2), o.eps),
    ),
    "adam and L2": (
        [Adam(0.01, weight_decay=0.1), Adam(0.01)],
        lambda o, p: torch.optim.Adam(p, o.lr, weight_decay=o.weight_decay),
    ),
    "adamw": (
        [AdamW(0.01), AdamW(0.1, weight_decay=0.5)],
        lambda o, p: torch.optim.AdamW(p, o.lr, weight_decay=o.weight_decay),
    ),
}


def start(count: int, generator: torch.Generator) -> list[torch.Tensor]:
    return [torch.randn(count, *shape, generator=generator) for shape in SHAPES]


@pytest.mark.parametrize("same", [True, False], ids=["equal numbers", "own numbers"])
@pytest.mark.parametrize("name", FAMILIES)
def test_steps_are_those_of_torch(name, same, generator):
    optimizers, torchs = FAMILIES[name]
    optimizers = optimizers[:1] * 2 if same else optimizers
    theta = start(len(optimizers), generator)
    alone = [[t[r].clone().requires_grad_() for t in theta] for r in range(len(optimizers))]
    theirs = [torchs(o, p) for o, p in zip(optimizers, alone, strict=True)]
    step = Step(optimizers, theta)
    for _ in range(25):
        grads = start(len(optimizers), generator)
        for r, optimizer in enumerate(theirs):
            for p, g in zip(alone[r], grads, strict=True):
                p.grad = g[r].clone()
            optimizer.step()
        step(theta, [g.clone() for g in grads], 1.0)
    for i, t in enumerate(theta):
        expected = torch.stack([alone[r][i].detach() for r in range(len(optimizers))])
        torch.testing.assert_close(t, expected, rtol=1e-5, atol=1e-6)


def test_decoupled_decay_shrinks_beside_the_step(generator):
    theta = start(1, generator)
    before = [t.clone() for t in theta]
    grads = start(1, generator)
    step = Step([SGD(0.1, weight_decay=0.5, decoupled=True)], theta)
    step(theta, [g.clone() for g in grads], 0.5)  # a schedule's factor is on the rate
    for t, b, g in zip(theta, before, grads, strict=True):
        torch.testing.assert_close(t, b * (1 - 0.05 * 0.5) - 0.05 * g)


def test_lars_by_its_definition(generator):
    """You et al. 2017: w ← w − v, v ← m v + γ η ‖w‖ / (‖g‖ + β‖w‖) (g + β w), tensor by tensor."""
    optimizers = [LARS(1.0, momentum=0.9, weight_decay=0.01, trust=0.02), LARS(0.5, trust=0.1)]
    theta = start(2, generator)
    w = [[t[r].clone() for t in theta] for r in range(2)]
    v = [[torch.zeros_like(t[r]) for t in theta] for r in range(2)]
    step = Step(optimizers, theta)
    for _ in range(5):
        grads = start(2, generator)
        for r, o in enumerate(optimizers):
            for i in range(len(SHAPES)):
                g, rate = grads[i][r], o.lr
                if g.dim() > 1:
                    scale = w[r][i].norm() / (g.norm() + o.weight_decay * w[r][i].norm())
                    rate, g = o.lr * o.trust * scale, g + o.weight_decay * w[r][i]
                v[r][i] = o.momentum * v[r][i] + rate * g
                w[r][i] = w[r][i] - v[r][i]
        step(theta, [g.clone() for g in grads], 1.0)
    for i, t in enumerate(theta):
        torch.testing.assert_close(t, torch.stack([w[0][i], w[1][i]]), rtol=1e-5, atol=1e-6)


def test_state_follows_the_networks_that_stay(generator):
    optimizers = [SGD(r, momentum=0.9) for r in (0.1, 0.2, 0.3)]
    theta = start(3, generator)
    all_of_them, kept = Step(optimizers, theta), Step(optimizers, theta)
    stay = [t.clone() for t in theta]
    first, second = start(3, generator), start(3, generator)
    for step, here in ((all_of_them, theta), (kept, stay)):
        step(here, [g.clone() for g in first], 1.0)
    kept.keep([0, 2])
    stay = [t[[0, 2]] for t in stay]
    all_of_them(theta, [g.clone() for g in second], 1.0)
    kept(stay, [g[[0, 2]].clone() for g in second], 1.0)
    for t, s in zip(theta, stay, strict=True):
        assert torch.equal(t[[0, 2]], s)


@pytest.mark.parametrize(
    "mixed",
    [
        [SGD(), Adam()],
        [SGD(momentum=0.9), SGD(momentum=0.9, nesterov=True)],
        [Adam(), AdamW()],
        [SGD(), LARS()],
    ],
)
def test_other_kinds_do_not_step_as_one(mixed):
    assert family(mixed[0]) != family(mixed[1])
    with pytest.raises(ValueError, match="different kinds cannot step as one"):
        Step(mixed, [torch.zeros(2, 3)])
