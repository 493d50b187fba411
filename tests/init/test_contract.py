"""One contract for every rule: deterministic, of the declared variance, and alone."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch import nn

from initlab import init
from initlab.init import Constant, Fans, Zeros, fans, initialize
from initlab.spec import from_plain, to_plain

RULES = pytest.mark.parametrize("name", init.RULES)
MODULES = {
    "linear": nn.Linear(64, 48),
    "wide linear": nn.Linear(200, 20),
    "conv1d": nn.Conv1d(8, 16, 5),
    "conv2d": nn.Conv2d(16, 32, 3),
    "strided": nn.Conv2d(16, 32, 3, stride=2),
    "dilated": nn.Conv2d(16, 32, 3, dilation=2),
    "grouped": nn.Conv2d(32, 64, 3, groups=4),
    "depthwise": nn.Conv2d(64, 64, 3, groups=64),
    "conv3d": nn.Conv3d(4, 8, 3),
    "transposed": nn.ConvTranspose2d(16, 32, 4, stride=2),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@RULES
def test_same_seed_same_tensor_on_every_device(name, device, untouched_random_state):
    layer = nn.Linear(30, 20, device="meta")
    one = initialize(layer, init.RULES[name], seeded(7), device=device)
    two = initialize(layer, init.RULES[name], seeded(7))
    assert one["weight"].device.type == device
    assert torch.equal(one["weight"].cpu(), two["weight"])
    if not isinstance(init.RULES[name], Constant):
        other = initialize(layer, init.RULES[name], seeded(8))
        assert not torch.equal(other["weight"], two["weight"])


@RULES
def test_shape_and_dtype(name):
    for module in MODULES.values():
        weight = init.RULES[name](fans(module), tuple(module.weight.shape), seeded())
        assert weight.shape == module.weight.shape
        assert weight.dtype == torch.float32


@RULES
@pytest.mark.parametrize("kind", MODULES)
def test_variance_is_as_declared(name, kind):
    rule, module = init.RULES[name], MODULES[kind]
    if name == "orthogonal" and kind in ("grouped", "depthwise", "transposed", "strided"):
        pytest.skip("an orthogonal rule declares its variance for dense layers only")
    shape = tuple(module.weight.shape)
    declared = rule.variance(fans(module))
    if name == "orthogonal":  # isometry is what it declares; see the next test
        declared = rule.gain**2 / max(shape[0], module.weight[0].numel())
    draws = rule.stack(fans(module), shape, seeded(3), 50).double().flatten()
    # Standard error of a variance: sqrt((E x⁴ − σ⁴)/n); 4 of them.
    error = sqrt(max(float((draws**4).mean()) - declared**2, 0) / draws.numel())
    assert abs(float((draws**2).mean()) - declared) <= 4 * error + 1e-7 * declared
    assert abs(float(draws.mean())) <= 4 * sqrt(declared / draws.numel()) + 1e-12


@pytest.mark.parametrize("shape", [(20, 20), (12, 30), (30, 12), (8, 4, 3, 3)])
def test_orthogonal_is_an_isometry(shape):
    rule = init.Orthogonal(gain=1.5)
    for q in rule.stack(Fans(1, 1), shape, seeded(1), 3).flatten(2).double():
        tall = q if q.shape[0] >= q.shape[1] else q.T
        identity = 2.25 * torch.eye(tall.shape[1], dtype=torch.float64)
        torch.testing.assert_close(tall.T @ tall, identity, atol=1e-5, rtol=0)


def test_orthogonal_is_uniform_over_the_group():
    # The first entry of a uniform orthogonal matrix has mean 0 and E q⁴ = 3/(n(n+2)).
    n, count = 6, 20_000
    q = init.Orthogonal().stack(Fans(n, n), (n, n), seeded(2), count)[:, 0, 0].double()
    assert abs(float(q.mean())) < 4 / sqrt(n * count)
    error = float((q**4).std()) / sqrt(count)
    assert abs(float((q**4).mean()) - 3 / (n * (n + 2))) < 4 * error


def test_orthogonal_refuses_vectors():
    with pytest.raises(ValueError, match="two or more dimensions"):
        init.Orthogonal()(Fans(3, 3), (3,), seeded())


@RULES
def test_a_rule_survives_its_json(name):
    assert from_plain(to_plain(init.RULES[name])) == init.RULES[name]


@RULES
def test_a_rule_is_known_by_one_label(name):
    labels = [r.label for r in init.RULES.values()]
    assert labels.count(init.RULES[name].label) == 1


def test_initialize_only_reads_the_module():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    before = {k: v.clone() for k, v in module.state_dict().items()}
    state = torch.get_rng_state()
    params = initialize(module, init.HeNormal(), seeded())
    assert torch.equal(torch.get_rng_state(), state)
    assert set(params) == set(dict(module.named_parameters()))
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    module.load_state_dict(params, strict=False)
    assert torch.equal(module[0].weight, params["0.weight"])


NORMALIZED = {
    "BatchNorm1d": (nn.Linear(3, 4), nn.BatchNorm1d(4)),
    "BatchNorm2d": (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)),
    "BatchNorm3d": (nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4)),
    "LayerNorm": (nn.Linear(3, 4), nn.LayerNorm(4)),
    "GroupNorm": (nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)),
}


@pytest.mark.parametrize("kind", NORMALIZED)
def test_normalization_starts_at_one_and_zero_and_draws_nothing(kind):
    first, norm = NORMALIZED[kind]
    one, two = seeded(3), seeded(3)
    how = {"bias": init.Normal(0.1), "count": 2}
    with_norm = initialize(nn.Sequential(first, norm, nn.Linear(4, 2)), init.HeNormal(), one, **how)
    without = initialize(nn.Sequential(first, nn.Linear(4, 2)), init.HeNormal(), two, **how)
    assert torch.equal(with_norm["1.weight"], torch.ones(2, 4))
    assert torch.equal(with_norm["1.bias"], torch.zeros(2, 4))
    assert torch.equal(with_norm["2.weight"], without["1.weight"])
    assert torch.equal(one.get_state(), two.get_state())


def test_normalization_without_parameters_has_none():
    plain = nn.Sequential(nn.BatchNorm1d(4, affine=False), nn.LayerNorm(4, bias=False))
    assert set(initialize(plain, init.HeNormal(), seeded())) == {"1.weight"}


def test_initialize_stacks_independent_networks():
    params = initialize(nn.Linear(4, 3), init.HeNormal(), seeded(), bias=Zeros(), count=5)
    assert params["weight"].shape == (5, 3, 4)
    assert len(torch.unique(params["weight"])) == 60


def test_initialize_works_on_torchvision():
    from torchvision.models import resnet18

    with torch.device("meta"):
        module = resnet18()
    params = initialize(module, init.HeNormal(), seeded())
    assert set(params) == set(dict(module.named_parameters()))


def test_torch_default_is_torchs_default():
    # Two-sample check: torch's own layer and the rule agree in range and in variance.
    layer = nn.Linear(100, 400)
    ours = init.TorchDefault()(fans(layer), (400, 100), seeded())
    assert float(ours.abs().max()) <= 0.1 + 1e-6
    assert abs(float(layer.weight.detach().var()) / float(ours.var()) - 1) < 0.05


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: init.rule("hee"), "unknown initializer 'hee'; known: he_normal"),
        (lambda: init.VarianceScaling(mode="fan"), "unknown mode 'fan'"),
        (lambda: init.VarianceScaling(distribution="cauchy"), "unknown distribution 'cauchy'"),
        (lambda: init.HeNormal(scale=-1.0), "scale must be a finite number ≥ 0, not -1.0"),
    ],
)
def test_bad_rules_are_refused(make, says):
    with pytest.raises(ValueError) as error:
        make()
    assert says in str(error.value)


def test_corrected_truncation_has_the_variance_that_was_asked_for():
    corrected = init.HeTruncated().variance(Fans(50, 50))
    cut = init.HeTruncatedUncorrected().variance(Fans(50, 50))
    assert corrected == pytest.approx(2 / 50)
    assert cut / corrected == pytest.approx(0.7737, abs=5e-5)
