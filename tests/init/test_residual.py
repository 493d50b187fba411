"""Schemes of residual networks: each against its definition, on our models and torchvision's."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
import torchvision
from torch import nn
from torch.func import functional_call

from initlab.init import HeNormal, initialize
from initlab.init.branches import branches
from initlab.init.residual import Fixup, ResidualScaling, ReZero, SkipInit, ZeroGamma
from initlab.models import MLP, PreActResNet18, ResidualMLP, ResNet9, ResNet18

IMAGES = {"width": 4, "input_shape": (3, 8, 8)}
#: Residual networks without normalization whose branches end in a layer.
PLAIN = {
    "mlp": ResidualMLP(6, 16, matrices=2, inputs=12, outputs=5),
    "resnet": ResNet18(**IMAGES, norm="none"),
    "preact": PreActResNet18(**IMAGES, norm="none", multiplier=True),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def inputs(model, count: int = 6) -> torch.Tensor:
    return torch.randn(count, *model.input_shape, generator=seeded(9))


def cut(params, module):
    """The same network with the last layer of each branch, and what follows it, set to zero."""
    ends = {name for b in branches(module) for name in (b.weights[-1], b.end, *b.scalars)}
    return {name: torch.zeros_like(p) if name in ends else p for name, p in params.items()}


def variance_over_nominal(params, module, name) -> tuple[float, float]:
    """Measured variance of a weight against 2/fan-in, and its standard error."""
    weight = params[name]
    nominal = 2 / weight[0].numel()
    return float(weight.square().mean()) / nominal, sqrt(2 / weight.numel())


@pytest.mark.parametrize("name", PLAIN)
def test_fixup_by_its_definition(name):
    """Zhang et al. 2019: layers times L^(-1/(2m-2)), the last of a branch and the head zero."""
    model, module = PLAIN[name], PLAIN[name].build()
    params = initialize(module, Fixup(), seeded(1))
    found = branches(module)
    for branch in found:
        [first, last] = branch.weights  # m = 2
        ratio, error = variance_over_nominal(params, module, first)
        assert abs(ratio * len(found) - 1) < 4 * error
        assert not params[last].any()
        assert all(params[factor] == 1 for factor in branch.scalars)
    assert not params["head.weight"].any()
    assert not functional_call(module, params, (inputs(model),)).any()
    # Behind another head: exactly what the shortcuts alone give.
    head = {"head.weight": torch.ones_like(params["head.weight"])}
    started = functional_call(module, {**params, **head}, (inputs(model),))
    alone = functional_call(module, {**cut(params, module), **head}, (inputs(model),))
    assert started.std() > 0
    assert torch.equal(started, alone)


def test_fixup_with_three_layers_in_a_branch():
    class Three(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.three = (nn.Linear(64, 64) for _ in range(3))

        def forward(self, x):
            return x + self.three(torch.relu(self.two(torch.relu(self.one(x)))))

    module = nn.Sequential(*(Three() for _ in range(16)), nn.Linear(64, 2))
    params = initialize(module, Fixup(), seeded())
    for layer in ("0.one", "7.two"):  # 16^(-1/4) = 1/2
        ratio, error = variance_over_nominal(params, module, f"{layer}.weight")
        assert abs(4 * ratio - 1) < 4 * error
    assert not params["3.three.weight"].any()
    assert not params["16.weight"].any()


def test_fixups_one_step_change_does_not_grow_with_depth():
    """The change of the output by one step of SGD: level for Fixup, growing for He."""

    def change(scheme, depth: int) -> float:
        model = ResidualMLP(depth, 32, matrices=2, inputs=16, outputs=4)
        module, x = model.build(), inputs(model, 16)
        y = torch.arange(16) % 4
        params = initialize(module, scheme, seeded(3))
        leaves = {n: p.requires_grad_() for n, p in params.items()}
        before = functional_call(module, leaves, (x,))
        grads = torch.autograd.grad(nn.functional.cross_entropy(before, y), list(leaves.values()))
        moved = {n: p - 1e-6 * g for (n, p), g in zip(leaves.items(), grads, strict=True)}
        return float((functional_call(module, moved, (x,)) - before).detach().norm())

    assert change(Fixup(), 32) < 4 * change(Fixup(), 4)
    assert change(HeNormal(), 16) > 1e3 * change(HeNormal(), 4)


@pytest.mark.parametrize("scheme", [SkipInit(), ReZero()], ids=["SkipInit", "ReZero"])
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_skipinit_starts_every_block_as_its_shortcut(scheme, norm):
    model = ResNet18(**IMAGES, norm=norm, multiplier=True)
    module = model.build()
    params = initialize(module, scheme, seeded(2))
    x = inputs(model)
    started = functional_call(module, params, (x,))
    assert started.std() > 0
    assert torch.equal(started, functional_call(module, cut(params, module), (x,)))
    found = branches(module)
    assert all(params[b.scalars[0]] == 0 for b in found)
    assert all(params[w].any() for b in found for w in b.weights)


def test_zero_gamma_in_torchvisions_blocks():
    """BasicBlock and Bottleneck, as torchvision's own zero_init_residual does it."""
    for name in ("resnet18", "resnet50"):
        theirs = torchvision.models.get_model(name, weights=None, zero_init_residual=True)
        params = initialize(theirs, ZeroGamma(), seeded())
        zero = {
            n for n, p in theirs.named_parameters() if "bn" in n and "weight" in n and not any(p)
        }
        ours = {n for n, p in params.items() if n in zero or ("weight" in n and not p.any())}
        assert ours == zero
        assert len(zero) in (8, 16)


