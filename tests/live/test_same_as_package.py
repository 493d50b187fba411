"""What is exported is what the package does: its engine's training and its rules' variances."""

from __future__ import annotations

import pytest
import torch

from initlab.data import DataSet, Split
from initlab.init import RULES, Fans, Orthogonal
from initlab.live import initializers, network
from initlab.live.prng import erfinv, normals, uniforms
from initlab.live.samples import samples
from initlab.models import MLP
from initlab.train import SGD, Adam, AdamW, Budget, Curves, fit
from tests.live.conftest import blank, eager

DEPTH, WIDTH, BATCH, COUNT = 4, 16, 32, 640
KINDS = {"sgd": SGD(0.02, 0.9, weight_decay=0.01), "adam": Adam(0.001), "adamw": AdamW(0.001)}


def stacked(params):
    """The six parameters by the package's names."""
    W1, b1, W, b, Wo, bo = params
    named = {"layer1.weight": W1, "layer1.bias": b1}
    for j in range(len(W)):
        named |= {f"layer{j + 2}.weight": W[j], f"layer{j + 2}.bias": b[j]}
    return named | {"head.weight": Wo, "head.bias": bo}


@pytest.mark.parametrize("phi", network.ACTIVATIONS)
@pytest.mark.parametrize("name", KINDS)
def test_training_is_that_of_fit(name, phi):
    """Two epochs in the engine's order of samples, to the same weights."""
    found, R = samples("digits"), 2
    x, y = found.inputs()[:COUNT], found.targets()[:COUNT]
    optimizer = KINDS[name]
    like = network.zeros(R, DEPTH, WIDTH, 64)
    params = initializers.initialize(
        "lecun_normal", like, torch.arange(R), torch.ones(R), torch.tensor(1.2)
    )
    split = Split(x, y.argmax(1))
    outcomes = fit(
        MLP.constant(DEPTH, WIDTH, inputs=64, activation=phi),
        stacked(params),
        DataSet("digits", split, split, 10),
        optimizer=optimizer,
        budget=Budget(epochs=2, batch_size=BATCH),
        order=torch.Generator().manual_seed(5),
        curves=Curves(("train_loss",)),
    )
    order, state = torch.Generator().manual_seed(5), [*params, *blank(name, params)]
    lr, decay = (torch.full((R,), getattr(optimizer, f)) for f in ("lr", "weight_decay"))
    for _ in range(2):
        shuffled = torch.randperm(COUNT, generator=order)
        for rows in shuffled.split(BATCH):
            if name == "sgd":
                numbers = lr, torch.full((R,), optimizer.momentum), decay
            else:
                shared = (optimizer.beta1, optimizer.beta2, optimizer.eps)
                numbers = lr, *map(torch.tensor, shared), decay
            state, _ = eager(name, phi, False, state, x[rows], y[rows].expand(R, -1, -1), *numbers)
    ours = stacked(state[:6])
    # Far more than the tolerance below: weights that had hardly moved would show nothing.
    for key, first in stacked(params).items():
        assert float((ours[key] - first).abs().max()) > 0.01, f"{key} has not moved"
    for r, outcome in enumerate(outcomes):
        for key, theirs in outcome.params.items():
            torch.testing.assert_close(ours[key][r], theirs, rtol=2e-3, atol=2e-4)


def test_normalized_networks_are_those_of_torch():
    """Against `nn.BatchNorm1d` without weights, which the engine's own models have."""
    R, phi = 2, "tanh"
    params = initializers.initialize(
        "lecun_normal", network.zeros(R, DEPTH, WIDTH, 64), torch.arange(R), torch.ones(R),
        torch.tensor(1.0),
    )  # fmt: skip
    x, y = samples("digits").inputs()[:BATCH], samples("digits").targets()[:BATCH]
    *grads, losses, _, lengths, _ = network.gradients(params, x, y.expand(R, -1, -1), phi, True)
    for r in range(R):
        model = MLP.constant(DEPTH, WIDTH, inputs=64, activation=phi, norm="batch").build()
        own = {name: t[r] for name, t in stacked(params).items()}
        model.load_state_dict(own, strict=False)
        loss = torch.nn.functional.cross_entropy(model(x), y.argmax(1))
        loss.backward()
        torch.testing.assert_close(losses[r], loss.detach())
        named = stacked(grads)
        for name, p in model.named_parameters():
            if name.endswith("weight") and "norm" not in name:
                torch.testing.assert_close(named[name][r], p.grad, rtol=1e-3, atol=1e-6)
    assert lengths.shape == (DEPTH, R)


