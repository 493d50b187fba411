"""How far networks are from their start, against what can be worked out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from initlab.measure.condition import features
from initlab.measure.departure import Departure, misalignment, relative_change
from initlab.measure.jacobian import ntk, random_directions
from initlab.models import MLP
from initlab.spec import from_plain, to_plain


def shown(model: MLP):
    """A module with its parameters, and what the observer is shown."""
    torch.manual_seed(0)
    module = model.build()
    start = {n: p.detach().clone() for n, p in module.named_parameters()}
    x = torch.randn(50, model.inputs)
    return module, start, x, lambda count, of: (module, x[:count], torch.zeros(count))


def told(model: MLP, now, **fields) -> dict[tuple[int, str], float]:
    module, start, _, show = shown(model)
    changed = now(start)
    module.load_state_dict(changed)
    seen = Departure(**fields).see(start, changed, True, show)
    return {(layer, name): value for layer, name, value in seen}


def test_one_factor_on_the_last_hidden_layer_turns_no_features():
    model = MLP((8, 8), inputs=5, outputs=3, bias=False)
    found = told(model, lambda p: p | {"layer2.weight": 3 * p["layer2.weight"]})
    assert found[2, "spectral"] == pytest.approx(2.0)
    assert found[1, "spectral"] == found[1, "rms"] == 0.0
    assert found[-1, "features"] == pytest.approx(2.0, rel=1e-5)
    assert found[-1, "features_turned"] == pytest.approx(0.0, abs=1e-6)
    assert found[-1, "kernel"] > 1 and found[-1, "kernel_turned"] > 1e-3


def test_a_network_at_its_start_has_not_departed():
    found = told(MLP((8, 8), inputs=5, outputs=3), dict, examples=7)
    assert len(found) == 3 * 2 + 4
    assert max(map(abs, found.values())) < 1e-6


def test_the_numbers_are_what_they_say():
    model, noise = MLP((6, 4), inputs=5, outputs=7), torch.Generator().manual_seed(1)

    def moved(params):
        return {n: p + 0.1 * torch.randn(p.shape, generator=noise) for n, p in params.items()}

    module, start, x, show = shown(model)
    now = moved(start)
    module.load_state_dict(now)
    seen = {(a, b): c for a, b, c in Departure(examples=20, kernel=9).see(start, now, True, show)}
    delta = (now["layer1.weight"] - start["layer1.weight"]).double().numpy()
    assert seen[1, "rms"] == pytest.approx(np.sqrt((delta**2).mean()))
    norm = np.linalg.norm(start["layer1.weight"].double().numpy(), 2)
    assert seen[1, "spectral"] == pytest.approx(np.linalg.norm(delta, 2) / norm)
    h = [features(module, p, x[:20]) for p in (start, now)]
    assert seen[-1, "features"] == pytest.approx(relative_change(*h))
    v = random_directions(7, 4, torch.Generator().manual_seed(0))
    kernels = [ntk(module, p, x[:9], directions=v) for p in (start, now)]
    assert seen[-1, "kernel"] == pytest.approx(relative_change(*kernels))
    assert seen[-1, "kernel_turned"] == pytest.approx(misalignment(*kernels))


def test_nothing_is_said_before_the_end_and_nothing_of_what_overflows():
    _, start, _, show = shown(MLP((4,), inputs=5, outputs=3))
    assert Departure().see(start, start, False, show) == []
    broken = start | {"layer1.weight": start["layer1.weight"] * torch.inf}
    found = {(a, b): c for a, b, c in Departure().see(start, broken, True, show)}
    assert np.isnan(found[1, "spectral"]) and np.isnan(found[-1, "features"])


def test_it_is_a_value_and_refuses_what_it_cannot():
    assert from_plain(to_plain(Departure(examples=8))) == Departure(examples=8)
    with pytest.raises(ValueError, match="must be positive, not 0, 16, 4 and 1000"):
        Departure(examples=0)
