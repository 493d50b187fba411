"""Every parameter of torchvision's networks is set by a named rule, or said to be left alone."""

from __future__ import annotations

import pytest
import torch
from torchvision import models

from initlab import init
from initlab.init import describe, initialize

LEFT = {
    "resnet18": set(),
    "mobilenet_v2": set(),
    "densenet121": set(),
    "vit_b_16": {"class_token", "encoder.pos_embedding"},
}


@pytest.mark.parametrize("name", LEFT)
@pytest.mark.parametrize("rule", ["he_normal", "orthogonal", "glorot_uniform"])
def test_every_parameter_is_accounted_for(name, rule):
    with torch.device("meta"):
        module = getattr(models, name)()
    rows = describe(module, init.RULES[rule])
    assert [row["parameter"] for row in rows] == [n for n, _ in module.named_parameters()]
    left = {row["parameter"] for row in rows if row["start"].startswith("left alone: ")}
    assert left == LEFT[name]
    labels = {r.label for r in init.RULES.values()}
    assert all(row["start"] in labels for row in rows if row["parameter"] not in left)


@pytest.mark.parametrize("name", LEFT)
def test_values_land_in_the_network(name):
    with torch.device("meta"):
        module = getattr(models, name)(num_classes=10)
    params = initialize(module, init.HeNormal(), torch.Generator().manual_seed(0), leave="*")
    assert set(params) == set(dict(module.named_parameters())) - LEFT[name]
    module.load_state_dict(params, strict=False, assign=True)
    for path, value in params.items():
        assert torch.equal(module.get_parameter(path), value)
        if path.endswith("weight") and value.dim() > 1 and value.numel() > 5000:
            [row] = [r for r in describe(module, init.HeNormal()) if r["parameter"] == path]
            error = 4 * (2 / value.numel()) ** 0.5 * row["variance"]
            assert abs(float(value.double().square().mean()) - row["variance"]) < error


def test_attention_is_three_maps():
    layer = torch.nn.MultiheadAttention(16, 2)
    params = initialize(layer, init.Orthogonal(), torch.Generator().manual_seed(0))
    for part in params["in_proj_weight"].chunk(3):
        torch.testing.assert_close(part @ part.T, torch.eye(16), atol=1e-5, rtol=0)


def test_the_padding_row_of_an_embedding_is_zero():
    layer = torch.nn.Embedding(7, 4, padding_idx=2)
    weight = initialize(layer, init.LecunNormal(), torch.Generator().manual_seed(0))["weight"]
    assert (weight == 0).all(1).tolist() == [row == 2 for row in range(7)]


def test_tied_parameters_are_set_once():
    first, second = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    second.weight = first.weight
    both = torch.nn.Sequential(first, second)
    assert set(initialize(both, init.HeNormal(), torch.Generator())) == {
        "0.weight",
        "0.bias",
        "1.bias",
    }


def test_a_weight_that_is_made_of_others_has_the_rule_of_the_layer():
    layer = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(3, 2))
    rows = {row["parameter"]: row["start"] for row in describe(layer, init.HeNormal())}
    assert rows["parametrizations.weight.original0"] == "He normal"
    assert rows["parametrizations.weight.original1"] == "He normal"
    assert rows["bias"] == "Zeros"
