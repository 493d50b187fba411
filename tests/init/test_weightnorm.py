"""Weight normalization: lengths and directions, in plain modules and in parametrized ones."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import weight_norm

from initlab.init import Fans, fans, initialize
from initlab.init.weightnorm import FixedLength, WeightNorm, WeightNormData


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net(normed: bool) -> nn.Module:
    wrap = weight_norm if normed else lambda layer: layer
    return nn.Sequential(
        wrap(nn.Conv2d(3, 6, 3, stride=2)),
        nn.ReLU(),
        nn.Flatten(),
        wrap(nn.Linear(54, 20)),
        nn.ReLU(),
        nn.Linear(20, 4),
    )


X = 2 * torch.randn(40, 3, 7, 7, generator=seeded(3)) - 1
BATCH = X, torch.arange(40) % 4


def test_units_have_one_length_and_uniform_directions():
    w = FixedLength()(Fans(50, 20), (20, 50), seeded())
    torch.testing.assert_close(w.norm(dim=1), torch.full((20,), sqrt(2 * 50 / 20)))
    first = FixedLength(1.0).stack(Fans(3, 3), (3, 3), seeded(), 20_000)[:, :, 0].flatten()
    # A coordinate of a uniform direction in three dimensions is uniform in [-1, 1].
    assert abs(float(first.square().mean()) - 1 / 3) < 4 * sqrt(4 / 45 / len(first))
    assert abs(float((first.abs() < 0.5).float().mean()) - 0.5) < 4 * 0.5 / sqrt(len(first))


def test_plain_modules_get_the_weights_that_lengths_and_directions_make():
    params = initialize(net(False), WeightNorm(), seeded())
    for path, layer in net(False).named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            of, weight = fans(layer), params[f"{path}.weight"].flatten(1)
            length = sqrt(2 * weight.shape[1] / of.fan_out)
            torch.testing.assert_close(weight.norm(dim=1), torch.full((len(weight),), length))


def test_parametrized_modules_get_both():
    module = net(True)
    params = initialize(module, WeightNorm(), seeded())
    assert set(params) == set(dict(module.named_parameters()))
    g, v = (params[f"3.parametrizations.weight.original{i}"] for i in (0, 1))
    torch.testing.assert_close(g, torch.full((20, 1), sqrt(2 * 54 / 20)))
    assert abs(float(v.std()) - 0.05) < 4 * 0.05 / sqrt(2 * v.numel())
    module.load_state_dict(params)
    torch.testing.assert_close(module[3].weight.norm(dim=1), g[:, 0])


@pytest.mark.parametrize("normed", [True, False], ids=["parametrized", "plain"])
def test_from_data_every_unit_is_normalized(normed):
    """Salimans & Kingma 2016, eq. 6: t = v·x/‖v‖, g = 1/σ[t], b = −μ[t]/σ[t]."""
    module = net(normed)
    params = initialize(module, WeightNormData(), seeded(1), batch=BATCH)
    out = X
    for i, layer in enumerate(module):
        own = {n.split(".", 1)[1]: p for n, p in params.items() if n.startswith(f"{i}.")}
        before = out
        out = functional_call(layer, own, (out,))
        if own:
            units = out.movedim(1, 0).flatten(1)
            torch.testing.assert_close(units.std(1, unbiased=False), torch.ones(len(units)))
            assert units.mean(1).abs().max() < 1e-4
        if own and normed and i < 5:
            g, v = (own[f"parametrizations.weight.original{k}"] for k in (0, 1))
            lengths = v.flatten(1).norm(dim=1).view_as(g)
            parts = {"parametrizations.weight.original0": torch.ones_like(g)}
            t = functional_call(layer, {**own, **parts, "bias": torch.zeros(len(g))}, (before,))
            t = t.movedim(1, 0).flatten(1)
            torch.testing.assert_close(g.flatten(), 1 / t.std(1, unbiased=False))
            torch.testing.assert_close(own["bias"], -t.mean(1) / t.std(1, unbiased=False))
            assert lengths.std() > 0  # directions keep the lengths that were drawn


def test_the_parametrized_module_is_only_read():
    module = net(True)
    before = {n: t.clone() for n, t in module.state_dict().items()}
    initialize(module, WeightNormData(), seeded(1), batch=BATCH)
    assert all(torch.equal(t, before[n]) for n, t in module.state_dict().items())


def test_gains_that_are_none_are_refused():
    with pytest.raises(ValueError, match="gain must be a finite number ≥ 0, not -1"):
        WeightNorm(gain=-1)
    with pytest.raises(ValueError, match="gain must be a finite number, not inf"):
        FixedLength(gain=float("inf"))
