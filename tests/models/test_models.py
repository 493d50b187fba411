"""A stack of networks gives the numbers of the ordinary modules, one by one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from initlab.init import HeNormal, Normal, initialize
from initlab.models import (
    ACTIVATIONS,
    MLP,
    ConvNet,
    LogisticRegression,
    ResidualMLP,
    parameter_count,
)

MODELS = {
    "mlp": MLP((7, 5, 3), inputs=4, outputs=2),
    "no hidden layer": LogisticRegression(4, 3),
    "no head": MLP((7, 5), inputs=4, outputs=None),
    "no bias": MLP((7, 5), inputs=4, outputs=2, bias=False),
    "batch norm": MLP((7, 5), inputs=4, outputs=2, norm="batch"),
    "residual": ResidualMLP(4, 5, 0.9),
    "residual, two matrices": ResidualMLP(3, 5, 0.5, matrices=2, inputs=4, outputs=3),
    "residual, own scales": ResidualMLP(3, 5, (1.0, 0.1, 2.0), inputs=4),
    "conv": ConvNet((4, 6, 2), input_shape=(3, 8, 8)),
    "conv, circular, head": ConvNet((4, 2), input_shape=(3, 8, 8), padding="circular", outputs=5),
    "conv, no bias": ConvNet((4, 2), input_shape=(1, 6, 6), kernel=5, bias=False),
}


def assert_same(model, R, seed, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    module = model.build(device)
    params = initialize(module, HeNormal(), generator, bias=Normal(0.1), count=R, device=device)
    own = torch.empty(R, 6, *model.input_shape).normal_(generator=generator).to(device)
    shared = own[0]
    with torch.no_grad():
        of_shared, of_own = model.forward(params, shared), model.forward(params, own)
        for r in range(R):
            module.load_state_dict({k: v[r] for k, v in params.items()})
            torch.testing.assert_close(of_shared[r], module(shared), rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(of_own[r], module(own[r]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_stack_equals_its_modules(name, device):
    assert_same(MODELS[name], 3, 0, device)


@settings(max_examples=25)
@given(
    widths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    inputs=st.integers(1, 6),
    activation=st.sampled_from(list(ACTIVATIONS)),
    R=st.integers(1, 4),
    seed=st.integers(0, 2**31),
)
def test_any_mlp_equals_its_modules(widths, inputs, activation, R, seed):
    assert_same(MLP(tuple(widths), inputs=inputs, activation=activation), R, seed)


@pytest.mark.parametrize("name", MODELS)
def test_the_tap_sees_every_layer(name):
    model, seen = MODELS[name], []
    params = initialize(model.build("meta"), HeNormal(), torch.Generator().manual_seed(0), count=2)
    model.forward(params, torch.ones(5, *model.input_shape), seen.append)
    assert len(seen) == model.depth + 1
    assert all(h.shape[-1] == 5 for h in seen)
    assert all(h.shape[0] == 2 for h in seen[1:])


def test_parameter_count():
    for model in MODELS.values():
        assert parameter_count(model) == sum(p.numel() for p in model.build().parameters())


def test_residual_scales():
    assert ResidualMLP(3, 5, 0.5).etas == (0.5, 0.25, 0.125)
    assert ResidualMLP(2, 5, (3.0, 4.0)).etas == (3.0, 4.0)
    # One number in whatever type is one model.
    assert ResidualMLP(3, 5, 1) == ResidualMLP(3, 5, 1.0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: MLP(()), "widths must be one or more whole numbers ≥ 1, not ()"),
        (lambda: MLP((3, 0)), "not (3, 0)"),
        (lambda: MLP((3, 2.5)), "not (3, 2.5)"),
        (lambda: MLP.constant(0, 5), "depth must be ≥ 1, not 0"),
        (lambda: MLP((3,), activation="rely"), "unknown activation 'rely'; known: linear, relu"),
        (lambda: ResidualMLP(0, 5), "modules and width"),
        (lambda: ResidualMLP(2, 5, matrices=3), "1 or 2 matrices, not 3"),
        (lambda: ResidualMLP(2, 5, (1.0,)), "1 scales were given for 2 modules"),
        (lambda: ConvNet((3,), kernel=4), "kernel must be odd"),
        (lambda: ConvNet((3,), padding="same"), "'zeros' or 'circular', not 'same'"),
        (
            lambda: MLP((3,), inputs=4).forward({}, torch.zeros(2, 5)),
            "takes vectors of 4 features, (batch, 4) or (networks, batch, 4); the input has shape "
            "(2, 5)",
        ),
    ],
)
def test_impossible_models_are_refused(make, says):
    with pytest.raises(ValueError) as error:
        make()
    assert says in str(error.value)


def test_batch_norm_is_torch_s_own_forward_and_backward():
    """`nn.BatchNorm1d` in training: values, and the gradient of every parameter."""
    model, g = MLP((7, 5), inputs=4, outputs=3, norm="batch"), torch.Generator().manual_seed(0)
    params = initialize(model.build("meta"), HeNormal(), g, bias=Normal(0.3), count=2)
    params = {n: (p + 0.2 * torch.randn(p.shape, generator=g)) for n, p in params.items()}
    leaves = {n: p.clone().requires_grad_() for n, p in params.items()}
    x = torch.randn(6, 4, generator=g)
    out = model.forward(leaves, x)
    grads = torch.autograd.grad(out.square().sum(), list(leaves.values()))
    for r in range(2):
        theirs = torch.nn.Sequential(
            torch.nn.Linear(4, 7),
            torch.nn.BatchNorm1d(7),
            torch.nn.ReLU(),
            torch.nn.Linear(7, 5),
            torch.nn.BatchNorm1d(5),
            torch.nn.ReLU(),
            torch.nn.Linear(5, 3),
        ).train()
        with torch.no_grad():
            for p, name in zip(theirs.parameters(), params, strict=True):
                p.copy_(params[name][r])
        value = theirs(x)
        torch.testing.assert_close(out[r], value)
        value.square().sum().backward()
        for p, g_r in zip(theirs.parameters(), grads, strict=True):
            torch.testing.assert_close(g_r[r], p.grad, rtol=1e-4, atol=1e-4)


def test_batch_norm_does_not_see_the_scale_of_the_weights():
    model, g = MLP((9, 9), inputs=4, norm="batch", bias=False), torch.Generator().manual_seed(0)
    params = initialize(model.build("meta"), HeNormal(), g, count=2)
    scaled = {n: p * 16 if n.startswith("layer") else p for n, p in params.items()}
    x = torch.randn(8, 4, generator=g)
    torch.testing.assert_close(
        model.forward(scaled, x), model.forward(params, x), rtol=1e-3, atol=1e-3
    )
    with pytest.raises(ValueError, match="needs a batch of two examples"):
        model.forward(params, x[:1])
