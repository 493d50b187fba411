"""GradInit: factors that make the first step go well, within the bound on the gradient."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch.func import functional_call

from initlab.init import HeNormal, initialize
from initlab.init.gradinit import GradInit, _halves
from initlab.models import MLP, ResNet9, ResNet18


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_for(shape, count: int = 48) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(count, *shape, generator=seeded(5))
    return x, (x.flatten(1)[:, :4] + 0.1).argmax(1)


def first_step(module, params, batch, scheme) -> tuple[float, float]:
    """Length of the gradient on the batch, and the loss after the first step."""
    x, y = batch
    leaves = {n: p.detach().requires_grad_() for n, p in params.items()}
    own = {n: b.clone() for n, b in module.named_buffers()}
    loss = F.cross_entropy(functional_call(module, {**leaves, **own}, (x,)), y)
    grads = torch.autograd.grad(loss, list(leaves.values()))
    sgd = scheme.optimizer == "sgd"
    stepped = {
        n: p.detach() - scheme.lr * (g if sgd else g.sign())
        for (n, p), g in zip(leaves.items(), grads, strict=True)
    }
    after = F.cross_entropy(functional_call(module, {**stepped, **own}, (x,)), y)
    norm = 2 if sgd else 1
    return float(torch.cat([g.flatten() for g in grads]).norm(norm)), float(after.detach())


@pytest.mark.parametrize(
    ("model", "scheme"),
    [
        (MLP((24,) * 6, inputs=10, outputs=4), GradInit(HeNormal(scale=6.0), steps=150)),
        (
            MLP((24,) * 6, inputs=10, outputs=4),
            GradInit(HeNormal(scale=6.0), "adam", lr=1e-3, bound=10.0, steps=300),
        ),
        (ResNet18(width=2, input_shape=(1, 8, 8), outputs=4, norm="none"), GradInit(steps=60)),
        (ResNet9(width=2, input_shape=(1, 8, 8), outputs=4), GradInit(bound=5.0, steps=60)),
    ],
    ids=["sgd", "adam", "resnet", "normalized"],
)
def test_the_first_step_goes_better_and_the_gradient_is_bounded(model, scheme):
    module, batch = model.build(), batch_for(model.input_shape)
    plain = initialize(module, scheme.rule, seeded(1))
    params = initialize(module, scheme, seeded(1), batch=batch)
    _, before = first_step(module, plain, batch, scheme)
    length, after = first_step(module, params, batch, scheme)
    assert after < before
    assert length < 1.3 * scheme.bound  # on the whole batch; it was held on parts of it
    for name, p in plain.items():  # each tensor times one factor, not below the floor
        if p.any():
            factor = float(params[name].norm() / p.norm())
            assert factor >= scheme.floor - 1e-6
            torch.testing.assert_close(params[name], factor * p, rtol=1e-4, atol=1e-6)
        else:
            assert not params[name].any()


def test_one_step_by_its_definition():
    """Adam's first step moves each factor by its rate, against the sign of the goal's slope."""
    model = MLP((6,), inputs=10, outputs=4, activation="tanh", bias=False)
    module, (x, y) = model.build(), batch_for((10,), 30)
    start = initialize(module, HeNormal(), seeded(2))
    seen, held = _halves(30, seeded(7))
    for bound in (1e-3, 1e3):  # the gradient is longer, or shorter
        scheme = GradInit(bound=bound, steps=1, rate=0.01)
        moved = scheme.fit(module, start, (x, y), seeded(7))

        def goal(name, factor, bound=bound):
            params = {n: p * (factor if n == name else 1) for n, p in start.items()}
            leaves = {n: p.detach().requires_grad_() for n, p in params.items()}
            loss = F.cross_entropy(functional_call(module, leaves, (x[seen],)), y[seen])
            grads = torch.autograd.grad(loss, list(leaves.values()))
            if bound == 1e-3:
                return float(torch.cat([g.flatten() for g in grads]).norm())
            stepped = {n: p - 0.1 * g for (n, p), g in zip(leaves.items(), grads, strict=True)}
            return float(
                F.cross_entropy(functional_call(module, stepped, (x[held],)), y[held]).detach()
            )

        for name, p in start.items():
            up = goal(name, 1.01) > goal(name, 0.99)
            factor = float(moved[name].norm() / p.norm())
            assert factor == pytest.approx(0.99 if up else 1.01, abs=1e-4)


def test_halves_share_half_of_their_examples():
    seen, held = _halves(31, seeded())
    assert len(seen) == len(held) == 20
    assert len(set(seen.tolist()) & set(held.tolist())) == 10
    assert [len(part) for part in _halves(2, seeded())] == [2, 2]


def test_torchvisions_resnet_is_only_read():
    module, batch = torchvision.models.resnet18(num_classes=4), batch_for((3, 32, 32), 6)
    before = {n: t.clone() for n, t in module.state_dict().items()}
    state = torch.get_rng_state()
    one, two = (initialize(module, GradInit(steps=2), seeded(), batch=batch) for _ in range(2))
    assert all(torch.equal(one[n], two[n]) for n in dict(module.named_parameters()))
    assert all(torch.equal(t, before[n]) for n, t in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in module.parameters())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: GradInit(optimizer="lars"), "unknown optimizer 'lars'; known: sgd, adam"),
        (lambda: GradInit(steps=1.5), "steps must be a whole number, not 1.5"),
        (lambda: GradInit(bound=-1.0), "bound must be a finite number ≥ 0, not -1.0"),
    ],
)
def test_bad_input_is_refused(make, says):
    with pytest.raises(ValueError) as error:
        make()
    assert says in str(error.value)


def test_a_loss_that_is_no_number_is_told():
    module, batch = MLP((6, 6), inputs=10, outputs=4).build(), batch_for((10,))
    with pytest.raises(ValueError, match="loss of GradInit is no longer finite; take a smaller"):
        initialize(module, GradInit(HeNormal(scale=1e30)), seeded(), batch=batch)
