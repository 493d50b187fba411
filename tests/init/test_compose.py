"""Different rules for different layers: what is meant is what is drawn."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from initlab.init import At, Compose, HeNormal, LecunNormal, Zeros, initialize
from initlab.models import MLP
from initlab.spec import from_plain, to_plain

NET = nn.Sequential(
    nn.Conv2d(3, 8, 3),
    nn.BatchNorm2d(8),
    nn.Conv2d(8, 8, 3),
    nn.Flatten(),
    nn.Linear(32, 16),
    nn.Linear(16, 10),
)


def draw(scheme, module=NET):
    return initialize(module, scheme, torch.Generator().manual_seed(0))


def test_kinds_places_and_stretches():
    scheme = Compose(
        LecunNormal(), (At("conv", HeNormal()), At("head", Zeros()), At((-3, -1), factor=0.5))
    )
    rules = {name: part.rule.label for name, part in scheme.plan(NET).items()}
    assert rules["0.weight"] == "He normal"
    assert rules["2.weight"] == "0.5× He normal"
    assert rules["4.weight"] == "0.5× LeCun normal"
    assert rules["5.weight"] == "Zeros"
    assert rules["1.weight"] == "Constant"


def test_a_factor_changes_its_layers_and_no_others():
    plain, mixed = draw(HeNormal()), draw(Compose(HeNormal(), (At(1, factor=3.0),)))
    assert plain.keys() == mixed.keys()
    for name, value in plain.items():
        factor = 3.0 if name == "2.weight" else 1.0
        torch.testing.assert_close(mixed[name], factor * value)


def test_rates_multiply_and_weights_alone_have_them():
    scheme = Compose(HeNormal(), (At("conv", rate=4.0), At("first", rate=0.5), At("head", Zeros())))
    assert scheme.rates(NET) == {"0.weight": 2.0, "2.weight": 4.0}
    assert scheme.label == "He normal; conv (rate 4×); first (rate 0.5×); head Zeros"
    for name, value in draw(scheme).items():
        if name != "5.weight":
            assert torch.equal(value, draw(HeNormal())[name])
    with pytest.raises(ValueError, match="rate must be a finite number ≥ 0, not -1"):
        At("conv", rate=-1)
    with pytest.raises(ValueError, match="has no layer 'conv'"):
        Compose(HeNormal(), (At("conv", rate=2),)).rates(nn.Sequential(nn.Linear(2, 2)))


def test_without_exceptions_it_is_the_rule():
    for name, value in draw(HeNormal()).items():
        assert torch.equal(draw(Compose(HeNormal()))[name], value)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [(0, [0]), (-1, [3]), ("first", [0]), ("head", [3]), ((1, -1), [1, 2]), ((2, None), [2, 3])],
)
def test_indices_count_layers_with_weights(layers, expected):
    module = MLP((5, 5, 5), inputs=4).build("meta")
    names = ["layer1", "layer2", "layer3", "head"]
    assert At(layers).parameters(module) == [f"{names[i]}.weight" for i in expected]


def test_it_survives_json():
    scheme = Compose(HeNormal(), (At("head", Zeros()), At((-3, None), factor=0.5, rate=2.0)))
    assert from_plain(to_plain(scheme)) == scheme


@pytest.mark.parametrize("layers", ["heads", 1.5, (1, 2, 3), True])
def test_layers_that_there_are_not(layers):
    with pytest.raises(ValueError, match="layers must be "):
        At(layers)


def test_an_exception_for_nothing_is_an_error():
    with pytest.raises(ValueError, match="has no layer 'conv'"):
        Compose(HeNormal(), (At("conv", Zeros()),)).plan(nn.Sequential(nn.Linear(2, 2)))
