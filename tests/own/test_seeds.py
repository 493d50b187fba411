"""Network i of many is the network of seed i alone."""

from __future__ import annotations

import pytest
import torch

from initlab.data import load
from initlab.init import LSUV, RULES, initialize
from initlab.models import MLP
from initlab.train import SGD, Budget, fit

MODULE = MLP((8, 8), inputs=64).build("meta")


@pytest.mark.parametrize("name", [n for n in RULES if n not in ("delta_orthogonal", "dirac")])
@pytest.mark.parametrize("seed", [0, 7])
def test_an_initializer_draws_each_network_from_its_seed(name, seed):
    many = initialize(MODULE, RULES[name], torch.Generator().manual_seed(seed), count=4)
    for i in range(4):
        alone = initialize(MODULE, RULES[name], torch.Generator().manual_seed(seed + i))
        assert set(alone) == set(many)
        assert all(torch.equal(t, many[n][i]) for n, t in alone.items())


def test_so_does_a_scheme_that_looks_at_data():
    train = load("digits").train
    batch = train.x[:64].flatten(1), train.y[:64]
    many = initialize(MODULE, LSUV(), torch.Generator().manual_seed(0), count=3, batch=batch)
    alone = initialize(MODULE, LSUV(), torch.Generator().manual_seed(2), batch=batch)
    assert all(torch.equal(t, many[n][2]) for n, t in alone.items())


def test_a_group_trains_each_network_as_it_trains_alone():
    model, data = MLP((8,), inputs=64), load("digits")
    how = {"optimizer": SGD(0.1), "budget": Budget(epochs=2, batch_size=128)}
    module = model.build("meta")
    many = initialize(module, RULES["he_normal"], torch.Generator().manual_seed(0), count=5)
    together = fit(model, many, data, **how)
    for i in range(5):
        alone = initialize(module, RULES["he_normal"], torch.Generator().manual_seed(i))
        [outcome] = fit(model, {n: t[None] for n, t in alone.items()}, data, **how)
        for name, value in outcome.params.items():
            torch.testing.assert_close(value, together[i].params[name], rtol=1e-5, atol=1e-6)