def test_zero_gamma_starts_every_block_as_its_shortcut():
    model = ResNet18(**IMAGES)
    module, x = model.build(), inputs(model)
    params = initialize(module, ZeroGamma(), seeded())
    started = functional_call(module, params, (x,))
    assert started.std() > 0
    assert torch.equal(started, functional_call(module, cut(params, module), (x,)))


@pytest.mark.parametrize("power", [0.5, 1.0])
@pytest.mark.parametrize(
    "model",
    [
        ResidualMLP(9, 24, matrices=2, inputs=12, outputs=5),
        ResidualMLP(9, 24, matrices=1, inputs=12, outputs=5),
        ResidualMLP(9, 24, inputs=12, outputs=5, activation="tanh", multiplier=True),
    ],
    ids=["two matrices", "one matrix", "multiplier"],
)
def test_residual_scaling_multiplies_the_branch(model, power):
    """Computed otherwise: the same draws in a network whose own scales are L^(-p)."""
    scaled = ResidualMLP(**{**vars(model), "scales": (9**-power,) * 9})
    x = inputs(model)
    ours = initialize(model.build(), ResidualScaling(power=power), seeded(4))
    plain = initialize(scaled.build(), HeNormal(), seeded(4))
    plain |= {n: torch.ones(()) for n in ours if "multiplier" in n}
    out = functional_call(model.build(), ours, (x,))
    torch.testing.assert_close(out, functional_call(scaled.build(), plain, (x,)))


def test_residual_scaling_of_normalized_branches_is_in_the_last_norm():
    params = initialize(ResNet18(**IMAGES).build(), ResidualScaling(power=1.0), seeded())
    assert torch.equal(params["block3.norm2.weight"], torch.full((8,), 1 / 8))
    assert torch.equal(params["block3.norm1.weight"], torch.ones(8))


def test_the_length_stays_bounded_with_one_over_root_l():
    """He's W₂ ReLU(W₁ x) has 2‖x‖² on average: the stream grows by (1 + 2/L)^L < e², not 3^L."""
    for depth in (10, 100):
        model = ResidualMLP(depth, 200, matrices=2)
        x = inputs(model, 1)
        out = functional_call(
            model.build(), initialize(model.build(), ResidualScaling(), seeded(5)), (x,)
        )
        growth = float(out.square().mean() / x.square().mean())
        assert growth == pytest.approx((1 + 2 / depth) ** depth, rel=0.3)


def test_labels_tell_the_powers_apart():
    labels = [ResidualScaling(power=p).label for p in (0.5, 1.0, 0.25)]
    assert labels == ["Residual 1/√L", "Residual 1/L", "Residual L^-0.25"]


@pytest.mark.parametrize(
    ("scheme", "model", "says"),
    [
        (Fixup(), MLP((5,), inputs=4), "Fixup is for residual networks, but Sequential adds"),
        (Fixup(), ResNet18(**IMAGES), "zero, but block1.norm2.weight follows it in its branch"),
        (Fixup(), ResNet9(**IMAGES, norm="none"), "zero, but relu follows it in its branch"),
        (SkipInit(), ResNet18(**IMAGES), "has none: build the model with multiplier=True"),
        (ReZero(), ResidualMLP(2, 4), "the branch of block1.linear1.weight has none"),
        (ZeroGamma(), ResNet9(**IMAGES), "those of Sequential end in relu"),
        (ZeroGamma(), PreActResNet18(**IMAGES), "end in block1.conv2.weight"),
        (ResidualScaling(), ResidualMLP(2, 4, activation="tanh"), "it ends in tanh; build the"),
    ],
)
def test_networks_that_a_scheme_is_not_for(scheme, model, says):
    with pytest.raises(ValueError) as error:
        initialize(model.build("meta"), scheme, seeded())
    assert says in str(error.value)


def test_numbers_that_are_none_are_refused():
    with pytest.raises(ValueError, match="power must be a finite number ≥ 0, not -1"):
        ResidualScaling(power=-1)
    with pytest.raises(ValueError, match="start must be a finite number, not nan"):
        SkipInit(start=float("nan"))
