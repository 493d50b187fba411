"""Weights without a scale: which they are, and how long they become, against training itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from initlab.data import load
from initlab.init import HeNormal, initialize_
from initlab.measure.invariance import accumulated, effective_rate, scale_invariant, squared_norm
from initlab.models import MLP, ResNet9


def module_of(model) -> nn.Module:
    module = model.build("cpu")
    initialize_(module, HeNormal(), seed=0)
    return module


def test_convolutions_before_normalization_have_no_scale_and_the_head_has_one():
    module = module_of(ResNet9(2, input_shape=(1, 8, 8)))
    params = {name: p.detach().clone() for name, p in module.named_parameters()}
    buffers = {name: b.clone() for name, b in module.named_buffers()}
    x = load("digits").train.x[:64]
    found = scale_invariant(module, params, x)
    weights = [name for name, p in params.items() if p.dim() > 1]
    assert len(found) == 8
    assert found == [name for name in weights if not name.startswith("head")]
    assert module.training
    for name, p in module.named_parameters():
        assert torch.equal(p, params[name])
    for name, b in module.named_buffers():
        assert torch.equal(b, buffers[name])


def test_without_normalization_every_weight_has_a_scale():
    module = module_of(MLP((8, 8), inputs=64))
    params = {name: p.detach() for name, p in module.named_parameters()}
    assert scale_invariant(module, params, load("digits").train.x[:64].flatten(1)) == []


@pytest.mark.parametrize(
    ("noise", "lr", "momentum", "decay", "scale"),
    [
        (False, 0.1, 0.0, 0.0, 0.4),
        (False, 0.1, 0.0, 0.0, 0.3),
        (False, 0.1, 0.0, 0.02, 3.0),
        (True, 0.003, 0.9, 0.0, 0.3),
        (True, 0.003, 0.9, 0.05, 0.5),
    ],
)
def test_norms_of_a_network_in_training_are_the_predicted_ones(noise, lr, momentum, decay, scale):
    # With momentum, labels are nothing but noise, so that gradients are independent.
    generator = torch.Generator().manual_seed(1)
    data = load("digits")
    net = nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 32, bias=False),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )
    initialize_(net, HeNormal(), seed=1)
    w = net[1].weight
    with torch.no_grad():
        w.mul_(scale)
    optimizer = torch.optim.SGD(
        [{"params": [w], "weight_decay": decay}, {"params": [*net[2:].parameters()]}],
        lr=lr,
        momentum=momentum,
    )
    lengths, pulls = [float(w.detach().double().square().sum())], []
    for _ in range(1500):
        chosen = torch.randint(len(data.train.y), (64,), generator=generator)
        x, y = data.train.x[chosen], data.train.y[chosen]
        if noise:
            y = torch.randint(10, y.shape, generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        pulls.append(lengths[-1] * float(w.grad.double().square().sum()))
        optimizer.step()
        lengths.append(float(w.detach().double().square().sum()))
    told = squared_norm(
        pulls, lengths[0], lr, momentum=momentum, weight_decay=decay, independent=noise
    )
    measured = np.array(lengths)
    assert np.abs(told / measured - 1).max() < 0.05
    # A control: the length does change, and by much more than what is allowed.
    assert np.abs(measured[-1] / measured[0] - 1) > 0.15


@pytest.mark.parametrize(("momentum", "decay"), [(0.9, 0.0), (0.9, 0.3), (0.5, 0.0), (0.0, 0.3)])
def test_norms_with_momentum_where_the_gradient_changes_slowly(momentum, decay):
    # The least of scale-invariant functions: the angle of a point of the plane, at a steady pull.
    w = torch.tensor([1.0, 0.0], dtype=torch.double, requires_grad=True)
    lr = 0.01 * (1 - momentum)
    optimizer = torch.optim.SGD([w], lr=lr, momentum=momentum, weight_decay=decay)
    lengths, pulls = [1.0], []
    for _ in range(1000):
        optimizer.zero_grad()
        torch.atan2(w[1], w[0]).backward()
        pulls.append(lengths[-1] * float(w.grad.square().sum()))
        optimizer.step()
        lengths.append(float(w.detach().square().sum()))
    told = squared_norm(pulls, 1.0, lr, momentum=momentum, weight_decay=decay)
    assert np.abs(told / np.array(lengths) - 1).max() < 0.05
    assert abs(lengths[-1] - 1) > 0.15
    if momentum:  # a control: gradients that are taken to be independent would be told otherwise
        other = squared_norm(
            pulls, 1.0, lr, momentum=momentum, weight_decay=decay, independent=True
        )
        assert np.abs(other / np.array(lengths) - 1).max() > 0.1


@settings(max_examples=50)
@given(
    start=st.floats(0.1, 100),
    lr=st.floats(1e-4, 1e-1),
    decay=st.floats(0, 0.1),
    n=st.integers(1, 50),
)
def test_without_gradient_only_decay_is_left(start, lr, decay, n):
    told = squared_norm(np.zeros(n), start, lr, weight_decay=decay)
    assert told == pytest.approx(start * np.exp(-2 * lr * decay * np.arange(n + 1)), rel=1e-9)


@settings(max_examples=50)
@given(lr=st.floats(1e-3, 1e-1), beta=st.floats(0, 0.9), n=st.integers(1, 50))
def test_decay_that_vanishes_is_no_decay(lr, beta, n):
    without = squared_norm(np.ones(n), 1.0, lr, momentum=beta)
    assert squared_norm(np.ones(n), 1.0, lr, momentum=beta, weight_decay=1e-12) == pytest.approx(
        without, rel=1e-9
    )
    assert without[-1] ** 2 == pytest.approx(1 + 2 * lr**2 * (1 + beta) / (1 - beta) ** 3 * n)


@pytest.mark.parametrize(
    "wrong", [dict(start=0.0), dict(lr=0.0), dict(momentum=1.0), dict(weight_decay=-1.0)]
)
def test_impossible_numbers(wrong):
    given_ = dict(start=1.0, lr=0.1) | wrong
    with pytest.raises(ValueError, match="start and lr must be > 0, momentum in"):
        squared_norm([1.0], **given_)


def test_timescales_are_those_of_the_paper():
    assert accumulated(1e-3, 128, [93_750, 1_562_500]) == pytest.approx([7.3e-4, 1.2e-2], rel=0.02)
    assert accumulated(1e-2, 128, 93_750, 1e-2) == pytest.approx(9.375 + 7.3e-2, rel=1e-3)
    assert effective_rate(0.1, [1.0, 2.0], momentum=0.5) == pytest.approx([0.2, 0.05])
