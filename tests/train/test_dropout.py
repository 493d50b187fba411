"""Masks come from each network's own generator, in whatever way networks are computed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from initlab import Network
from initlab.train import MeanSquaredError
from initlab.train.dropout import Drawn, masks, seeded
from initlab.train.ensemble import Batch, ModuleEnsemble
from initlab.train.functional import FunctionalEnsemble

RATE, R, B = 0.3, 3, 8


class Net(nn.Module):
    """Two dropouts, on tensors of different shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, 6), nn.Tanh(), nn.Dropout(RATE), nn.Linear(6, 5), nn.Dropout(RATE),
            nn.Linear(5, 1),
        )  # fmt: skip

    def forward(self, x):
        return self.layers(x)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def start(network: Network, count: int = R) -> dict[str, torch.Tensor]:
    built = [network.build(seed=r).state_dict() for r in range(count)]
    return {n: torch.stack([b[n] for b in built]) for n in built[0]}


def batch(size: int = B) -> Batch:
    return Batch(torch.randn(size, 4, generator=generator(1)), torch.zeros(size))


def test_a_mask_keeps_the_mean_and_the_share():
    n = 200_000
    mask = Drawn(generator())(torch.zeros(n), 1 - RATE)
    assert mask.unique().tolist() == pytest.approx([0.0, 1 / (1 - RATE)], rel=1e-4)
    error = (RATE * (1 - RATE) / n) ** 0.5
    assert abs(float((mask > 0).double().mean()) - (1 - RATE)) < 5 * error


@pytest.mark.parametrize("keep", [1e-9, 2**-16, 0.5, 0.9, 1 - 1e-9])
def test_what_is_kept_is_scaled_by_the_probability_that_it_was_drawn_with(keep):
    """Probabilities are rounded to a multiple of 2^-16: the mean stays one where any is kept."""
    mask = Drawn(generator())(torch.zeros(2**22), keep)
    share = float((mask > 0).double().mean())
    level = round(keep * 2**16) / 2**16
    assert abs(share - level) <= 5 * (level * (1 - level) / mask.numel()) ** 0.5
    if level:
        assert float(mask.max()) == pytest.approx(1 / level)


def test_nothing_is_kept_where_all_is_dropped():
    assert not Drawn(generator())(torch.ones(9), 0.0).any()


def test_masks_of_many_are_those_of_each():
    sizes = [(torch.Size((5, 2)), 0.5), (torch.Size((3,)), 0.9)]
    first, second = masks([generator(r) for r in range(R)], sizes, torch.zeros(()))
    for r in range(R):
        drawn = Drawn(generator(r))
        assert torch.equal(first[r], drawn(torch.empty(5, 2), 0.5))
        assert torch.equal(second[r], drawn(torch.empty(3), 0.9))


def test_evaluation_drops_nothing_and_a_copy_can_be_made():
    module = Net()
    assert seeded(module, Drawn(generator()))
    assert not seeded(nn.Linear(2, 2), Drawn(generator()))
    x = torch.randn(4, 4)
    assert torch.equal(module.eval()(x), module(x))
    assert not torch.equal(copy.deepcopy(module).train()(x), module(x))


def test_steps_are_the_same_in_both_forms_and_the_global_generator_stays():
    network, noise = Network(Net), [7, 8, 9]
    before = torch.get_rng_state()
    together = FunctionalEnsemble(network, start(network), noise)
    apart = ModuleEnsemble(network, start(network), noise, draws=False)
    seen = []
    for size in (B, B, B - 3, B):  # the last batch of an epoch is smaller
        losses, grads = together.gradients(batch(size), MeanSquaredError())
        expected, slopes = apart.gradients(batch(size), MeanSquaredError())
        assert torch.allclose(losses, expected, rtol=1e-5)
        for g, slope in zip(grads, slopes, strict=True):
            assert torch.allclose(g, slope, rtol=1e-4, atol=1e-7)
        seen.append(losses)
    assert not torch.allclose(seen[0], seen[1]), "masks are drawn anew at every step"
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("form", [ModuleEnsemble, FunctionalEnsemble])
def test_networks_that_go_on_keep_their_generators(form):
    network = Network(Net)
    ours, others = (form(network, start(network), [7, 8, 9]) for _ in range(2))
    for networks in (ours, others):
        networks.gradients(batch(), MeanSquaredError())
    ours.keep([2, 0])
    losses, _ = ours.gradients(batch(), MeanSquaredError())
    expected, _ = others.gradients(batch(), MeanSquaredError())
    assert torch.allclose(losses, expected[[2, 0]], rtol=1e-5)
