"""In whatever form a user's networks are computed, they are the same networks."""

from __future__ import annotations

import importlib

import pytest
import torch
from torch import nn

from initlab import Network, Tensors
from initlab.train import SGD, Budget, CrossEntropy, choose, fit
from initlab.train.choose import Form, Way
from initlab.train.ensemble import Batch

fitting = importlib.import_module("initlab.train.fit")


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))


def drawing() -> nn.Module:
    """Draws from PyTorch's global generator."""
    return nn.Sequential(nn.Linear(5, 7), nn.AlphaDropout(0.2), nn.Linear(7, 3))


def start(network: Network, count: int) -> dict[str, torch.Tensor]:
    built = [network.build(seed=r).state_dict() for r in range(count)]
    return {n: torch.stack([b[n] for b in built]) for n in built[0]}


def learned(form: Form | None, factory=net, R: int = 5) -> list[torch.Tensor]:
    """Parameters after two epochs on two threads, in a form, or in that which is found."""
    noise = torch.Generator().manual_seed(3)
    data = Tensors(train=(torch.randn(40, 5, generator=noise), torch.arange(40) % 3))
    network, threads = Network(factory), torch.get_num_threads()
    params = start(network, R)
    with pytest.MonkeyPatch.context() as patch:
        if form is not None:
            for module in (choose, fitting):
                patch.setattr(module, "found", lambda *a: form)
        try:
            torch.set_num_threads(2)
            ended = fit(
                network,
                params,
                data,
                optimizer=SGD(0.1, 0.9),
                budget=Budget(epochs=2, batch_size=8),
            )
        finally:
            torch.set_num_threads(threads)
    return [torch.stack([o.params[n] for o in ended]) for n in ended[0].params]


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("way", Way)
def test_a_form_does_not_change_what_is_learned(way, joint, monkeypatch):
    shared = []
    monkeypatch.setattr(
        fitting, "in_threads", lambda work, cuts: shared.append(cuts) or [work(c) for c in cuts]
    )
    expected = learned(Form(False, Way.APART, 1.0))
    shared.clear()
    found = learned(Form(False, way, 2.0, joint))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert shared == ([] if joint else [[range(2), range(2, 5)]])


@pytest.mark.parametrize("factory", [net, drawing])
def test_what_is_found_is_one_of_them(factory):
    for a, b in zip(
        learned(None, factory), learned(Form(True, Way.APART, 1.0), factory), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_what_draws_is_computed_apart_and_known_by_the_number_of_threads(monkeypatch, tmp_path):
    monkeypatch.setattr(choose, "_folder", lambda: tmp_path)  # nothing is known of it yet
    monkeypatch.setattr(choose, "_FOUND", {})
    network = Network(drawing)
    params = start(network, 3)
    batch = Batch(torch.randn(8, 5), torch.arange(8) % 3)
    form = choose.found(network, params, batch, CrossEntropy())
    assert form.draws and form.way is Way.APART and not form.joint
    monkeypatch.setattr(choose, "_joint", lambda *a: True)
    assert choose.found(network, params, batch, CrossEntropy(), threads=2).joint
    assert not choose.found(network, params, batch, CrossEntropy()).joint
