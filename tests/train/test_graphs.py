"""Steps that are captured as a CUDA graph do what the same steps do without one."""

from __future__ import annotations

import pytest
import torch

from initlab.augment import Augment
from initlab.init import HeNormal, initialize
from initlab.models import MLP, ResNet9
from initlab.train import SGD, AdamW, Budget, Cosine, Curves, Muon, fit, graphs
from initlab.train.graphs import WARM_UP, Replayed
from tests.train.test_exact import assert_same, data

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def test_work_is_captured_once_for_each_shape_and_again_when_asked():
    total, done = torch.zeros(1, device="cuda"), []

    def work(x: torch.Tensor) -> torch.Tensor:
        done.append(x.shape)
        total.add_(x.sum())
        return 2 * x

    replayed = Replayed(work)
    for i in range(10):
        x = torch.full((4,), float(i), device="cuda")
        assert torch.equal(replayed(x), 2 * x)
    assert total.item() == 4 * sum(range(10))
    assert len(done) == WARM_UP + 1
    replayed(torch.ones(2, device="cuda"))
    assert done[-1] == (2,)
    replayed.forget()
    replayed(torch.ones(4, device="cuda"))
    assert len(done) == WARM_UP + 3


def test_work_that_cannot_be_captured_is_done_all_the_same():
    def work(x: torch.Tensor) -> torch.Tensor:
        return x * x.sum().item()  # asks the device, which a graph cannot

    replayed = Replayed(work)
    with pytest.warns(UserWarning, match="not captured"):
        for i in range(6):
            x = torch.full((3,), float(i), device="cuda")
            assert torch.equal(replayed(x), x * 3 * i)
    assert not replayed.capturable and not replayed.graphs
    assert torch.randn(3, device="cuda").isfinite().all(), "the generator is left in a capture"
    another = Replayed(lambda x: 2 * x)
    for i in range(6):
        x = torch.full((3,), float(i), device="cuda")
        assert torch.equal(another(x), 2 * x)
    assert another.graphs


@pytest.mark.parametrize(
    "model", [MLP((12, 9), inputs=64), ResNet9(2, (1, 8, 8))], ids=["MLP", "C"]
)
@pytest.mark.parametrize(
    "more",
    [
        dict(optimizer=[SGD(0.1 / 2**r, momentum=0.9) for r in range(3)], schedule=Cosine()),
        dict(optimizer=[AdamW(1e-3, weight_decay=0.1 * r) for r in range(3)]),
        dict(optimizer=[Muon(0.02 / 2**r, weight_decay=0.1 * r) for r in range(3)]),
        dict(optimizer=SGD(0.05), augment=Augment(crop=1, flip=True)),
        dict(optimizer=SGD(0.05), curves=Curves(("grad_norm", "train_loss"))),
        dict(optimizer=SGD(0.05), precision="bf16"),
    ],
    ids=["rates", "adamw", "muon", "augmented", "gradients", "bf16"],
)
def test_the_same_numbers_as_without_graphs(model, more, monkeypatch):
    rule, generator = HeNormal(), torch.Generator().manual_seed(3)
    start = initialize(model.build("meta"), rule, generator, count=3, device="cuda")

    def train():
        order = torch.Generator().manual_seed(5)
        budget = Budget(epochs=2, batch_size=48)  # the last batch of an epoch is smaller
        return fit(model, start, data("cuda"), budget=budget, order=order, **more)

    with_graphs = train()
    monkeypatch.setattr(graphs, "WARM_UP", 10**9)
    without = train()
    for one, other in zip(with_graphs, without, strict=True):
        assert_same(one.params, other.params, 1e-6)
        assert one.steps == other.steps and len(one.curves) == len(other.curves)


def test_networks_that_leave_do_not_disturb_the_others():
    model, generator = MLP((16,), inputs=64), torch.Generator().manual_seed(3)
    start = initialize(model.build("meta"), HeNormal(), generator, count=4, device="cuda")
    rates = [0.3, 0.1, 0.01, 0.001]
    budget = Budget(epochs=6, batch_size=40, target_test_accuracy=0.6, resolution=5.0)

    def ended(rows: list[int]):
        return fit(
            model,
            {name: t[rows] for name, t in start.items()},
            data("cuda"),
            optimizer=[SGD(rates[r]) for r in rows],
            budget=budget,
            order=torch.Generator().manual_seed(5),
        )

    together = ended([0, 1, 2, 3])
    assert len({outcome.steps for outcome in together}) > 1, "nobody left before the others"
    for r, outcome in enumerate(together):
        [alone] = ended([r])
        assert outcome.steps == alone.steps
        assert_same(outcome.params, alone.params)