@pytest.mark.parametrize("name", initializers.NAMES)
def test_variances_are_those_that_the_rules_declare(name):
    rule, R, width, depth = RULES[name], 8, 64, 4
    like = network.zeros(R, depth, width, 100)
    gain = torch.tensor(initializers.factor(name, "relu"))
    drawn = initializers.initialize(
        initializers.drawn(name), like, torch.arange(R), torch.full((R,), 1.5), gain
    )
    for t in drawn[::2]:
        fans = Fans(t.shape[-1], t.shape[-2])
        declared = rule.variance(fans) * 1.5**2
        if isinstance(rule, Orthogonal):
            declared *= float(gain) ** 2
            # Every one is an isometry: the mean square of its entries is exact.
            assert float(t.square().mean()) == pytest.approx(declared, rel=1e-4)
            continue
        squares = t.double().square()
        error = float(squares.std()) / t.numel() ** 0.5
        assert abs(float(squares.mean()) - declared) < 4.5 * error
        assert abs(float(t.double().mean())) < 4.5 * float(t.std()) / t.numel() ** 0.5


@pytest.mark.parametrize("shape", [(2, 16, 64), (3, 2, 64, 64), (2, 10, 64), (2, 100, 64)], ids=str)
def test_orthogonal_matrices_are_orthogonal(shape):
    z = normals(torch.arange(shape[0]), 0, int(torch.tensor(shape[1:]).prod())).view(shape)
    q = initializers.orthogonal(z)
    product = q @ q.mT if shape[-2] <= shape[-1] else q.mT @ q
    assert float((product - torch.eye(product.shape[-1])).abs().max()) < 2e-5


def test_counted_numbers_look_random():
    from scipy import stats

    a, b = normals(torch.tensor([1, 2]), 0, 50_000).double()
    other = normals(torch.tensor([1]), 2, 50_000)[0].double()
    assert stats.kstest(a.numpy(), "norm").pvalue > 0.001
    assert (
        stats.kstest(uniforms(torch.tensor([1]), 0, 50_000)[1][0].numpy(), "uniform").pvalue > 1e-3
    )
    for first, second in ((a, b), (a, other), (a[1:], a[:-1]), (a.square()[1:], a.square()[:-1])):
        r = float(torch.corrcoef(torch.stack([first, second]))[0, 1])
        assert abs(r) < 4 / len(first) ** 0.5


def test_a_seed_does_not_depend_on_its_neighbours_or_the_depth():
    alone = initializers.initialize(
        "lecun_normal", network.zeros(1, 4, 8, 64), torch.tensor([9]),
        torch.ones(1), torch.tensor(1.0),
    )  # fmt: skip
    among = initializers.initialize(
        "lecun_normal", network.zeros(3, 6, 8, 64), torch.tensor([4, 9, 5]), torch.ones(3),
        torch.tensor(1.0),
    )  # fmt: skip
    torch.testing.assert_close(among[2][:3, 1], alone[2][:, 0], rtol=0, atol=0)
    torch.testing.assert_close(among[0][1], alone[0][0], rtol=0, atol=0)


def test_erfinv_is_that_of_torch():
    x = torch.linspace(-0.9999, 0.9999, 20_001)
    torch.testing.assert_close(erfinv(x), torch.erfinv(x), rtol=2e-6, atol=1e-6)
