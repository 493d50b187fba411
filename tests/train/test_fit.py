"""Training as a group equals training alone, and equals torch.optim."""

from __future__ import annotations

from itertools import pairwise
from math import ceil

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from initlab.data import Data, DataSet, Split, load
from initlab.init import HeNormal, Normal, initialize
from initlab.models import MLP, ConvNet, ResidualMLP
from initlab.train import SGD, Budget, CrossEntropy, Curves, accuracy, fit

MODELS = {
    "mlp": MLP((12, 9), inputs=64),
    "residual": ResidualMLP(3, 6, 0.5, inputs=64, outputs=10),
    "conv": ConvNet((3, 4), input_shape=(1, 8, 8), outputs=10),
}


def starts(model, R, seed=0, device="cpu"):
    generator = torch.Generator().manual_seed(seed)
    return initialize(
        model.build("meta"), HeNormal(), generator, bias=Normal(0.05), count=R, device=device
    )


def train(model, params, *, epochs=2, lr=0.1, batch=128, target=None, order=0, device="cpu"):
    return fit(
        model,
        params,
        load(Data("digits"), device),
        optimizer=SGD(lr=lr),
        budget=Budget(epochs=epochs, batch_size=batch, target_test_accuracy=target),
        order=torch.Generator().manual_seed(order),
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_group_equals_torch_optim(name, device):
    model, R = MODELS[name], 3
    params = starts(model, R, device=device)
    outcomes = train(model, params, device=device)
    data = load(Data("digits"), device)
    for r in range(R):
        module = model.build(device)
        module.load_state_dict({k: v[r] for k, v in params.items()})
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        order = torch.Generator().manual_seed(0)
        x = data.train.x.reshape(-1, *model.input_shape)
        for _ in range(2):
            for chosen in torch.randperm(len(x), generator=order).to(device).split(128):
                loss = F.cross_entropy(module(x[chosen]), data.train.y[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        with torch.no_grad():
            right = module(data.test.x.reshape(-1, *model.input_shape)).argmax(1) == data.test.y
        assert outcomes[r].train_loss == pytest.approx(loss.item(), rel=1e-4)
        assert outcomes[r].test_accuracy == pytest.approx(float(right.float().mean()), abs=0.006)


@settings(max_examples=8)
@given(R=st.integers(1, 5), seed=st.integers(0, 2**31), name=st.sampled_from(list(MODELS)))
def test_alone_or_in_a_group(R, seed, name):
    model = MODELS[name]
    params = starts(model, R, seed)
    together = train(model, params)
    for r in range(R):
        [alone] = train(model, {k: v[r : r + 1] for k, v in params.items()})
        assert alone.train_loss == pytest.approx(together[r].train_loss, rel=1e-4)


def test_bit_for_bit_again(untouched_random_state):
    model = MODELS["mlp"]
    assert train(model, starts(model, 3)) == train(model, starts(model, 3))


def test_a_network_that_starts_leaves_and_the_others_go_on():
    model = MODELS["mlp"]
    params = starts(model, 3)
    params = {k: v.clone() for k, v in params.items()}
    params["layer2.weight"][1] = 0  # this one is dead: its logits are constant
    params["layer2.bias"][1] = -1
    outcomes = train(model, params, epochs=12, lr=0.3, target=0.4)
    assert [o.reached for o in outcomes] == [True, False, True]
    assert outcomes[1].epochs == 12
    alone = train(model, {k: v[2:] for k, v in params.items()}, epochs=12, lr=0.3, target=0.4)[0]
    assert outcomes[2].epochs == alone.epochs < 12


def test_epochs_to_target_is_the_first_check_at_which_it_holds():
    model, budget = MODELS["mlp"], Budget(epochs=12, batch_size=128, target_test_accuracy=0.4)
    params = starts(model, 1)
    [outcome] = train(model, params, epochs=12, lr=0.3, target=0.4)
    steps = ceil(1437 / 128)
    at = outcome.epochs * steps
    assert outcome.reached
    assert outcome.test_accuracy >= 0.4
    assert min(abs(at - s) for s in budget.check_steps(12 * steps)) < 1e-6


def test_a_target_that_holds_untrained_takes_no_epochs():
    model = MODELS["mlp"]
    params = starts(model, 1)
    untrained = float(accuracy(model, params, flattened(load(Data("digits"))).test)[0])
    [outcome] = train(model, params, target=untrained)
    assert outcome.reached
    assert outcome.epochs == 0


def flattened(data):
    return DataSet(
        data.name,
        Split(data.train.x.flatten(1), data.train.y),
        Split(data.test.x.flatten(1), data.test.y),
        data.classes,
    )


def test_divergence_ends_a_run_and_counts_as_the_whole_budget():
    model = MODELS["mlp"]
    [outcome] = train(model, starts(model, 1), lr=1e38, epochs=4, target=0.99)
    assert outcome.diverged
    assert not outcome.reached
    assert outcome.epochs == 4


def test_start_is_not_changed():
    model = MODELS["mlp"]
    params = starts(model, 2)
    before = {k: v.clone() for k, v in params.items()}
    train(model, params, epochs=1)
    assert all(torch.equal(before[k], params[k]) for k in params)


def test_cross_entropy_by_hand():
    logits = torch.tensor([[[0.0, 0.0], [0.0, float(torch.log(torch.tensor(3.0)))]]])
    expected = (torch.log(torch.tensor(2.0)) + torch.log(torch.tensor(4.0 / 3.0))) / 2
    torch.testing.assert_close(CrossEntropy()(logits, torch.tensor([0, 1]))[0], expected)


@settings(max_examples=50)
@given(last=st.integers(1, 10_000), resolution=st.floats(0.01, 1))
def test_checks_resolve_as_promised(last, resolution):
    steps = sorted(Budget(resolution=resolution).check_steps(last))
    assert steps[-1] == last
    assert all(b - a <= 1 + resolution * a for a, b in pairwise(steps))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SGD(lr=0), "lr must be > 0, not 0"),
        (lambda: Budget(epochs=0), "epochs must be ≥ 1, not 0"),
        (
            lambda: Budget(target_train_loss=0.0),
            "target_train_loss is a loss > 0 to end at, not 0.0",
        ),
        (
            lambda: Budget(target_train_loss=1.0, target_test_accuracy=0.5),
            "one of target_test_accuracy, target_train_accuracy, target_train_loss",
        ),
        (lambda: Budget(target_test_accuracy=20), "an accuracy in (0, 1], not 20"),
        (lambda: Budget(resolution=0.0), "resolution must be > 0"),
        (
            lambda: train(MLP((3,), inputs=5), starts(MLP((3,), inputs=5), 1)),
            "digits has inputs of 64 numbers, but the model takes (5,)",
        ),
        (
            lambda: train(
                MLP((3,), inputs=64, outputs=7), starts(MLP((3,), inputs=64, outputs=7), 1)
            ),
            "digits has 10 classes, but the model has 7 outputs",
        ),
    ],
)
def test_bad_settings_are_refused(make, says):
    with pytest.raises(ValueError) as error:
        make()
    assert says in str(error.value)


def test_epochs_to_a_training_loss_is_the_first_check_at_which_it_holds():
    model, data = MODELS["mlp"], load("digits")
    params = starts(model, 1)
    budget = Budget(epochs=12, batch_size=128, target_train_loss=1.0)
    [outcome] = fit(
        model,
        params,
        data,
        optimizer=SGD(lr=0.3),
        budget=budget,
        order=torch.Generator().manual_seed(0),
        curves=Curves(("train_loss",), resolution=1e-9),
    )
    losses = {step: value for step, _, value in outcome.curves}
    reached = min(s for s in {0, *budget.check_steps(12 * 12)} if losses.get(s, 9.0) <= 1.0)
    assert outcome.reached and outcome.steps == reached > 5
    assert outcome.epochs == reached / 12


def test_a_training_loss_that_is_not_reached_counts_as_the_whole_budget():
    [outcome] = fit(
        MODELS["mlp"],
        starts(MODELS["mlp"], 1),
        load("digits"),
        optimizer=SGD(lr=1e-6),
        budget=Budget(epochs=2, batch_size=128, target_train_loss=1.0),
        order=torch.Generator().manual_seed(0),
    )
    assert (outcome.reached, outcome.epochs) == (False, 2.0)
