"""IDInit: layers copy their inputs, and branches start almost at zero."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch.func import functional_call

from initlab.init import Fans, initialize
from initlab.init.idinit import IDInit, PaddedIdentity
from initlab.models import MLP, ResidualMLP, ResNet18


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_by_hand():
    def drawn(*shape):
        return PaddedIdentity(2.0)(Fans(1, 1), shape, seeded()).tolist()

    assert drawn(2, 2) == [[2, 0], [0, 2]]
    assert drawn(3, 2) == [[2, 0], [0, 2], [2, 0]]  # no unit without an input
    assert drawn(2, 3) == [[2, 0, 0], [0, 2, 0]]
    assert drawn(3, 2, 1, 2) == [[[[2, 0]], [[0, 0]]], [[[0, 2]], [[0, 0]]], [[[0, 0]], [[2, 0]]]]


def test_entries_have_the_declared_mean_square_and_full_rank():
    for shape in [(7, 5), (5, 7), (6, 6), (8, 4, 3, 3)]:
        rule, fan_in = PaddedIdentity(1.5), torch.Size(shape[1:]).numel()
        w = rule(Fans(fan_in, 1), shape, seeded())
        assert float(w.square().mean()) == pytest.approx(rule.variance(Fans(fan_in, 1)))
        assert torch.linalg.matrix_rank(w.flatten(1)) == min(shape[0], fan_in)


def test_a_linear_network_of_one_width_is_the_identity():
    model = MLP((6, 6, 9), inputs=6, outputs=6, activation="linear")
    params = initialize(model.build(), IDInit(), seeded())
    x = torch.randn(4, 6, generator=seeded())
    assert torch.equal(functional_call(model.build(), params, (x,)), x)


def test_branches_start_almost_at_zero_and_alive():
    model = ResidualMLP(3, 8, matrices=2)
    module = model.build()
    params = initialize(module, IDInit(), seeded())
    x = torch.randn(4, 8, generator=seeded())
    torch.testing.assert_close(functional_call(module, params, (x,)), x + 3e-6 * x.relu())
    leaves = {n: p.requires_grad_() for n, p in params.items()}
    functional_call(module, leaves, (x,)).square().sum().backward()
    assert all(leaves[f"block{j}.linear{k}.weight"].grad.any() for j in (1, 2, 3) for k in (1, 2))


def test_convolutional_networks():
    model = ResNet18(width=4, input_shape=(3, 8, 8))
    one, two = (initialize(model.build(), IDInit(), seeded()) for _ in range(2))
    assert all(torch.equal(one[n], two[n]) for n in one)
    assert one["block2.conv2.weight"].max() == pytest.approx(1e-6)
    assert one["block2.conv1.weight"].max() == 1 and one["block3.shortcut.conv.weight"].max() == 1
    module = torchvision.models.resnet18()
    assert set(initialize(module, IDInit(), seeded())) == set(dict(module.named_parameters()))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="an identity needs two or more dimensions"):
        PaddedIdentity()(Fans(3, 3), (3,), seeded())
    with pytest.raises(ValueError, match="tau must be a finite number, not inf"):
        PaddedIdentity(float("inf"))
    with pytest.raises(ValueError, match="epsilon must be a finite number ≥ 0, not -1"):
        IDInit(epsilon=-1)
