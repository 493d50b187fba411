"""Jacobians and kernels: against closed forms, `torch.func`, and theory."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, jacrev, vmap

from initlab.init import HeNormal, LecunNormal, Orthogonal, VarianceScaling, initialize
from initlab.measure.jacobian import (
    eigenvalues,
    jacobian,
    ntk,
    random_directions,
    singular_values,
)
from initlab.models import MLP, ConvNet

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
MODELS = [MLP((7,), inputs=5), ConvNet((3,), input_shape=(2, 4, 4), outputs=10)]


def drawn(model, rule=None, seed=0):
    g = torch.Generator().manual_seed(seed)
    params = initialize(model.build("meta"), rule or HeNormal(), g)
    x = torch.empty(3, *model.input_shape).normal_(generator=g)
    return model.build(), params, x


def test_a_linear_network_is_the_product_of_its_matrices():
    module, params, x = drawn(MLP((6, 5), inputs=4, outputs=3, activation="linear"))
    W = params["head.weight"] @ params["layer2.weight"] @ params["layer1.weight"]
    for J in jacobian(module, params, x):
        torch.testing.assert_close(J, W, **CLOSE)
    s = singular_values(jacobian(module, params, x, examples=1))
    torch.testing.assert_close(s[0], torch.linalg.svdvals(W.double()), **CLOSE)


def test_orthogonal_weights_are_an_isometry_and_gaussian_ones_are_not():
    model = MLP.constant(10, 24, inputs=24, outputs=24, activation="linear")
    module, params, x = drawn(model, Orthogonal())
    s = singular_values(jacobian(module, params, x, examples=1))
    torch.testing.assert_close(s, torch.ones(1, 24, dtype=torch.float64), rtol=1e-4, atol=1e-4)
    # E ‖J‖² = n for Gaussian weights of variance 1/n as well, but its parts spread.
    squares = []
    for seed in range(60):
        module, params, x = drawn(model, LecunNormal(), seed)
        s = singular_values(jacobian(module, params, x, examples=1))
        squares.append(float(s.square().mean()))
        assert s.max() / s.min() > 10
    assert abs(np.mean(squares) - 1) < 4.5 * np.std(squares) / sqrt(60)


@pytest.mark.parametrize(
    "model", [MLP((7,), inputs=5), ConvNet((3,), input_shape=(2, 4, 4), outputs=10)]
)
def test_jacobians_are_those_of_torch_func(model):
    module, params, x = drawn(model)
    ours = jacobian(module, params, x)
    theirs = torch.stack(
        [jacrev(lambda z: functional_call(module, params, z[None])[0])(z) for z in x]
    )
    torch.testing.assert_close(ours, theirs.flatten(2), **CLOSE)
    assert torch.equal(jacobian(module, params, x, examples=2), ours[:2])
    few = random_directions(10, 4, torch.Generator().manual_seed(0))
    torch.testing.assert_close(few @ few.T, torch.eye(4), **CLOSE)
    torch.testing.assert_close(jacobian(module, params, x, directions=few), few @ ours, **CLOSE)


def test_a_batch_that_is_normalized_passes_whole():
    module = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 2))
    params = {name: p.detach() for name, p in module.named_parameters()}
    x = torch.empty(6, 4).normal_(generator=torch.Generator().manual_seed(0))
    J = jacobian(module, params, x, examples=2)
    h = 1e-2
    for unit in range(4):
        ahead, back = x.clone(), x.clone()
        ahead[1, unit] += h
        back[1, unit] -= h
        slope = (module(ahead)[1] - module(back)[1]).detach() / (2 * h)
        torch.testing.assert_close(J[1, :, unit], slope, rtol=0.05, atol=0.01)


# NTK


def test_the_kernel_of_a_linear_model():
    x = torch.empty(3, 4).normal_(generator=torch.Generator().manual_seed(0))
    kernel = ntk(nn.Linear(4, 2, bias=False), {"weight": torch.zeros(2, 4)}, x)
    torch.testing.assert_close(
        kernel, torch.kron((x @ x.T).double(), torch.eye(2).double()), **CLOSE
    )


@pytest.mark.parametrize(
    "model", [MLP((7,), inputs=5), ConvNet((3,), input_shape=(2, 4, 4), outputs=10)]
)
def test_kernels_are_those_of_torch_func(model):
    module, params, x = drawn(model)
    J = vmap(jacrev(lambda p, z: functional_call(module, p, z[None])[0]), (None, 0))(params, x)
    rows = torch.cat([j.flatten(2) for j in J.values()], 2).flatten(0, 1)
    kernel = ntk(module, params, x)
    torch.testing.assert_close(kernel, (rows @ rows.T).double(), **CLOSE)
    one = random_directions(10, 1, torch.Generator().manual_seed(0))
    along = torch.block_diag(*[one] * 3) @ rows
    found = ntk(module, params, x, directions=one)
    torch.testing.assert_close(found, (along @ along.T).double(), **CLOSE)
    values = eigenvalues(kernel)
    assert (values.diff() <= 0).all() and values[-1] > -1e-3 * values[0]
    assert float(values.sum()) == pytest.approx(float(kernel.trace()))


def test_the_kernel_of_one_hidden_relu_layer_is_theory():
    """f = v · ReLU(W x), W of variance 2/n_0 and v of 1/n: E Θ(x, x) = (n + n_0/2) ‖x‖²/n_0.

    The first term is from v, E ‖ReLU(W x)‖², the second from W, E Σ v_i² [i is on] ‖x‖².
    """
    model, n_0, n = MLP((40,), inputs=6, outputs=1, bias=False), 6, 40
    values = []
    for seed in range(200):
        g = torch.Generator().manual_seed(seed)
        params = initialize(model.build("meta"), HeNormal(), g)
        params["head.weight"] /= sqrt(2)
        x = torch.ones(2, n_0)
        values.append(float(ntk(model.build("cpu"), params, x, examples=1)))
    expected = (n + n_0 / 2) * n_0 / n_0
    assert abs(np.mean(values) - expected) < 4.5 * np.std(values) / sqrt(200)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda m, p, x: jacobian(m, p, x.long()),
            "a Jacobian needs inputs that are real numbers, not torch.int64",
        ),
        (lambda m, p, x: jacobian(m, p, x, directions=torch.eye(3)), "with 10 outputs, not (3, 3)"),
        (lambda m, p, x: ntk(m, p, x, directions=torch.ones(10)), "with 10 outputs, not (10,)"),
    ],
)
def test_what_cannot_be_differentiated(call, says):
    module, params, x = drawn(MLP((3,), inputs=4), VarianceScaling())
    with pytest.raises(ValueError) as error:
        call(module, params, x)
    assert says in str(error.value)


def test_nothing_is_left_behind():
    module, params, x = drawn(MLP((3,), inputs=4))
    state = torch.get_rng_state()
    jacobian(module, params, x)
    ntk(module, params, x)
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None for p in (*module.parameters(), *params.values(), x))
    assert not any(p.requires_grad for p in (*params.values(), x))
    assert F.relu(x).grad_fn is None
