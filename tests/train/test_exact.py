"""A run gives the same numbers alone, in any group, and as an ordinary module in a torch loop."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from initlab.augment import Augment
from initlab.data import Data, DataSet, Split, load
from initlab.init import HeNormal, stacked
from initlab.models import MLP, ConvNet, ResidualMLP, ResNet9
from initlab.train import (
    SGD,
    Adam,
    AdamW,
    Budget,
    ClippedCrossEntropy,
    Cosine,
    CrossEntropy,
    Curves,
    fit,
)
from initlab.train.batches import Batches
from initlab.train.ensemble import Batch, StackedEnsemble
from initlab.train.fused import FusedMLP

MODELS = {
    "mlp": MLP((12, 9), inputs=64, activation="tanh"),
    "relu": MLP((16, 8), inputs=64),
    "residual": ResidualMLP(2, 6, inputs=64, outputs=10),
    "conv": ConvNet((3, 4), input_shape=(1, 8, 8), outputs=10),
    "resnet": ResNet9(width=2, input_shape=(1, 8, 8)),
    "resnet without normalization": ResNet9(width=2, input_shape=(1, 8, 8), norm="none"),
}
OPTIMIZERS = {
    "sgd": (SGD(0.02), lambda p: torch.optim.SGD(p, 0.02)),
    "momentum": (
        SGD(0.01, momentum=0.9, weight_decay=1e-3),
        lambda p: torch.optim.SGD(p, 0.01, 0.9, weight_decay=1e-3),
    ),
    "adamw": (AdamW(1e-3), lambda p: torch.optim.AdamW(p, 1e-3)),
}
SAMPLES, BATCH, EPOCHS = 400, 40, 10  # 100 steps


def batch_of(x: torch.Tensor, y: torch.Tensor) -> Batch:
    """Vectors and their targets, of all networks alike or with a first axis of networks."""
    return Batch(x, y, x.dim() == 3, y.dim() == (3 if y.is_floating_point() else 2))


def data(device: str = "cpu") -> DataSet:
    return load(Data("digits", train=SAMPLES, test=100), device)


def starts(model, count: int, device: str = "cpu") -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return stacked(model.build("meta"), HeNormal(), generator, count, device=device)


def orders(count: int, own: bool) -> list[torch.Generator]:
    if not own:
        return [torch.Generator().manual_seed(5)] * count
    return [torch.Generator().manual_seed(5 + r) for r in range(count)]


def train(model, params, optimizer, own=False, epochs=EPOCHS, device="cpu", **more):
    R = len(next(iter(params.values())))
    budget = more.pop("budget", Budget(epochs=epochs, batch_size=BATCH))
    order = more.pop("order", orders(R, own))
    return fit(model, params, data(device), optimizer=optimizer, budget=budget, order=order, **more)


def by_torch(model, start, make, generator, epochs=EPOCHS, loss=F.cross_entropy, device="cpu"):
    """An ordinary loop: the module after it."""
    module = model.build(device)
    module.load_state_dict(start, strict=False)
    optimizer, here = make(module.parameters()), data(device)
    x = here.train.x.reshape(SAMPLES, *model.input_shape)
    for _ in range(epochs):
        for chosen in torch.randperm(SAMPLES, generator=generator).to(device).split(BATCH):
            optimizer.zero_grad()
            loss(module(x[chosen]), here.train.y[chosen]).backward()
            optimizer.step()
    return module


def nudged(start: dict, seed: int) -> dict:
    """The same network up to the last digit of its numbers."""
    generator = torch.Generator().manual_seed(seed)

    def digit(value):
        return 1e-7 * torch.randn(value.shape, generator=generator).to(value.device)

    return {k: v * (1 + digit(v)) for k, v in start.items()}


def assert_same(found: dict, expected: dict, relative: float = 1e-5, near=None) -> None:
    """Every tensor to `relative` of the length of its layer: biases start at zero.

    Or to twice the distance to the farthest of what lies `near`, a function that gives the ends
    from starts up to rounding: where it carries a sample across a kink, it grows.
    """
    layers: dict[str, float] = {}
    for name, value in expected.items():
        if value.is_floating_point():
            layer = name.rpartition(".")[0]
            layers[layer] = (layers.get(layer, 0.0) ** 2 + value.norm().item() ** 2) ** 0.5
    for name, value in expected.items():
        if value.is_floating_point():
            scale = layers[name.rpartition(".")[0]]
            away = (found[name] - value).norm()
            if away > relative * scale + 1e-7:
                assert near is not None, (name, away / scale)
                assert away <= 2 * max((end[name] - value).norm() for end in near()), name


@pytest.mark.parametrize("own", [False, True], ids=["shared order", "own order"])
@pytest.mark.parametrize("how", OPTIMIZERS)
@pytest.mark.parametrize("name", MODELS)
def test_a_group_trains_as_modules_do(name, how, own, device):
    model, (optimizer, make) = MODELS[name], OPTIMIZERS[how]
    epochs = 1 if "resnet" in name else EPOCHS
    params = starts(model, 3, device)
    before = {k: v.clone() for k, v in params.items()}
    ended = train(model, params, optimizer, own, epochs, device)
    assert all(torch.equal(params[k], v) for k, v in before.items()), "the start was changed"
    for r, outcome in enumerate(ended):
        alone = {k: v[r] for k, v in params.items()}
        assert outcome.steps == epochs * SAMPLES // BATCH

        def end(start, generator):
            return by_torch(model, start, make, generator, epochs, device=device).state_dict()

        expected = end(alone, orders(3, own)[r])
        if "resnet" in name:

            def near(r=r, alone=alone, end=end):
                return [end(nudged(alone, i), orders(3, own)[r]) for i in range(8)]

            # A GPU's convolutions round more.
            assert_same(outcome.params, expected, 1e-4 if device == "cpu" else 3e-3, near)
        else:
            assert_same(outcome.params, expected)


@pytest.mark.parametrize("name", ["relu", "residual", "conv", "resnet"])
def test_bf16_rounds_products_and_hardly_more(name, device):
    params = starts(MODELS[name], 2, device)
    full, rounded = (
        train(MODELS[name], params, SGD(0.02), epochs=1, device=device, precision=precision)
        for precision in ("float32", "bf16")
    )
    for r, (one, other) in enumerate(zip(full, rounded, strict=True)):
        moved = away = 0.0
        for parameter, start in params.items():
            moved += float((one.params[parameter] - start[r]).square().sum())
            away += float((one.params[parameter] - other.params[parameter]).square().sum())
        assert 1e-4 < (away / moved) ** 0.5 < 0.3


def clipped(logits: torch.Tensor, classes: torch.Tensor, eps: float = 1e-7) -> torch.Tensor:
    """As Keras writes it: probabilities are scaled to sum to one, clipped, and their log taken."""
    p = logits.softmax(-1)
    p = p / p.sum(-1, keepdim=True)
    return F.nll_loss(p.clamp(eps, 1 - eps).log(), classes)


@pytest.mark.parametrize("factor", [1.0, 4.0, 12.0])
@pytest.mark.parametrize("name", ["mlp", "relu"])
def test_the_written_gradient_of_the_clipped_loss(name, factor):
    """From starts so large that the clip acts on no sample, on some, or on nearly all."""
    model, here = MODELS[name], data()
    params = {k: factor * v for k, v in starts(model, 3).items()}
    x, y = here.train.x.flatten(1), here.train.y
    losses, grads = FusedMLP(model, params).gradients(batch_of(x, y), ClippedCrossEntropy())
    by_graph, expected = StackedEnsemble(model, params).gradients(
        batch_of(x, y), ClippedCrossEntropy()
    )
    torch.testing.assert_close(losses, by_graph)
    # Two ways to the same logits differ by rounding, which can carry a sample across the bound.
    for one, other in zip(grads, expected, strict=True):
        assert (one - other).norm() <= 1e-3 * other.norm() + 1e-6
    for r in range(3):
        module = model.build()
        module.load_state_dict({k: v[r] for k, v in params.items()}, strict=False)
        loss = clipped(module(x), y)
        loss.backward()
        torch.testing.assert_close(losses[r], loss.detach())
        for one, parameter in zip(grads, module.parameters(), strict=True):
            assert (one[r] - parameter.grad).norm() <= 1e-3 * parameter.grad.norm() + 1e-6
    p = model.forward(params, x).softmax(-1).gather(-1, y.expand(3, -1).unsqueeze(-1))
    share = float(((p < 1e-7) | (p > 1 - 1e-7)).double().mean())
    assert share == 0 if factor == 1 else 0 < share < 1


def test_networks_train_on_the_clipped_loss_as_modules_do(device):
    params = {k: 2.0 * v for k, v in starts(MODELS["mlp"], 2, device).items()}
    ended = train(MODELS["mlp"], params, SGD(0.02), loss=ClippedCrossEntropy(), device=device)
    for r, outcome in enumerate(ended):
        module = by_torch(
            MODELS["mlp"],
            {k: v[r] for k, v in params.items()},
            OPTIMIZERS["sgd"][1],
            orders(2, False)[r],
            loss=clipped,
            device=device,
        )
        assert_same(outcome.params, module.state_dict())


# Smooth, for where rounding carries a unit over the kink of a ReLU the difference grows from there.
SMOOTH = {
    name: dataclasses.replace(MODELS[name], activation="tanh")
    for name in ("mlp", "residual", "conv")
}


@settings(max_examples=12)
@given(
    name=st.sampled_from(sorted(SMOOTH)),
    how=st.sampled_from(sorted(OPTIMIZERS)),
    size=st.integers(2, 9),
    own=st.booleans(),
)
def test_alone_and_in_any_group(name, how, size, own):
    model, optimizer = SMOOTH[name], OPTIMIZERS[how][0]
    params = starts(model, size)
    together = train(model, params, optimizer, own)
    row = size // 2
    [alone] = train(
        model,
        {k: v[row : row + 1] for k, v in params.items()},
        optimizer,
        order=orders(size, own)[row : row + 1],
    )
    assert_same(together[row].params, alone.params)
    again = train(model, params, optimizer, own)
    assert all(
        torch.equal(a.params[k], b.params[k])
        for a, b in zip(together, again, strict=True)
        for k in a.params
    )


def test_threads_change_nothing_but_rounding(untouched_random_state):
    model, params, threads = MODELS["relu"], starts(MODELS["relu"], 5), torch.get_num_threads()
    ended = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            ended.append(train(model, params, SGD(0.02)))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*ended, strict=True):
        assert_same(one.params, two.params)


def test_every_network_has_its_own_rates():
    model = MODELS["mlp"]
    rates = [Adam(1e-3), Adam(3e-3, beta1=0.8), Adam(1e-2, weight_decay=0.1)]
    params = starts(model, 3)
    together = train(model, params, rates)
    for r, optimizer in enumerate(rates):
        alone = train(model, {k: v[r : r + 1] for k, v in params.items()}, optimizer)
        assert_same(together[r].params, alone[0].params)


def test_a_network_that_leaves_changes_no_other():
    model, params = MODELS["relu"], starts(MODELS["relu"], 4)
    rates = [SGD(0.02), SGD(1e30), SGD(0.02), SGD(0.05)]
    together = train(model, params, rates, own=True)
    assert [o.diverged for o in together] == [False, True, False, False]
    for r in (0, 2, 3):
        [alone] = train(
            model,
            {k: v[r : r + 1] for k, v in params.items()},
            rates[r],
            order=[orders(4, True)[r]],
        )
        assert_same(together[r].params, alone.params)


def test_own_labels_soft_targets_and_smoothing():
    model, params, here = MODELS["mlp"], starts(MODELS["mlp"], 2), data()
    wrong = (here.train.y + 1) % 10
    labels = torch.stack([here.train.y, wrong])
    hard = train(model, params, SGD(0.05), targets=labels)
    soft = train(model, params, SGD(0.05), targets=F.one_hot(labels, 10).float())
    for a, b in zip(hard, soft, strict=True):
        assert_same(a.params, b.params)
    [other] = train(
        model,
        {k: v[1:] for k, v in params.items()},
        SGD(0.05),
        targets=wrong,
        order=orders(1, False),
    )
    assert_same(hard[1].params, other.params)
    smooth = train(model, params, SGD(0.05), loss=CrossEntropy(smoothing=0.1))
    module = by_torch(
        model,
        {k: v[0] for k, v in params.items()},
        lambda p: torch.optim.SGD(p, 0.05),
        orders(1, False)[0],
        loss=lambda z, y: F.cross_entropy(z, y, label_smoothing=0.1),
    )
    assert_same(smooth[0].params, module.state_dict())


def test_curves_are_what_a_network_measures_by_hand():
    model, params = MODELS["mlp"], starts(MODELS["mlp"], 2)
    statistics = ("train_loss", "test_accuracy", "norm", "distance", "grad_norm")
    ended = train(model, params, SGD(0.05), epochs=3, curves=Curves(statistics, resolution=1.0))
    here = data()
    for r, outcome in enumerate(ended):
        values = {(step, name): value for step, name, value in outcome.curves}
        looked = {1, 2, 4, 8, 16, 30}
        assert {step for step, name in values if name != "grad_norm"} == {0, *looked}
        assert {step for step, name in values if name == "grad_norm"} == looked
        # The first step of SGD is the gradient times the rate.
        assert values[1, "grad_norm"] == pytest.approx(values[1, "distance"] / 0.05, rel=1e-4)
        final = {k: v.unsqueeze(0) for k, v in outcome.params.items()}
        logits = model.forward(final, here.train.x.flatten(1))[0]
        assert values[30, "train_loss"] == pytest.approx(
            float(F.cross_entropy(logits, here.train.y)), rel=1e-5
        )
        guess = model.forward(final, here.test.x.flatten(1))[0].argmax(-1)
        assert values[30, "test_accuracy"] == pytest.approx(
            float((guess == here.test.y).float().mean())
        )
        flat = torch.cat([v.flatten() for v in outcome.params.values()])
        begin = torch.cat([params[k][r].flatten() for k in outcome.params])
        assert values[30, "norm"] == pytest.approx(float(flat.norm()), rel=1e-5)
        assert values[30, "distance"] == pytest.approx(float((flat - begin).norm()), rel=1e-5)
        assert values[0, "distance"] == 0


def test_schedules_and_augmentation_reach_every_network():
    model, params = MODELS["conv"], starts(MODELS["conv"], 2)
    augment = Augment(crop=1, flip=True, cutout=2)
    together = train(model, params, SGD(0.05), augment=augment, schedule=Cosine(), epochs=2)
    [alone] = train(
        model,
        {k: v[1:] for k, v in params.items()},
        SGD(0.05),
        augment=augment,
        schedule=Cosine(),
        epochs=2,
        order=orders(1, False),
    )
    assert_same(together[1].params, alone.params)
    plain = train(model, params, SGD(0.05), epochs=2)
    assert not torch.allclose(plain[1].params["layer1.weight"], alone.params["layer1.weight"])


def test_interpolation_and_patience_end_runs():
    model, params = MODELS["relu"], starts(MODELS["relu"], 3)
    few = Budget(epochs=400, batch_size=BATCH, target_train_accuracy=1.0)
    small = DataSet("few", *(Split(s.x[:60], s.y[:60]) for s in (data().train, data().test)), 10)
    ended = fit(model, params, small, optimizer=SGD(0.2), budget=few, order=orders(3, False))
    for outcome in ended:
        assert outcome.reached and outcome.epochs < 400
        final = {k: v.unsqueeze(0) for k, v in outcome.params.items()}
        assert (model.forward(final, small.train.x.flatten(1))[0].argmax(-1) == small.train.y).all()
    still = Budget(epochs=50, batch_size=BATCH, patience=3)
    [stuck] = fit(
        model,
        {k: torch.zeros_like(v[:1]) for k, v in params.items()},
        DataSet("same", Split(small.train.x * 0, small.train.y * 0), small.test, 10),
        optimizer=SGD(1e-12),
        budget=still,
        order=orders(1, False),
    )
    assert not stuck.reached and stuck.steps <= 5 * 2


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"optimizer": [SGD()] * 2}, "2 values of optimizer were given for 3 networks"),
        ({"order": [torch.Generator()] * 4}, "4 values of order were given for 3 networks"),
        ({"precision": "float8"}, "unknown precision 'float8'; known: float32, tf32, bf16"),
        ({"targets": torch.zeros(3, 5, dtype=torch.int64)}, "targets must have shape (400,) or"),
        ({"optimizer": [SGD(), SGD(), Adam()]}, "different kinds cannot step as one"),
    ],
)
def test_what_does_not_fit_is_refused(more, says):
    given = {"optimizer": SGD(), "order": torch.Generator(), **more}
    with pytest.raises(ValueError) as error:
        fit(MODELS["mlp"], starts(MODELS["mlp"], 3), data(), budget=Budget(epochs=1), **given)
    assert says in str(error.value)


@pytest.mark.parametrize("seeds", [(1, 1), (1, 2)])
def test_vectors_are_augmented_as_the_images_that_they_were(seeds):
    augment, samples = Augment(crop=2, cutout=3), load(Data("digits", train=50, test=10)).train

    def second_batch(split):
        drawn = {s: torch.Generator().manual_seed(s) for s in seeds}
        batches = Batches(split, 20, [drawn[s] for s in seeds], augment, (1, 8, 8))
        batches.shuffle()
        return batches.batch(1).x, split.x[batches.chosen(1)]

    images, plain = second_batch(samples)
    vectors, _ = second_batch(Split(samples.x.flatten(1), samples.y))
    assert vectors.shape[-1] == 64 and torch.equal(vectors, images.flatten(-3))
    assert not torch.equal(images, plain)
