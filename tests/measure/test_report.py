"""The report on a network, its words, and its command."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import initlab
from initlab import cli, diagnose, initialize_, inspect, plot
from initlab.init import GlorotUniform, HeNormal


def batch(n: int = 32, features: int = 8, classes: int = 3):
    g = torch.Generator().manual_seed(0)
    return torch.randn(n, features, generator=g), torch.randint(classes, (n,), generator=g)


def mlp(depth: int = 3, scale: float = 2.0, width: int = 32) -> nn.Module:
    sizes = [8] + [width] * depth
    layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
    net = nn.Sequential(*layers, nn.Linear(width, 3))
    initialize_(net, HeNormal(scale=scale), seed=0)
    return net


def test_it_says_what_an_ordinary_loop_sees():
    net, (x, y) = mlp(), batch()
    report = diagnose(net, (x, y), optimizer=lambda params: torch.optim.SGD(params, lr=0.1))
    value = nn.functional.cross_entropy(net(x), y)
    value.backward()
    assert report.loss == pytest.approx(value.item(), rel=1e-6)
    assert report.guessing == pytest.approx(math.log(3))
    told = report.parameters.set_index("parameter")
    for name, p in net.named_parameters():
        assert told.gradient[name] == pytest.approx(p.grad.square().mean().sqrt().item(), rel=1e-4)
        if p.norm() > 0:
            assert told["update"][name] == pytest.approx(
                (0.1 * p.grad.norm() / p.norm()).item(), rel=1e-4
            )
    forward = report.layers[report.layers.statistic == "forward"].set_index("layer").value
    assert forward[1] == pytest.approx(net[0](x).square().mean().item(), rel=1e-5)
    frame = initlab.inspect(net, None, (x, y), parts=("layers", "units"))
    for statistic in ("forward", "backward", "dead", "saturated"):
        ours = report.layers[report.layers.statistic == statistic].sort_values("layer").value
        theirs = frame[frame.statistic == statistic].sort_values("layer").value
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)


class Residual(nn.Module):
    """Three blocks with dropout, whose activations may be computed again for the backward pass."""

    def __init__(self, **again: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 8))
            for _ in range(3)
        )
        self.head, self.again = nn.Linear(8, 3), again

    def forward(self, x):
        for block in self.blocks:
            x = x + (checkpoint(block, x, **self.again) if self.again else block(x))
        return self.head(x)


@pytest.mark.parametrize("reentrant", [False, True])
def test_what_is_computed_again_is_seen_once(reentrant):
    nets = Residual(), Residual(use_reentrant=reentrant)
    for net in nets:
        initialize_(net, HeNormal(), seed=0)
    plain, again = (diagnose(net, batch(), optimizer=torch.optim.Adam) for net in nets)
    for name in ("layers", "parameters"):
        assert getattr(plain, name).equals(getattr(again, name)), name
    plain, again = (inspect(net, HeNormal(), batch(), networks=2) for net in nets)
    assert plain.equals(again)
    # Training still computes them again.
    seen = []
    nets[1].blocks[0].register_forward_pre_hook(lambda *_: seen.append(1))
    nets[1](torch.ones(2, 8, requires_grad=True)).sum().backward()
    assert len(seen) == 2


class Asking(nn.Module):
    """Wants gradients of what is made of its input, as speech models do for their first layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, x):
        h = x[:, None]
        h.requires_grad = True
        return self.layers(h).squeeze(1)


def test_a_network_may_ask_for_gradients_of_its_input():
    net = Asking()
    report = diagnose(net, batch())
    twin = diagnose(net.layers, batch())
    assert report.left_out == {}
    assert report.parameters.gradient.tolist() == pytest.approx(twin.parameters.gradient.tolist())


def test_an_optimizer_that_is_there_is_asked_and_left_alone():
    net, data = mlp(), batch()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    before = [p.detach().clone() for p in net.parameters()]
    report = diagnose(net, data, optimizer=optimizer)
    assert not optimizer.state and all(
        torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True)
    )
    told = report.parameters.set_index("parameter")["update"]
    # Adam's first step is the rate in every entry.
    assert told["0.weight"] == pytest.approx(
        0.01 * 256**0.5 / net[0].weight.norm().item(), rel=1e-2
    )


@pytest.mark.parametrize(
    "net, data, says",
    [
        (lambda: mlp(60, 40.0), batch(), "First non-finite value: layer"),
        (lambda: mlp(40, 0.2), batch(), "The signal's mean square shrinks from the first layer"),
        (lambda: mlp(20, 8.0), batch(), "The signal's mean square grows from the first layer"),
        (lambda: mlp(2, 2000.0), batch(), "where guessing costs 1.1: the outputs are too large"),
        (mlp, (torch.full((8, 8), math.nan), torch.arange(8) % 3), "value: the input"),
        (mlp, batch(), "Nothing here stops training"),
    ],
    ids=["explodes", "vanishes", "grows", "loud", "nan", "well"],
)
def test_it_tells_in_plain_words(net, data, says):
    report = diagnose(net(), data)
    assert says in str(report), str(report)
    assert all(sentence.endswith(".") and len(sentence) < 320 for sentence in report.findings)
    ax = plot.diagnosis(report.layers)
    assert ax.get_yscale() == "log"


