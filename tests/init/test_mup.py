"""μP: the table of Yang et al. 2022, and the coordinate check that it was made for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from initlab.init import HeNormal, initialize
from initlab.init.mup import MuP, param_groups
from initlab.models import MLP, ResNet18


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mlp(width: int) -> nn.Module:
    return MLP.constant(3, width, inputs=20, outputs=4).build()


def test_at_the_base_width_it_is_the_rule_alone():
    for optimizer in ("sgd", "adam"):
        scheme = MuP(32, optimizer)
        ours = initialize(mlp(32), scheme, seeded(1))
        plain = initialize(mlp(32), HeNormal(), seeded(1))
        assert all(torch.equal(ours[n], plain[n]) for n in plain)
        assert set(scheme.rates(mlp(32)).values()) == {1.0}


def test_weights_of_a_wide_network():
    """Only the head differs: Var = 2/(m · fan-in), the same draws divided by √m."""
    ours = initialize(mlp(128), MuP(32), seeded(1))
    plain = initialize(mlp(128), HeNormal(), seeded(1))
    for name in plain:
        factor = 1 / 2 if name == "head.weight" else 1.0
        torch.testing.assert_close(ours[name], factor * plain[name])


#: Table 3 of Yang et al. 2022 at m = 4: (Adam, SGD).
TABLE = {
    "layer1.weight": (1, 4),
    "layer1.bias": (1, 4),
    "layer2.weight": (1 / 4, 1),
    "layer2.bias": (1, 4),
    "layer3.weight": (1 / 4, 1),
    "layer3.bias": (1, 4),
    "head.weight": (1 / 4, 1 / 4),
    "head.bias": (1, 1),
}


def test_rates_are_those_of_the_table():
    assert MuP(32, "adam").rates(mlp(128)) == {name: adam for name, (adam, _) in TABLE.items()}
    assert MuP(32, "sgd").rates(mlp(128)) == {name: sgd for name, (_, sgd) in TABLE.items()}


def test_rates_of_convolutional_networks_and_transformers():
    resnet = ResNet18(width=32, multiplier=True)
    rates = MuP(16).rates(resnet.build("meta"))
    assert set(rates) == set(dict(resnet.build("meta").named_parameters()))
    assert rates["layer1.conv.weight"] == rates["block3.norm1.weight"] == 1
    assert rates["block3.conv1.weight"] == rates["block3.shortcut.conv.weight"] == 1 / 2
    assert rates["head.weight"] == 1 / 2
    sgd = MuP(16, "sgd").rates(resnet.build("meta"))
    assert sgd["block3.norm1.weight"] == 2 and sgd["block3.multiplier.weight"] == 1
    with torch.device("meta"):
        vit = torchvision.models.vit_b_16()
    rates = MuP(192).rates(vit)
    assert set(rates) == set(dict(vit.named_parameters()))
    layer = "encoder.layers.encoder_layer_3"
    assert rates[f"{layer}.self_attention.in_proj_weight"] == 1 / 4
    assert rates[f"{layer}.mlp.0.weight"] == rates["heads.head.weight"] == 1 / 4
    for name in ("class_token", "encoder.pos_embedding", "conv_proj.weight", f"{layer}.ln_1.bias"):
        assert rates[name] == 1


def changes(rule, rates, optimizer: str, width: int, lr: float, seed: int) -> list[float]:
    """Root mean square change of each layer's outputs by five steps on one batch."""
    module = mlp(width)
    module.load_state_dict(initialize(module, rule, seeded(seed)))
    x, y = torch.randn(32, 20, generator=seeded(0)), torch.arange(32) % 4
    make = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer]
    trained = make(param_groups(module, rates(module), lr))

    def outputs() -> list[torch.Tensor]:
        found, h = [], x
        for layer in module:
            h = layer(h)
            if isinstance(layer, nn.Linear):
                found.append(h.detach())
        return found

    before = outputs()
    for _ in range(5):
        trained.zero_grad()
        F.cross_entropy(module(x), y).backward()
        trained.step()
    return [float((a - b).square().mean().sqrt()) for a, b in zip(outputs(), before, strict=True)]


def growth(rule, rates, optimizer: str, lr: float) -> list[float]:
    """Each layer's change at width 1024 over that at 128, both averaged over three seeds."""
    narrow, wide = (
        [sum(column) for column in zip(*own, strict=True)]
        for own in (
            [changes(rule, rates, optimizer, width, lr, seed) for seed in range(3)]
            for width in (128, 1024)
        )
    )
    return [w / n for w, n in zip(wide, narrow, strict=True)]


@pytest.mark.parametrize(("optimizer", "lr"), [("adam", 3e-3), ("sgd", 0.1)])
def test_coordinate_check(optimizer, lr):
    """Level over eight times the width with μP; with the rule alone some layer's change grows."""
    scheme = MuP(64, optimizer)
    level = growth(scheme, scheme.rates, optimizer, lr)
    assert all(0.75 < ratio < 1.33 for ratio in level), level
    assert max(growth(HeNormal(), lambda module: {}, optimizer, lr)) > 4


def test_param_groups_step_as_single_rates_do():
    """One step of plain gradient descent moves each parameter by its own rate."""
    module = mlp(64)
    rates = MuP(16, "sgd").rates(module)
    before = {n: p.detach().clone() for n, p in module.named_parameters()}
    optimizer = torch.optim.SGD(param_groups(module, rates, 0.1, weight_decay=0.0))
    module(torch.randn(5, 20, generator=seeded())).square().mean().backward()
    optimizer.step()
    for name, p in module.named_parameters():
        torch.testing.assert_close(p.detach(), before[name] - 0.1 * rates[name] * p.grad)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: MuP(0), "base_width must be a whole number ≥ 1, not 0"),
        (lambda: MuP(64, "lars"), "unknown optimizer 'lars'; known: sgd, adam"),
        (lambda: MuP().plan(nn.Linear(3, 2)), "needs a first and a last layer, but Linear has 1"),
        (lambda: param_groups(nn.Linear(3, 2), {"w": 1.0}, 0.1), "Linear does not have: w"),
    ],
)
def test_bad_input_is_refused(make, says):
    with pytest.raises(ValueError) as error:
        make()
    assert says in str(error.value)
