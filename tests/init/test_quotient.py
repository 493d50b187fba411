"""The gradient quotient against its definition, and MetaInit that lowers it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.func import functional_call

from initlab.init import GlorotNormal, HeNormal, Normal, initialize
from initlab.init.quotient import MetaInit, gradient_quotient, quotient
from initlab.models import MLP, ResNet9, ResNet18


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_for(shape, count: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(count, *shape, generator=seeded(5)), torch.arange(count) % 4


def test_by_hand():
    """L = θᵀAθ/2 has g = Aθ and Hg = A²θ: the quotient is the mean of |(A²θ)ᵢ/(Aθ)ᵢ|."""
    A = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    theta = torch.tensor([1.0, 3.0], dtype=torch.float64, requires_grad=True)
    g, Hg = A @ theta.detach(), A @ A @ theta.detach()
    found = quotient(theta @ A @ theta / 2, [theta], epsilon=0.0)
    assert float(found.detach()) == pytest.approx(float((Hg / g).abs().mean()), abs=1e-12)


def test_against_the_full_hessian():
    """Every entry, with ε of the sign of g, from a Hessian that is computed in full."""
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4)).double()
    params = {n: p.detach() for n, p in module.named_parameters()}
    x, y = batch_for((3,))
    batch = x.double(), y

    def loss(flat):
        values, at = {}, 0
        for name, p in params.items():
            values[name] = flat[at : at + p.numel()].view_as(p)
            at += p.numel()
        return F.cross_entropy(functional_call(module, values, (batch[0],)), y)

    flat = torch.cat([p.flatten() for p in params.values()])
    g, H = torch.func.grad(loss)(flat), torch.func.hessian(loss)(flat)
    for epsilon in (1e-5, 1e-2):
        signed = torch.where(g >= 0, epsilon, -epsilon)
        expected = ((g - H @ g) / (g + signed) - 1).abs().mean()
        found = gradient_quotient(module, params, batch, epsilon)
        assert found == pytest.approx(float(expected), rel=1e-9)
    assert all(p.grad is None for p in module.parameters())


def test_a_linear_loss_has_quotient_zero():
    """Where H = 0 only ε is left: |g/(g ± ε) − 1| < ε/|g|."""
    theta = torch.tensor([1.0, -2.0], requires_grad=True)
    assert float(quotient((theta * torch.tensor([3.0, 4.0])).sum(), [theta])) < 1e-5


def test_batch_normalization_is_torchs():
    """It is computed otherwise (torch's has no third derivative); the value is the same."""
    model = ResNet9(width=2, input_shape=(1, 8, 8), activation="tanh")
    module, batch = model.build(), batch_for((1, 8, 8))
    params = initialize(module, HeNormal(), seeded())
    leaves = {n: p.requires_grad_() for n, p in params.items()}
    for mode in (True, False):
        module.train(mode)
        own = {n: b.clone() for n, b in module.named_buffers()}
        loss = F.cross_entropy(functional_call(module, {**leaves, **own}, (batch[0],)), batch[1])
        expected = float(quotient(loss, list(leaves.values())).detach())
        assert gradient_quotient(module, params, batch) == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize(
    ("model", "scheme"),
    [
        (MLP((20,) * 8, inputs=10, outputs=4), MetaInit(Normal(0.5))),
        (
            MLP((20,) * 8, inputs=10, outputs=4, activation="tanh"),
            MetaInit(GlorotNormal(scale=8.0)),
        ),
        (ResNet18(width=2, input_shape=(1, 8, 8), outputs=4, norm="none"), MetaInit(rate=0.03)),
        (ResNet18(width=2, input_shape=(1, 8, 8), outputs=4), MetaInit()),
    ],
    ids=["relu", "tanh", "resnet", "normalized"],
)
def test_metainit_lowers_the_quotient(model, scheme):
    module, batch = model.build(), batch_for(model.input_shape)
    scheme = dataclasses.replace(scheme, steps=25)
    plain = initialize(module, scheme.rule, seeded(1))
    params = initialize(module, scheme, seeded(1), batch=batch)
    before, after = (gradient_quotient(module, p, batch) for p in (plain, params))
    assert after < 0.7 * before
    for name, p in plain.items():  # only the lengths of weights have changed
        if p.dim() > 1:
            assert float(F.cosine_similarity(p.flatten(), params[name].flatten(), 0)) > 0.9999
        else:
            assert torch.equal(p, params[name])


def test_one_step_by_its_definition():
    """Algorithm 1: norms move by rate · sign of the derivative, against it."""
    module, batch = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4)), batch_for((3,))
    start = initialize(module, Normal(1.5), seeded(2))
    scheme = MetaInit(Normal(1.5), steps=1, rate=0.01)
    moved = scheme.fit(module, start, batch, seeded())

    def at(factors) -> float:
        scaled = {n: p * factors.get(n, 1.0) for n, p in start.items()}
        return gradient_quotient(module, scaled, batch)

    for name in ("0.weight", "2.weight"):
        slope = at({name: 1.001}) - at({name: 0.999})
        norm = float(start[name].norm())
        expected = (norm - 0.01 * (1 if slope > 0 else -1)) / norm
        assert float(moved[name].norm()) / norm == pytest.approx(expected, abs=1e-4)


def test_torchvisions_resnet_can_be_metainitialized():
    module, batch = torchvision.models.resnet18(num_classes=4), batch_for((3, 32, 32), 4)
    before = {n: t.clone() for n, t in module.state_dict().items()}
    params = initialize(module, MetaInit(steps=1), seeded(), batch=batch)
    assert set(params) == set(dict(module.named_parameters()))
    assert all(bool(p.isfinite().all()) for p in params.values())
    assert all(torch.equal(t, before[n]) for n, t in module.state_dict().items())


def test_targets_may_be_numbers():
    net, x = nn.Linear(3, 2), torch.randn(8, 3, generator=seeded())
    params = {n: p.detach() for n, p in net.named_parameters()}
    assert gradient_quotient(net, params, (x, torch.zeros(8, 2))) > 0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: MetaInit(steps=0), "steps must be a whole number ≥ 1, not 0"),
        (lambda: MetaInit(rate=-0.1), "rate must be a finite number ≥ 0, not -0.1"),
        (
            lambda: gradient_quotient(
                nn.Linear(2, 3), {"weight": torch.ones(3, 2)}, (torch.ones(4, 2), torch.ones(4))
            ),
            "numbers of the shape of the outputs, not (4,) torch.float32 for outputs (4, 3)",
        ),
    ],
)
def test_bad_input_is_refused(make, says):
    with pytest.raises(ValueError) as error:
        make()
    assert says in str(error.value)
