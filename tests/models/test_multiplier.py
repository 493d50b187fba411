"""A trained factor on each residual branch: an option that changes nothing where it is off."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.func import functional_call

from initlab.init import HeNormal, initialize
from initlab.models import MobileNetV2, PreActResNet18, ResidualMLP, ResNet9, ResNet18
from initlab.spec import to_plain

SHAPE = (1, 8, 8)
#: Model → number of residual branches.
MODELS = {
    "residual mlp": (ResidualMLP(3, 5, 0.5, matrices=2, inputs=4, outputs=3), 3),
    "one matrix": (ResidualMLP(2, 5), 2),
    "resnet9": (ResNet9(width=2, input_shape=SHAPE, norm="none"), 2),
    "resnet18": (ResNet18(width=2, input_shape=SHAPE), 8),
    "preact": (PreActResNet18(width=2, input_shape=SHAPE, norm="none"), 8),
    "mobilenet": (MobileNetV2(width=0.5, input_shape=SHAPE), 10),
}


def start(model, count: int = 2):
    g = torch.Generator().manual_seed(0)
    params = initialize(model.build("meta"), HeNormal(), g, count=count)
    for name, p in model.build().named_parameters():
        params.setdefault(name, p.detach().expand(count, *p.shape))
    return params


@pytest.mark.parametrize("name", MODELS)
def test_off_by_default_and_one_number_per_branch(name):
    model, count = MODELS[name]
    assert "multiplier" not in to_plain(model)
    factored = dataclasses.replace(model, multiplier=True)
    plain = dict(model.build("meta").named_parameters())
    with_them = dict(factored.build("meta").named_parameters())
    added = [n for n in with_them if n not in plain]
    assert len(added) == count
    assert all(with_them[n].shape == () and n.endswith("multiplier.weight") for n in added)
    assert [n for n in with_them if n in plain] == list(plain)
    # Built in a device context or not, it starts at one.
    assert all(p.detach() == 1 for n, p in factored.build().named_parameters() if n in added)


@pytest.mark.parametrize("name", MODELS)
def test_factors_multiply_the_branches(name):
    """At 1 nothing changes; stacked and as a module, at any value, the numbers are the same."""
    model, _ = MODELS[name]
    factored = dataclasses.replace(model, multiplier=True)
    params = start(factored)
    added = [n for n in params if n.endswith("multiplier.weight")]
    plain = {n: p for n, p in params.items() if n not in added}
    x = torch.randn(6, *model.input_shape, generator=torch.Generator().manual_seed(1))
    assert torch.equal(factored.forward(params, x), model.forward(plain, x))
    half = {n: 0.5 * p if n in added else p for n, p in params.items()}
    out = factored.forward(half, x)
    assert not torch.allclose(out, model.forward(plain, x))
    for r in range(2):
        alone = functional_call(factored.build().train(), {n: p[r] for n, p in half.items()}, (x,))
        torch.testing.assert_close(out[r], alone)


def test_halved_factors_are_halved_scales():
    model = ResidualMLP(4, 6, (1.0, 0.5, 2.0, 1.0), inputs=3)
    factored = dataclasses.replace(model, multiplier=True)
    halved = dataclasses.replace(model, scales=(0.5, 0.25, 1.0, 0.5))
    params = start(factored)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    half = {n: 0.5 * p if "multiplier" in n else p for n, p in params.items()}
    plain = {n: p for n, p in params.items() if "multiplier" not in n}
    torch.testing.assert_close(factored.forward(half, x), halved.forward(plain, x))
