"""One contract for every rule: deterministic, of the declared variance, and alone."""

from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch import nn

from initlab import init
from initlab.init import Fans, Zeros, fans, initialize
from initlab.models import activation
from initlab.spec import from_plain, to_plain

RULES = pytest.mark.parametrize("name", init.RULES)
MODULES = {
    "linear": nn.Linear(64, 48),
    "wide linear": nn.Linear(200, 20),
    "widening linear": nn.Linear(20, 200),
    "conv1d": nn.Conv1d(8, 16, 5),
    "conv2d": nn.Conv2d(16, 32, 3),
    "strided": nn.Conv2d(16, 32, 3, stride=2),
    "dilated": nn.Conv2d(16, 32, 3, dilation=2),
    "grouped": nn.Conv2d(32, 64, 3, groups=4),
    "depthwise": nn.Conv2d(64, 64, 3, groups=64),
    "conv3d": nn.Conv3d(4, 8, 3),
    "transposed": nn.ConvTranspose2d(16, 32, 4, stride=2),
    "transposed3d": nn.ConvTranspose3d(4, 8, 2),
    "embedding": nn.Embedding(100, 30),
}
DENSE = ("linear", "wide linear", "widening linear")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(name: str, kind: str, count: int) -> tuple[torch.Tensor, float]:
    """`count` weights of a layer in float64, and the variance that is declared of them."""
    part = init.plan(MODULES[kind], init.RULES[name])["weight"]
    weights = part.rule.stack(part.fans, tuple(MODULES[kind].weight.shape), seeded(3), count)
    return weights.double(), part.rule.variance(part.fans)


@RULES
@pytest.mark.parametrize("kind", MODULES)
def test_same_seed_same_tensor_on_every_device(name, kind, device, untouched_random_state):
    one = initialize(MODULES[kind], init.RULES[name], seeded(7), device=device)
    two = initialize(MODULES[kind], init.RULES[name], seeded(7))
    assert set(one) == set(dict(MODULES[kind].named_parameters()))
    for key, value in one.items():
        assert value.device.type == device
        assert value.dtype == torch.float32
        assert value.shape == MODULES[kind].get_parameter(key).shape
        assert torch.equal(value.cpu(), two[key])
    other = initialize(MODULES[kind], init.RULES[name], seeded(8))["weight"]
    assert torch.equal(other, two["weight"]) == (init.RULES[name].states == "fixed")


@RULES
@pytest.mark.parametrize("kind", MODULES)
def test_every_rule_states_what_holds_of_it(name, kind):
    rule = init.RULES[name]
    assert rule.states in ("variance", "isometry", "fixed")
    assert rule.formula and rule.preserves and rule.use and rule.label


@pytest.mark.parametrize("name", [n for n, r in init.RULES.items() if r.states == "variance"])
@pytest.mark.parametrize("kind", MODULES)
def test_variance_is_as_declared(name, kind):
    weights, declared = drawn(name, kind, 50)
    x = weights.flatten()
    # Standard error of a mean square: sqrt((E x⁴ − σ⁴)/n); 4 of them.
    error = sqrt(max(float((x**4).mean()) - declared**2, 0) / x.numel())
    assert abs(float((x**2).mean()) - declared) <= 4 * error + 1e-7 * declared
    assert abs(float(x.mean())) <= 4 * sqrt(declared / x.numel()) + 1e-12


@pytest.mark.parametrize("name", [n for n, r in init.RULES.items() if r.states == "isometry"])
@pytest.mark.parametrize("kind", [*DENSE, "conv1d", "conv2d", "dilated", "conv3d"])
def test_isometries_are_isometries(name, kind):
    weights, declared = drawn(name, kind, 5)
    for w in weights:
        if name == "delta_orthogonal" and w.dim() > 2:
            w = w.flatten(2)
            assert torch.count_nonzero(w.abs().sum((0, 1))) == 1
            w = w.sum(-1)  # all of it is in the centre
        matrix = w.flatten(1)
        tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
        identity = torch.eye(tall.shape[1], dtype=torch.float64)
        torch.testing.assert_close(tall.T @ tall, identity, atol=1e-5, rtol=0)
    if kind in DENSE:
        assert float(weights.square().mean()) == pytest.approx(declared, rel=1e-5)