def test_a_step_that_is_too_large_or_too_small_is_told_of():
    for lr, says in ((10.0, "more than a tenth"), (1e-9, "less than 1e-5")):
        report = diagnose(mlp(), batch(), optimizer=lambda p, lr=lr: torch.optim.SGD(p, lr=lr))
        assert says in " ".join(report.findings)


@pytest.mark.parametrize("own", [True, False], ids=["nn.MultiheadAttention", "by hand"])
def test_attention_on_one_key_is_told_of(own):
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
            self.q, self.k = nn.Linear(16, 16), nn.Linear(16, 16)
            self.head = nn.Linear(16, 3)

        def forward(self, x):
            if own:
                return self.head(self.attention(x, x, x)[0].mean(1))
            q, k = (f(x).unflatten(-1, (2, 8)).transpose(1, 2) for f in (self.q, self.k))
            weights = (q @ k.mT).softmax(-1)
            mixed = weights @ x.unflatten(-1, (2, 8)).transpose(1, 2)
            return self.head(mixed.transpose(1, 2).flatten(2).mean(1))

    net = Net().train()
    initialize_(net, GlorotUniform(), seed=0)
    x, y = torch.randn(8, 6, 16, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3
    calm = diagnose(net, (x, y)).layers
    assert (calm[calm.statistic == "entropy"].value > 0.3).all()
    with torch.no_grad():
        net.attention.in_proj_weight.mul_(100)
        net.q.weight.mul_(100)
        net.k.weight.mul_(100)
    assert "rests on one key almost alone" in " ".join(diagnose(net, (x, y)).findings)


def test_tokens_that_are_all_one_are_told_of():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.head = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 3)

        def forward(self, x):
            x = self.a(x)
            x = 0.01 * x + x.mean(1, keepdim=True)
            return self.head(self.b(x).mean(1))

    x, y = torch.randn(8, 6, 16, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3
    net = Net()
    initialize_(net, GlorotUniform(), seed=0)
    assert "their rank has collapsed" in " ".join(diagnose(net, (x, y)).findings)


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda: diagnose(mlp(), HeNormal()), "inspect\\(module, rule, batch\\) draws"),
        (lambda: diagnose(3, batch()), "diagnose takes a torch module, not 3"),
        (lambda: diagnose(mlp(), torch.ones(3)), "batch must be a pair"),
        (lambda: diagnose(mlp(), batch(), parts=("unit",)), "unknown part unit; known"),
        (lambda: diagnose(mlp(), (batch()[0], torch.rand(32, 7))), "targets must be classes"),
        (lambda: diagnose(torch.jit.script(mlp()), batch()), "torch.jit"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_bad_input(call, says):
    with pytest.raises((TypeError, ValueError), match=says):
        call()


FACTORY = """
import torch
from torch import nn

def build(width=16, depth=2):
    layers = [m for _ in range(depth) for m in (nn.Linear(width, width), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(width, 3))

def batch():
    return torch.randn(20, 16), torch.arange(20) % 3
"""


def test_the_command(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine_to_diagnose.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    network = ["diagnose", "mine_to_diagnose:build"]
    given = ["--set", "depth=3", "--batch", "mine_to_diagnose:batch", "--lr", "0.1"]
    assert cli.main([*network, *given, "--init", "he_normal", "--table"]) == 0
    out = capsys.readouterr().out
    assert "He normal: 0.weight" in out and "loss" in out and "parameter" in out
    assert cli.main([*network, "--input", "16", "--plot", str(tmp_path / "f.svg")]) == 0
    assert (tmp_path / "f.svg").stat().st_size > 1000
    capsys.readouterr()
    for wrong, says in (
        ([], "say what goes in"),
        (["--input", "3"], "the network does not take that input"),
        (["--input", "x"], "--input takes whole numbers"),
        (["--input", "16", "--init", "nonsense"], "unknown initializer"),
        (["--set", "breadth=3", "--input", "16"], "stops: TypeError"),
    ):
        assert cli.main([*network, *wrong]) == 1
        [line] = capsys.readouterr().err.splitlines()
        assert says in line
    assert cli.main(["diagnose", "nowhere:build", "--input", "3"]) == 1
    assert "is not found" in capsys.readouterr().err


def test_the_command_in_a_process_of_its_own(tmp_path):
    (tmp_path / "mine.py").write_text(FACTORY)
    done = subprocess.run(
        [sys.executable, "-m", "initlab", "diagnose", "mine:build", "--input", "16"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
