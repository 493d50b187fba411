"""Layers of any module: against ordinary autograd, against theory, and nothing left behind."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from initlab.init import HeNormal, initialize
from initlab.measure.layer_hooks import watching
from initlab.measure.layers import layers, units
from initlab.models import MLP

G = torch.Generator().manual_seed(0)
X = torch.empty(6, 3, 8, 8).normal_(generator=G)
Y = torch.tensor([0, 1, 2, 0, 1, 2])


class Functional(nn.Module):
    """One ReLU written as a function, one as a method, one that writes over its input."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.linear = nn.Linear(4, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        h = F.relu(self.norm(self.conv(x)), inplace=True).mean((2, 3))
        return self.head(self.linear(h).tanh())


def network(inplace: bool, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    shared = nn.ReLU(inplace=inplace)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        shared,
        nn.Conv2d(4, 4, 3),
        shared,
        nn.Flatten(),
        nn.Linear(64, 3),
    )


def named(module: nn.Module) -> dict[str, torch.Tensor]:
    return dict(module.named_parameters())


def table(frame, statistic: str) -> dict[int, float]:
    rows = frame[frame.statistic == statistic]
    return dict(zip(rows.layer, rows.value, strict=True))


@pytest.fixture(autouse=True)
def global_state():
    """Tests may build modules, which draws; what is tested may not."""
    with torch.random.fork_rng([]):
        yield


@pytest.mark.parametrize("inplace", [False, True])
def test_layers_are_what_autograd_says(inplace):
    module = network(inplace)
    frame = layers(module, named(module), (X, Y))
    h, outs = X.clone().requires_grad_(), []
    outs.append(h)
    for layer in network(False).train():
        h = layer(h)
        if not isinstance(layer, nn.Flatten):
            outs.append(h)
    grads = torch.autograd.grad(F.cross_entropy(h, Y) * len(X), outs)
    forward, backward, angle = (table(frame, s) for s in ("forward", "backward", "correlation"))
    assert list(forward) == list(backward) == list(angle) == list(range(7))
    for j, (out, grad) in enumerate(zip(outs, grads, strict=True)):
        assert forward[j] == pytest.approx(float(out.detach().square().mean()), rel=1e-5)
        assert backward[j] == pytest.approx(float(grad.square().mean()), rel=1e-5)
        cosine = F.cosine_similarity(out[1:].flatten(1), out[:-1].flatten(1)).mean()
        assert angle[j] == pytest.approx(float(cosine.detach()), abs=1e-6)
    kinds = frame.drop_duplicates("layer")
    assert kinds.kind.tolist() == [
        *("input", "conv", "norm", "activation", "conv", "activation", "linear")
    ]
    assert kinds.path.tolist() == ["", "0", "1", "2", "3", "2", "6"], "a shared ReLU counts twice"


def test_functions_count_as_layers_as_modules_do():
    torch.manual_seed(1)
    module = Functional()
    frame = layers(module, named(module), (X, Y)).drop_duplicates("layer")
    assert frame.kind.tolist() == [
        *("input", "conv", "norm", "activation", "linear", "activation", "linear")
    ]
    assert frame.path.tolist() == ["", "conv", "norm", "", "linear", "", "head"]


@pytest.mark.parametrize(
    "make",
    [
        *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.Tanh, nn.Hardtanh, nn.Sigmoid),
        *(nn.Hardsigmoid, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Hardswish),
        *(nn.Softplus, nn.Softsign, nn.LogSigmoid),
    ],
)
def test_every_activation_of_torch_is_seen_once_with_its_slope(make):
    act, seen = make(), []
    module = nn.Sequential(nn.Linear(3, 4), act)
    x = torch.linspace(-3, 3, 15).view(5, 3)
    with watching(module, lambda s: seen.append((s.kind, s.out.clone(), s.slope and s.slope()))):
        out = module(x)
    assert [kind for kind, *_ in seen] == ["linear", "activation"]
    z = seen[0][1].detach().requires_grad_()
    torch.testing.assert_close(seen[1][1], out)
    torch.testing.assert_close(seen[1][2], torch.autograd.grad(act(z * 1).sum(), z)[0])


def test_activations_of_our_models_are_seen():
    for name in ("relu", "erf", "sine", "abs", "gelu", "selu", "mish"):
        module = MLP((3,), inputs=4, activation=name).build()
        kinds = layers(module, named(module), (torch.ones(2, 4), Y[:2])).kind.unique().tolist()
        assert kinds == ["input", "linear", "activation"], name


def test_attention_and_tokens():
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, activation="gelu")
    module = nn.Sequential(nn.Embedding(10, 8), block, nn.Flatten(), nn.Linear(32, 3))
    tokens = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [1, 1, 1, 1]])
    for training in (True, False):
        module.train(training)
        frame = layers(module, named(module), (tokens, Y[:3]))
        kinds = frame.drop_duplicates("layer").kind.tolist()
        assert kinds == [
            *("embedding", "attention", "norm", "linear", "activation", "linear", "norm", "linear")
        ]
        assert len(table(frame, "backward")) == 8


