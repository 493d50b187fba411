"""Learning rates per parameter train as torch.optim's parameter groups do."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from initlab.init import HeNormal, initialize
from initlab.init.mup import MuP, param_groups
from initlab.models import MLP, ResNet9
from initlab.train import LARS, SGD, Adam, AdamW, Budget, fit
from tests.train.test_exact import BATCH, SAMPLES, assert_same, data, nudged, orders

MODELS = {
    "mlp": MLP((16, 12), inputs=64, activation="tanh"),
    "resnet": ResNet9(width=2, input_shape=(1, 8, 8)),
}
OPTIMIZERS = {
    "sgd": (SGD(0.02), torch.optim.SGD),
    "momentum": (
        SGD(0.01, momentum=0.9, weight_decay=1e-3),
        lambda p: torch.optim.SGD(p, momentum=0.9, weight_decay=1e-3),
    ),
    "adam": (Adam(1e-3), torch.optim.Adam),
    "adamw": (AdamW(1e-3), lambda p: torch.optim.AdamW(p, weight_decay=0.01)),
}


def train(model, params, optimizer, rates, **more):
    budget = Budget(epochs=1, batch_size=BATCH)
    order = orders(len(next(iter(params.values()))), False)
    return fit(
        model, params, data(), optimizer=optimizer, budget=budget, order=order, rates=rates, **more
    )


@pytest.mark.parametrize("how", OPTIMIZERS)
@pytest.mark.parametrize("name", MODELS)
def test_as_parameter_groups_do(name, how):
    model, (optimizer, make) = MODELS[name], OPTIMIZERS[how]
    rates = [MuP(4, kind).rates(model.build("meta")) for kind in ("sgd", "adam")] + [{}]
    params = initialize(model.build("meta"), HeNormal(), torch.Generator().manual_seed(3), count=3)
    ended = train(model, params, optimizer, rates)
    here = data()
    x = here.train.x.reshape(SAMPLES, *model.input_shape)
    for r, outcome in enumerate(ended):
        start = {k: v[r] for k, v in params.items()}

        def end(start, r=r):
            module = model.build()
            module.load_state_dict(start, strict=False)
            alone = make(param_groups(module, rates[r], optimizer.lr))
            order = orders(1, False)[0].clone_state()
            for chosen in torch.randperm(SAMPLES, generator=order).split(BATCH):
                alone.zero_grad()
                F.cross_entropy(module(x[chosen]), here.train.y[chosen]).backward()
                alone.step()
            return module.state_dict()

        def near(start=start, end=end):
            return [end(nudged(start, i)) for i in range(8)]

        if name == "resnet":
            assert_same(outcome.params, end(start), 1e-4, near)
        else:
            assert_same(outcome.params, end(start))


def test_rates_of_one_change_exactly_nothing():
    model = MODELS["mlp"]
    params = initialize(model.build("meta"), HeNormal(), torch.Generator().manual_seed(3), count=2)
    plain = train(model, params, SGD(0.02), None)
    ones = train(model, params, SGD(0.02), dict.fromkeys(params, 1.0))
    for a, b in zip(plain, ones, strict=True):
        assert all(torch.equal(a.params[k], b.params[k]) for k in a.params)


def test_rates_are_on_larss_rate_and_stay_with_their_network():
    model = MODELS["mlp"]
    params = initialize(model.build("meta"), HeNormal(), torch.Generator().manual_seed(3), count=3)
    rates = [{"head.weight": 0.0}, {}, {"layer1.weight": 0.5}]
    lars = [LARS(1.0), LARS(1e30), LARS(1.0)]  # the second diverges and leaves
    together = train(model, params, lars, rates)
    assert [o.diverged for o in together] == [False, True, False]
    assert torch.equal(together[0].params["head.weight"], params["head.weight"][0])
    for r in (0, 2):
        alone = train(model, {k: v[r : r + 1] for k, v in params.items()}, lars[r], rates[r])
        assert_same(together[r].params, alone[0].params)


@pytest.mark.parametrize(
    ("rates", "says"),
    [
        ({"head": 1.0}, "rates name a parameter 'head' that the networks do not have; they have"),
        ({"head.bias": -1.0}, "the rate of head.bias must be a finite number ≥ 0, not -1.0"),
        ([{}], "1 values of rates were given for 2 networks"),
    ],
)
def test_rates_that_are_none_are_refused(rates, says):
    model = MODELS["mlp"]
    params = initialize(model.build("meta"), HeNormal(), torch.Generator().manual_seed(3), count=2)
    with pytest.raises(ValueError) as error:
        train(model, params, SGD(0.02), rates)
    assert says in str(error.value)
