"""μP's learning rates are those of Microsoft's own package, `mup`."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from initlab.init import MuP, Shapes

mup = pytest.importorskip("mup", reason="mup is in the extra dev")


def mlp(width: int, head: type = nn.Linear) -> nn.Module:
    return nn.Sequential(
        nn.Linear(10, width), nn.ReLU(), nn.Linear(width, 2 * width), nn.ReLU(),
        nn.Linear(2 * width, width), nn.ReLU(), head(width, 5),
    )  # fmt: skip


def cnn(width: int, head: type = nn.Linear) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 3 * width, 3),
        nn.GroupNorm(1, 3 * width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        head(3 * width, 5),
    )  # fmt: skip


class Block(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.fc1, self.fc2 = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)


def gpt(width: int, head: type = nn.Linear) -> nn.Module:
    net = nn.Module()
    net.wte, net.wpe = nn.Embedding(50, width), nn.Embedding(16, width)
    net.blocks = nn.ModuleList(Block(width) for _ in range(2))
    net.ln_f, net.head = nn.LayerNorm(width), head(width, 50)
    return net


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("build", [mlp, cnn, gpt])
def test_rates_are_those_of_mup(build, optimizer):
    narrow, wide = 16, 56
    ours = MuP(base=Shapes.of(build(narrow)), optimizer=optimizer).rates(build(wide))
    theirs = build(wide, mup.MuReadout)
    mup.set_base_shapes(theirs, build(narrow, mup.MuReadout), do_assert=False)
    make = mup.MuAdam if optimizer == "adam" else mup.MuSGD
    groups = make(theirs.parameters(), lr=1.0).param_groups
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    m = wide / narrow
    for name, p in theirs.named_parameters():
        rate = rates[id(p)]
        readout = theirs.get_submodule(name.rpartition(".")[0])
        if isinstance(readout, mup.MuReadout) and name.endswith("weight"):
            # Its outputs are divided by m in the module: what counts is W/m, whose step under Adam
            # is a mth, and under SGD, whose gradient is divided as well, a mth of a mth.
            rate /= m if optimizer == "adam" else m**2
        assert ours[name] == pytest.approx(rate), name


def test_variances_are_those_of_mup():
    """Of the effective weights, against the network of base width: only the head's differ."""
    narrow, wide, m = 32, 128, 4
    scheme = MuP(base=Shapes.of(mlp(narrow)))
    plain = MuP(base=Shapes.of(mlp(wide)))
    ours, sp = scheme.plan(mlp(wide)), plain.plan(mlp(wide))
    for name, part in ours.items():
        if part.rule is None or name.endswith("bias"):
            continue
        ratio = part.rule.variance(part.fans) / sp[name].rule.variance(sp[name].fans)
        assert ratio == pytest.approx(1 / m if name == "6.weight" else 1), name
    theirs = mlp(wide, mup.MuReadout)
    torch.manual_seed(0)
    nn.init.normal_(theirs[6].weight, std=1.0)
    mup.set_base_shapes(theirs, mlp(narrow, mup.MuReadout), do_assert=False)
    # mup draws the head √m larger and divides its outputs by m: 1/√m in all.
    assert float(theirs[6].weight.detach().std()) / m == pytest.approx(m**-0.5, rel=0.05)
