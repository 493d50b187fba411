"""A recorded step is the module's own, and what cannot be recorded is refused."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initlab import Network
from initlab.train import CrossEntropy, choose, traced
from initlab.train.ensemble import Batch, ModuleEnsemble
from initlab.train.functional import FunctionalEnsemble
from initlab.train.traced import TracedEnsemble


class Varied(nn.Module):
    """Products of every shape, a constant, an in-place operation, statistics of batches, a tied and
    a frozen parameter, one that is not used.
    """

    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.wide = nn.Linear(16, 64), nn.Linear(64, 256)
        self.back = nn.Linear(256, 64, bias=False)
        self.norm = nn.BatchNorm1d(64)
        self.kernel = nn.Conv1d(1, 2, 3)
        self.head = nn.Linear(64, 3)
        self.tied, self.unused = self.back, nn.Linear(2, 2)
        self.narrow.bias.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = F.relu(self.narrow(x))
        h = self.norm(self.back(torch.tanh(self.wide(h))))
        h += torch.tensor([0.5])
        h = h.masked_fill(h > 3, float("-inf")).exp() + self.tied(self.wide(h))
        return self.head(h) + self.kernel(h.unsqueeze(1)).mean((1, 2)).unsqueeze(1)


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.drop, self.head = nn.Linear(16, 8), nn.Dropout(0.3), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(F.relu(self.first(x))))


def started(factory, count=3):
    network = Network(factory)
    built = [network.build(seed=r) for r in range(count)]
    states = [dict(m.named_parameters()) | dict(m.named_buffers()) for m in built]
    return network, {n: torch.stack([s[n].detach() for s in states]) for n in states[0]}


def batch(B=64, own=0):
    generator = torch.Generator().manual_seed(2)
    shape = (own, B) if own else (B,)
    x = torch.randn(*shape, 16, generator=generator)
    return Batch(x, torch.randint(3, shape, generator=generator), bool(own), bool(own))


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("own", [False, True])
def test_steps_are_those_of_the_modules(own, onednn, monkeypatch):
    monkeypatch.setattr(traced, "_PROGRAMS", {})
    monkeypatch.setattr(traced, "LARGE", 1)
    if not onednn:
        monkeypatch.setattr(traced, "has_onednn", lambda: False)
    network, params = started(Varied)
    apart, found = ModuleEnsemble(network, params), TracedEnsemble(network, params)
    for B in (64, 64, 17):  # an epoch's last batch is smaller
        given = batch(B, 3 if own else 0)
        for ensemble in (apart, found):
            ensemble.given = ensemble.gradients(given, CrossEntropy())
        torch.testing.assert_close(found.given, apart.given, rtol=1e-4, atol=1e-5)
    assert len(traced._PROGRAMS) == 2
    theirs = apart.params()
    for name, t in found.params().items():
        torch.testing.assert_close(t, theirs[name], rtol=1e-4, atol=1e-6)
    x = batch().x
    torch.testing.assert_close(found.predict(x), apart.predict(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.predict(x, [2]), apart.predict(x, [2]), rtol=1e-4, atol=1e-5)


def test_networks_that_stay_are_their_own_when_others_have_ended():
    network, params = started(Varied)
    kept, alone = (
        TracedEnsemble(network, params),
        TracedEnsemble(network, {n: t[[2, 0]] for n, t in params.items()}),
    )
    kept.keep([2, 0])
    a, b = (e.gradients(batch(), CrossEntropy()) for e in (kept, alone))
    torch.testing.assert_close(a, b, rtol=0, atol=0)
    for g in kept.theta:
        g.add_(1)  # a step of an optimizer is seen by the next
    assert not torch.equal(kept.gradients(batch(), CrossEntropy())[0], a[0])


def test_masks_are_those_that_networks_computed_as_one_draw():
    network, params = started(Masked)
    found, as_one = (e(network, params, [5, 6, 7]) for e in (TracedEnsemble, FunctionalEnsemble))
    found.predict(batch().x)  # not in training
    for _ in range(2):
        a, b = (e.gradients(batch(), CrossEntropy()) for e in (found, as_one))
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


class Counting(nn.Module):
    """Changes something of its own in `change`."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.steps, self.seen, self.kept = nn.Linear(16, 3), 0, [], {}
        self.last = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.change(x)
        return self.layer(x)

    def change(self, x: torch.Tensor) -> None:
        raise NotImplementedError


class CountsSteps(Counting):
    def change(self, x):
        self.steps += 1


class KeepsInList(Counting):
    def change(self, x):
        self.seen.append(x)


class KeepsInMapping(Counting):
    def change(self, x):
        self.kept[len(self.kept)] = 1


class KeepsTensor(Counting):
    def change(self, x):
        self.last = x * 2


class DrawsFromPython(Counting):
    def change(self, x):
        random.random()


class LooksAtNumbers(Counting):
    def change(self, x):
        if x.sum() > 0:
            x.add_(1)


class TakesTensorsApart(Counting):
    """Computes outside of torch: recorded, its numbers would be those of the first batch."""

    def forward(self, x):
        return self.layer(x) * torch.from_numpy(np.sign(x.detach().numpy().mean(1, keepdims=True)))


@pytest.mark.parametrize(
    "factory", [CountsSteps, KeepsInList, KeepsInMapping, KeepsTensor, DrawsFromPython]
)
def test_a_module_that_changes_itself_is_refused_by_name(factory):
    network, params = started(factory)
    with pytest.raises(ValueError, match=f"{factory.__name__} changes its attributes, or draws"):
        TracedEnsemble(network, params).gradients(batch(), CrossEntropy())


def test_a_module_that_looks_at_numbers_cannot_be_recorded():
    network, params = started(LooksAtNumbers)
    with pytest.raises(RuntimeError):
        TracedEnsemble(network, params).gradients(batch(), CrossEntropy())


@pytest.mark.parametrize(
    ("factory", "recorded"),
    [
        (Varied, True),
        (CountsSteps, False),
        (LooksAtNumbers, False),
        (TakesTensorsApart, False),
    ],
)
def test_what_is_chosen_gives_the_modules_own_numbers(factory, recorded, monkeypatch, tmp_path):
    monkeypatch.setattr(choose, "_folder", lambda: tmp_path)
    monkeypatch.setattr(choose, "_FOUND", {})
    # However long it takes.
    monkeypatch.setattr(choose, "_times", lambda ways, _: dict.fromkeys(ways, 1.0))
    network, params = started(factory)
    chosen = choose.ensemble(network, params, batch=batch(), loss=CrossEntropy())
    assert isinstance(chosen, TracedEnsemble) == recorded
    other = Batch(-batch().x, batch().y)
    expected = ModuleEnsemble(network, params).gradients(other, CrossEntropy())
    found = chosen.gradients(other, CrossEntropy())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
