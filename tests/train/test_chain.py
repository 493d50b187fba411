"""A user's plain MLP is recognized, and nothing else is taken for one."""

from __future__ import annotations

import doctest
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initlab import Network
from initlab.train import CrossEntropy, MeanSquaredError
from initlab.train.chain import Chain
from initlab.train.chain import chain as recognized
from initlab.train.ensemble import Batch, ModuleEnsemble
from initlab.train.fused import FusedNetwork


class Written(nn.Module):
    """As one writes it, with functions and methods as activations."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(12, 7, bias=bias), nn.Linear(7, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.b(self.a(x.flatten(1)).tanh())))


class Twice(nn.Module):
    """One layer, used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)

    def forward(self, x):
        return self.a(F.relu(self.a(x)))


class Around(nn.Module):
    """With a connection around a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        h = F.relu(self.a(x))
        return self.b(h) + h


class Unused(nn.Module):
    """With a parameter that decides nothing, but which an optimizer decays."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.b(F.relu(self.a(x)))


def frozen() -> nn.Module:
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    module[0].weight.requires_grad_(False)
    return module


def hooked() -> nn.Module:
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    module[1].register_forward_hook(lambda module, inputs, out: 2 * out)
    return module


def tied() -> nn.Module:
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    module[2].weight = module[0].weight
    return module


def several(*between: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), *between, nn.Linear(4, 2))


def test_layers_and_activation_are_found():
    assert recognized(Written()) == Chain(("a", "b", "head"), "tanh")
    assert recognized(several(nn.Sigmoid())) == Chain(("0", "2"), "sigmoid")


@pytest.mark.parametrize(
    "module",
    [
        Twice(),
        Around(),
        Unused(),
        frozen(),
        hooked(),
        tied(),
        several(),
        several(nn.GELU()),
        several(nn.ReLU(), nn.ReLU()),
        several(nn.ReLU(), nn.Dropout(0.1)),
        several(nn.BatchNorm1d(4), nn.ReLU()),
        nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)),
        nn.Sequential(nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)),
        nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2), nn.ReLU()),
        nn.Linear(4, 2),
        nn.LSTM(4, 4),
        torch.nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)),
    ],
    ids=str,
)
def test_anything_else_is_not(module):
    assert recognized(module) is None


@pytest.mark.parametrize("loss", [CrossEntropy(), CrossEntropy(smoothing=0.1), MeanSquaredError()])
@pytest.mark.parametrize("own", [False, True])
def test_gradients_and_outputs_are_those_of_the_modules(loss, own):
    generator = torch.Generator().manual_seed(0)
    network, R, B = Network(Written), 3, 6
    built = [network.build(seed=r) for r in range(R)]
    params = {n: torch.stack([dict(m.named_parameters())[n].detach() for m in built])
              for n, _ in built[0].named_parameters()}  # fmt: skip
    shape = (R, B) if own else (B,)
    x = torch.randn(*shape, 3, 2, 2, generator=generator)
    y = torch.randint(3, shape, generator=generator)
    if not loss.classifies:
        y = torch.randn(*shape, 3, generator=generator)
    batch = Batch(x, y, own, own)
    ours, theirs = FusedNetwork(network, params), ModuleEnsemble(network, params)
    losses, grads = ours.gradients(batch, loss)
    expected, slopes = theirs.gradients(batch, loss)
    assert torch.allclose(losses, expected, rtol=1e-5, atol=1e-6)
    found = dict(zip(ours.names, grads, strict=True))
    for name, slope in zip(theirs.names, slopes, strict=True):
        assert torch.allclose(found[name], slope, rtol=1e-4, atol=1e-6), name
    outputs = theirs.predict(x, own_x=own)
    assert torch.allclose(ours.predict(x, own_x=own), outputs, rtol=1e-5, atol=1e-6)
    few = x if not own else x[[2, 0]]
    assert torch.allclose(ours.predict(few, [2, 0], own), outputs[[2, 0]], rtol=1e-5, atol=1e-6)
    assert torch.equal(ours.module(1).head.weight, built[1].head.weight)


def test_a_module_that_is_no_chain_is_refused():
    network = Network(Twice)
    params = {n: p.detach()[None] for n, p in network.build().named_parameters()}
    with pytest.raises(ValueError, match="Twice is not made of linear layers"):
        FusedNetwork(network, params)


def test_examples_in_docstrings():
    results = doctest.testmod(sys.modules[recognized.__module__])
    assert results.attempted > 0 and results.failed == 0
