"""Schemes that look at data: unit variance layer by layer, and whitening, held to their words."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.func import functional_call

from initlab.init import HeNormal, Normal, Zeros, initialize
from initlab.init.fitted import LSUV, DataDependent, Whitening
from initlab.init.functional import FunctionalModule, Seen
from initlab.models import MLP, ConvNet, ResNet18

MODELS = {
    "mlp": MLP((40, 30, 20), inputs=12, outputs=5, activation="tanh"),
    "conv": ConvNet((6, 8), input_shape=(3, 9, 9), outputs=4),
    "resnet": ResNet18(width=4, input_shape=(3, 8, 8)),
    "resnet without normalization": ResNet18(width=4, input_shape=(3, 8, 8), norm="none"),
}


class Layers(nn.Module):
    """Every kind of convolution, with the options that change what a unit sees."""

    def __init__(self):
        super().__init__()
        self.strided = nn.Conv2d(4, 6, 3, stride=(2, 1), padding=1)
        self.grouped = nn.Conv2d(6, 8, 3, groups=2, dilation=2, padding="same")
        self.circular = nn.Conv2d(8, 4, 3, padding=1, padding_mode="circular", bias=False)
        self.up = nn.ConvTranspose2d(4, 6, 4, stride=2, groups=2)
        self.flat = nn.Conv1d(6, 5, 3, padding="valid")
        self.deep = nn.Conv3d(1, 3, 2, stride=2)

    def forward(self, x):
        h = torch.tanh(self.circular(torch.relu(self.grouped(torch.relu(self.strided(x))))))
        h = torch.tanh(self.up(h))
        h = torch.relu(self.flat(h.flatten(2)))
        return self.deep(h.unflatten(2, (-1, 2)).unsqueeze(1)).flatten(1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_for(shape, count: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    x = 3 * torch.randn(count, *shape, generator=seeded(5)) + 1
    return x, torch.arange(count) % 4


def built(name):
    if name == "layers":
        return Layers(), batch_for((4, 11, 9))
    return MODELS[name].build(), batch_for(MODELS[name].input_shape)


def outputs(module, params, x) -> dict[str, tuple[torch.Tensor, int]]:
    """What each layer gives, with its bias, in a pass of its own: (outputs, axis of units)."""
    found, handles = {}, []
    paths = {m: n for n, m in module.named_modules()}
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
            axis = -1 if isinstance(layer, nn.Linear) else 1
            handles.append(
                layer.register_forward_hook(
                    lambda m, _, out, axis=axis: found.update({paths[m]: (out, axis)})
                )
            )
    functional_call(module, params, (x,))
    for handle in handles:
        handle.remove()
    return found


ALL = pytest.mark.parametrize("name", [*MODELS, "layers"])


@ALL
def test_lsuv_gives_every_layer_unit_variance(name):
    module, batch = built(name)
    params = initialize(module, LSUV(), seeded(1), batch=batch)
    seen = outputs(module, params, batch[0])
    assert len(seen) == sum(p.dim() > 1 for p in params.values())
    for layer, (out, _) in seen.items():
        assert float(out.var()) == pytest.approx(1, abs=0.01), layer
        weight = params[f"{layer}.weight"]
        if weight.dim() == 2:  # still orthogonal: rows or columns of one length
            flat = weight if len(weight) <= weight[0].numel() else weight.T
            gram = flat @ flat.T / (flat[0] @ flat[0])
            torch.testing.assert_close(gram, torch.eye(len(flat)), atol=1e-4, rtol=0)


@ALL
def test_every_unit_is_normalized(name):
    module, batch = built(name)
    params = initialize(module, DataDependent(), seeded(1), batch=batch)
    drawn = initialize(module, HeNormal(), seeded(1))
    for layer, (out, axis) in outputs(module, params, batch[0]).items():
        units = out.movedim(axis, 0).flatten(1)
        torch.testing.assert_close(units.std(1, unbiased=False), torch.ones(len(units)))
        if f"{layer}.bias" in params:
            assert units.mean(1).abs().max() < 1e-3
        # Units keep their direction.
        new, old = params[f"{layer}.weight"], drawn[f"{layer}.weight"]
        if layer != "up":  # whose units lie along another axis
            cosine = F.cosine_similarity(new.flatten(1), old.flatten(1))
            torch.testing.assert_close(cosine, torch.ones(len(new)))


def test_a_single_unit_by_hand():
    """x = (1, 3) through w = 2 gives (2, 6): mean 4, deviation 2; so w = 1 and b = −2."""
    module = nn.Sequential(nn.Linear(1, 1))
    start = {"0.weight": torch.tensor([[2.0]]), "0.bias": torch.tensor([7.0])}
    batch = torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1)
    new = DataDependent().fit(module, start, batch, seeded())
    assert new["0.weight"].tolist() == [[1.0]] and new["0.bias"].tolist() == [-2.0]
    new = LSUV().fit(module, start | {"0.bias": torch.zeros(1)}, batch, seeded())
    assert new["0.weight"].tolist() == [[1.0]] and new["0.bias"].tolist() == [0.0]
    assert start["0.weight"].item() == 2.0, "the start was changed"


def covariance(units: torch.Tensor) -> torch.Tensor:
    return torch.cov(units.double(), correction=0).float()


def test_whitening_gives_identity_covariance():
    module, (x, y) = built("mlp")
    mixed = x @ torch.randn(12, 12, generator=seeded(2))  # strongly correlated inputs
    x = torch.cat([mixed, mixed.roll(1, 0) * 0.3 + mixed])
    batch = x, torch.cat([y, y])
    params = initialize(module, Whitening(), seeded(1), batch=batch)
    seen = outputs(module, params, x)
    first, _ = seen["layer1"]  # 40 units of 12 inputs: a tight frame of unit variance on average
    eigen = torch.linalg.eigvalsh(covariance(first.T))
    torch.testing.assert_close(eigen[-12:], torch.full((12,), 40 / 12), rtol=1e-3, atol=0)
    assert eigen[:-12].abs().max() < 1e-3
    for layer in ("layer2", "layer3", "head"):
        white = covariance(seen[layer][0].T)
        torch.testing.assert_close(white, torch.eye(len(white)), atol=5e-3, rtol=0)
        assert seen[layer][0].mean(0).abs().max() < 1e-3


def test_whitening_of_convolutions():
    """Units of one group are uncorrelated over all positions, padding and dilation included."""
    module, batch = built("layers")
    params = initialize(module, Whitening(samples=10**6), seeded(1), batch=batch)
    seen = outputs(module, params, batch[0])
    for layer, groups in (
        ("strided", 1),
        ("grouped", 2),
        ("circular", 1),
        ("flat", 1),
        ("deep", 1),
    ):
        for part in seen[layer][0].movedim(1, 0).flatten(1).chunk(groups):
            white = covariance(part)
            torch.testing.assert_close(white, torch.eye(len(white)), atol=5e-3, rtol=0)
    up = seen["up"][0].movedim(1, 0).flatten(1)  # transposed: unit by unit
    torch.testing.assert_close(up.std(1, unbiased=False), torch.ones(6))


@pytest.mark.parametrize("scheme", [LSUV(), DataDependent(), Whitening()], ids=lambda s: s.name)
def test_the_module_is_only_read(scheme):
    """Neither values, buffers, mode, gradients nor hooks; dropout draws from the generator."""
    module = nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)
    )
    before = {n: t.clone() for n, t in module.state_dict().items()}
    batch, state = batch_for((6,)), torch.get_rng_state()
    one = initialize(module, scheme, seeded(4), batch=batch)
    two = initialize(module, scheme, seeded(4), batch=batch)
    assert all(torch.equal(t, before[n]) for n, t in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in module.parameters()) and module.training
    hooks = [m._forward_hooks or m._forward_pre_hooks for m in module.modules()]
    assert not any(hooks)
    assert all(torch.equal(one[n], two[n]) for n in one)
    other = initialize(module, scheme, seeded(5), batch=batch)
    assert not torch.equal(one["4.weight"], other["4.weight"])


def test_a_module_on_the_meta_device_gives_the_same():
    model, (_, batch) = MODELS["resnet"], built("resnet")
    here = initialize(model.build(), LSUV(), seeded(4), batch=batch)
    there = initialize(model.build("meta"), LSUV(), seeded(4), batch=batch)
    assert all(torch.equal(here[n], there[n]) for n in here)


def test_torchvisions_resnet():
    module = torchvision.models.resnet18()
    batch = batch_for((3, 32, 32), 8)
    params = initialize(module, LSUV(), seeded(), batch=batch)
    assert set(params) == set(dict(module.named_parameters()))
    for layer, (out, _) in outputs(module, params, batch[0]).items():
        assert float(out.var()) == pytest.approx(1, abs=0.01), layer


def test_a_layer_that_is_used_twice_is_fixed_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 5)

        def forward(self, x):
            return self.layer(self.layer(x))

    module, batch = Twice(), batch_for((5,))
    params = initialize(module, LSUV(), seeded(), batch=batch)
    first = F.linear(batch[0], params["layer.weight"])
    assert float(first.var()) == pytest.approx(1, abs=0.01)


def test_calls_are_seen_with_keywords_too():
    calls = []

    def visit(call):
        calls.append(call)
        return call.out

    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel = nn.Parameter(torch.ones(2, 3, 3))

        def forward(self, x):
            return F.conv1d(x, self.kernel, stride=2, bias=None)

    module = Functional()
    params = {"kernel": module.kernel.detach()}
    x = torch.ones(2, 3, 9)
    with Seen(params, visit):
        out = FunctionalModule(module, params)(params, x)
    [call] = calls
    assert call.weight == "kernel" and call.options["stride"] == 2 and not call.bias
    assert torch.equal(out, module(x))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda x, y: (LSUV(), x), "batch must be a pair of tensors (inputs, targets), not Tensor"),
        (lambda x, y: (LSUV(), (x, y[:3])), "as many targets, not 64 and 3"),
        (lambda x, y: (LSUV(), (x[:1], y[:1])), "must hold two or more examples"),
        (lambda x, y: (LSUV(Zeros()), (x, y)), "outputs of 0.weight are all equal on this batch"),
        (lambda x, y: (LSUV(), (torch.zeros_like(x), y)), "outputs of 0.weight are all equal"),
        (lambda x, y: (DataDependent(Normal(1e38)), (x, y)), "0.weight are all equal on this"),
        (lambda x, y: (Whitening(), (torch.ones_like(x), y)), "0.weight sees the same input in"),
        (lambda x, y: (Whitening(samples=1), (x, y)), "samples must be a whole number ≥ 2, not 1"),
    ],
)
def test_what_cannot_be_fitted_is_refused(make, says):
    module = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 4))
    with pytest.raises(ValueError) as error:
        scheme, batch = make(*batch_for((6,)))
        initialize(module, scheme, seeded(), batch=batch)
    assert says in str(error.value)


def test_values_that_are_missing_on_the_meta_device_are_named():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.positions = nn.Parameter(torch.zeros(6))
            self.layer = nn.Linear(6, 4)

        def forward(self, x):
            return self.layer(x + self.positions)

    batch = batch_for((6,))
    how = {"batch": batch, "leave": "positions"}
    assert "layer.weight" in initialize(Positions(), LSUV(), seeded(), **how)
    with pytest.raises(ValueError, match="positions is left alone by the scheme and has no values"):
        initialize(Positions().to("meta"), LSUV(), seeded(), **how)