@pytest.mark.parametrize("name", [n for n, r in init.RULES.items() if r.states == "fixed"])
@pytest.mark.parametrize("kind", DENSE)
def test_fixed_rules_have_the_mean_square_that_they_declare(name, kind):
    weights, declared = drawn(name, kind, 2)
    assert torch.equal(weights[0], weights[1])
    assert float(weights.square().mean()) == pytest.approx(declared, rel=1e-6)


def test_delta_orthogonal_convolutions_keep_the_length_of_images():
    weight = init.DeltaOrthogonal()(Fans(1, 1), (12, 8, 3, 3), seeded())
    x = torch.randn(4, 8, 9, 9, generator=seeded(1))
    y = torch.nn.functional.conv2d(x, weight, padding=1)
    torch.testing.assert_close(y.flatten(1).norm(dim=1), x.flatten(1).norm(dim=1))


@pytest.mark.parametrize("groups", [1, 4, 16])
def test_dirac_passes_images_on(groups):
    layer = nn.Conv2d(16, 16, 3, padding=1, groups=groups, bias=False)
    layer.load_state_dict(initialize(layer, init.Dirac(), seeded()))
    x = torch.randn(2, 16, 5, 5, generator=seeded(1))
    torch.testing.assert_close(layer(x), x)


def test_zero_is_hadamards_matrix_where_a_layer_widens():
    w = init.ZerO()(Fans(2, 4), (4, 2), seeded())
    expected = 2**-0.5 * torch.tensor([[1, 1], [1, -1], [1, 1], [1, -1.0]])
    torch.testing.assert_close(w, expected)
    assert torch.equal(init.ZerO()(Fans(4, 2), (2, 4), seeded()), torch.eye(2, 4))


def test_sparse_units_have_that_many_weights():
    w = init.Sparse(incoming=5).stack(Fans(40, 30), (30, 40), seeded(), 3)
    assert set((w != 0).sum(-1).flatten().tolist()) == {5}
    assert len({tuple(row.nonzero().flatten().tolist()) for row in w[0]}) > 25


@pytest.mark.parametrize("cut", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("corrected", [True, False])
def test_truncation_at_any_bound(cut, corrected):
    from scipy import stats

    rule = init.TruncatedNormal(std=0.3, cut=cut, corrected=corrected)
    x = rule(Fans(1, 1), (200, 200), seeded()).double()
    law = stats.truncnorm(-cut, cut)
    scale = 0.3 / law.std() if corrected else 0.3
    assert float(x.abs().max()) <= cut * scale * (1 + 1e-5)
    assert rule.variance(Fans(1, 1)) == pytest.approx(scale**2 * law.var(), rel=1e-9)
    assert stats.kstest(x.flatten().numpy() / scale, law.cdf).pvalue > 1e-3


@pytest.mark.parametrize("phi", ["relu", "tanh", "gelu", "silu", "mish", "sine", "abs", "selu"])
def test_quadrature_gains_keep_lengths_and_gradients(phi):
    f = activation(phi)
    z = torch.randn(400_000, generator=seeded(), dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(f(z).sum(), z)
    for keeps, x in (("second_moment", f(z).detach() ** 2), ("gradient", slope**2)):
        g2 = init.ForActivation(activation=phi, keeps=keeps).variance(Fans(1, 1))
        error = 4 * g2 * float(x.std()) / len(z) ** 0.5
        assert abs(float(x.mean()) * g2 - 1) <= error + 1e-12


def test_gains_take_any_function():
    assert init.gain(torch.relu) == pytest.approx(2**0.5, rel=1e-12)
    assert init.derivative_gain(lambda x: 3 * x) == pytest.approx(1 / 3, rel=1e-9)


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
