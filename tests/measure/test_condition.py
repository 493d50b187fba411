"""The state of a network in training, against cases worked out by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from initlab.data import Data
from initlab.init import HeNormal
from initlab.measure.condition import Condition, effective_rank
from initlab.models import MLP, ResNet18
from initlab.reinit import LayerWise, ShrinkPerturb, Stages
from initlab.spec import from_plain, to_plain
from initlab.sweep import Run, execute
from initlab.train import SGD, Budget


@settings(max_examples=20)
@given(n=st.integers(1, 8), scale=st.floats(1e-3, 1e3))
def test_equal_directions_count_one_each(n, scale):
    features = scale * torch.cat([torch.eye(n), -torch.eye(n)]) + 5.0
    assert effective_rank(features) == pytest.approx(n, rel=1e-4)


def test_one_direction_and_none():
    line = torch.arange(10.0).unsqueeze(1) * torch.tensor([[1.0, 2.0, 3.0]])
    assert effective_rank(line) == pytest.approx(1.0, abs=1e-5)
    assert effective_rank(torch.ones(5, 3)) == 0.0


def test_dead_units_rank_and_sharpness_of_a_network_by_hand():
    net = nn.Sequential()
    net.add_module("layer1", nn.Linear(2, 4, bias=True))
    net.add_module("act1", nn.ReLU())
    net.add_module("head", nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        net.layer1.weight.copy_(torch.tensor([[1.0, 0], [0, 1.0], [0, 0], [0, 0]]))
        net.layer1.bias.copy_(torch.tensor([3.0, 3.0, -1.0, 1.0]))
        net.head.weight.zero_()
    x = torch.tensor([[1.0, 0], [-1.0, 0], [0, 1.0], [0, -1.0]])
    y = torch.tensor([0, 1, 0, 1])
    params = {n: p.detach() for n, p in net.named_parameters()}
    found = Condition(products=50).values(net, params, x, y)
    assert found["dead"] == 0.25
    assert found["rank"] == pytest.approx(2.0, rel=1e-5)
    # With p = 1/2 the Hessian by the head's weights is ¼·[[1, −1], [−1, 1]] ⊗ E[h hᵀ], and its
    # blocks with the first layer, whose gradient is zero, are −E[(p − y) ⊗ ∂h].
    H = torch.autograd.functional.hessian(
        lambda v: nn.functional.cross_entropy(
            torch.func.functional_call(
                net,
                {
                    "layer1.weight": v[:8].view(4, 2),
                    "layer1.bias": v[8:12],
                    "head.weight": v[12:].view(2, 4),
                },
                x,
            ),
            y,
        ),
        torch.cat([p.flatten() for p in params.values()]),
    )
    assert found["sharpness"] == pytest.approx(float(torch.linalg.eigvalsh(H)[-1]), rel=1e-3)


@pytest.mark.parametrize("model", [MLP((12,), inputs=64), ResNet18(2, input_shape=(1, 8, 8))])
@pytest.mark.parametrize(
    "stages", [None, Stages(ShrinkPerturb(), 2), Stages(LayerWise(), 2)], ids=["plain", "sp", "lw"]
)
def test_a_watched_run_is_the_run(model, stages):
    """Looking changes nothing, and there is a look at the ends of stages."""
    run = Run(
        model,
        HeNormal(),
        data=Data("digits", train=96, test=50),
        optimizer=SGD(lr=0.05),
        budget=Budget(epochs=2, batch_size=32),
        stages=stages,
    )
    watched = Run(**{**vars(run), "observer": Condition(examples=64, products=3)})
    assert from_plain(to_plain(watched)) == watched
    [(_, _, _, plain)], [(_, _, _, seen)] = execute([run]), execute([watched])
    assert [r for r in seen if r[3] not in ("dead", "rank", "sharpness")] == plain
    steps = {r[2] for r in seen if r[3] == "sharpness"}
    assert {0, 1, 6} <= steps and (stages is None or 3 in steps)
    values = {name: [r[4] for r in seen if r[3] == name] for name in ("dead", "rank", "sharpness")}
    assert all(0 <= v <= 1 for v in values["dead"])
    assert all(v > 1 for v in values["rank"]) and all(v > 0 for v in values["sharpness"])


def test_what_cannot_be_asked():
    for fields, says in (
        ({"resolution": 0.0}, "resolution must be > 0"),
        ({"examples": 1}, "examples must be ≥ 2"),
        ({"products": 0}, "products ≥ 1"),
    ):
        with pytest.raises(ValueError, match=says):
            Condition(**fields)