def test_dropout_draws_from_the_generator_only():
    module = nn.Sequential(nn.Linear(4, 50), nn.Dropout(0.5), nn.Linear(50, 3))
    batch = torch.ones(4, 4), Y[:4]
    state = torch.get_rng_state()
    one, same, other = (
        layers(module, named(module), batch, torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    assert one.equals(same) and not one.equals(other)
    assert torch.equal(state, torch.get_rng_state())


def test_he_keeps_the_length_of_a_relu_network_of_modules():
    """E M_j = M_0 after every ReLU, exactly; 4.5 standard errors over independent networks."""
    model, networks = MLP.constant(6, 30, inputs=30), 150
    module, values = model.build(), []
    x, y = torch.empty(2, 30).normal_(generator=G), Y[:2]
    for _ in range(networks):
        frame = layers(module, initialize(module, HeNormal(), G), (x, y))
        kept = frame[(frame.statistic == "forward") & (frame.kind == "activation")]
        values.append(kept.value.to_numpy())
    M = np.array(values) / float(x.square().mean())
    assert (np.abs(M.mean(0) - 1) < 4.5 * M.std(0) / sqrt(networks)).all()


def test_hooks_are_removed_when_the_network_fails():
    class Fails(nn.Linear):
        def forward(self, x):
            super().forward(x)
            raise RuntimeError("no")

    module = nn.Sequential(nn.ReLU(), Fails(3, 3))
    with pytest.raises(RuntimeError, match="no"):
        layers(module, named(module), (torch.ones(2, 3), Y[:2]))
    for part in module.modules():
        assert not part._forward_hooks and not part._forward_pre_hooks
        assert not part._forward_hooks_always_called


# Units


def test_dead_and_saturated_units_are_those_that_were_made_so():
    module = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 5), nn.Tanh())
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, 0]]))
        module[0].bias.copy_(torch.tensor([0.0, 0, -9.5, -1]))
        module[2].weight.zero_()
        module[2].bias.copy_(torch.tensor([0.0, 1, 2, 3, 9]))
    # The third unit is alive at one input of a thousand only, the fourth never.
    inputs = torch.stack([torch.linspace(-1, 1, 1000), torch.arange(1000) / 100.0 + 1e-3], 1)
    few = inputs[inputs[:, 1] < 9.4]
    frame = units(module, named(module), few, batch_size=300)
    assert table(frame, "dead") == {2: 0.5, 4: 0.0}
    frame = units(module, named(module), inputs, batch_size=300)
    assert table(frame, "dead") == {2: 0.25, 4: 0.0}
    # tanh′ is below 5 % of its largest, 1, from |z| = 2.18 on.
    # ReLU's mean slope is the share of inputs at which a unit is on: 5 % for the third.
    assert table(frame, "saturated") == {2: 0.25, 4: 0.4}
    assert table(units(module, named(module), few), "saturated") == {2: 0.5, 4: 0.4}


def test_sets_are_counted_in_batches_of_any_size():
    module = network(False).eval()
    whole = units(module, named(module), X, batch_size=6)
    for size in (1, 2, 4, 5, 100):
        assert units(module, named(module), X, batch_size=size).equals(whole)
    training = network(False).train()  # a last batch of one could not be normalized in all layers
    assert len(units(training, named(training), X[:5], batch_size=2)) == 4


def test_channels_are_the_units_of_a_convolution_and_features_those_of_tokens():
    conv = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
    with torch.no_grad():
        conv[1].bias.copy_(torch.tensor([0.0, 0, 0, -50]))
    assert table(units(conv, named(conv), X), "dead") == {3: 0.25}
    tokens = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.ReLU())
    # Of PyTorch's own start a third unit is dead in one of twenty draws.
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        tokens[0].weight.normal_(generator=g)
        tokens[0].bias.zero_()
        tokens[1].bias.copy_(torch.tensor([0.0, 0, 0, -50, -50]))
    x = torch.empty(4, 7, 3).normal_(generator=g)
    assert table(units(tokens, named(tokens), x), "dead") == {3: 0.4}


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m: units(m, named(m), X[:0]), "on one or more inputs"),
        (lambda m: units(m, named(m), X, batch_size=0), "not on 6 in batches of 0"),
        (lambda m: layers(m, named(m), X), "batch must be a pair of tensors (inputs, targets)"),
        (lambda m: layers(m, named(m), (X, Y[:2])), "as many targets, not 6 and 2"),
        (lambda m: layers(m, named(m), (X, X)), "targets must be classes (batch,)"),
    ],
)
def test_what_cannot_be_looked_at(call, says):
    with pytest.raises(ValueError) as error:
        call(network(False))
    assert says in str(error.value)
