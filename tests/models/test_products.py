"""The fast products are torch's own to float32 rounding, with the same gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from initlab.models import products

SIZES = st.integers(1, 9)


def tensors(*shapes, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(s, generator=generator, dtype=dtype).requires_grad_() for s in shapes]


@settings(max_examples=30)
@given(R=SIZES, m=SIZES, k=SIZES, n=SIZES)
def test_batched_products_and_their_gradients(R, m, k, n):
    W, h = tensors((R, m, k), (R, k, n))
    expected = torch.bmm(W, h)
    g = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, (W, h), g)
    with products.fast():
        found = products.batched(W, h)
        got = torch.autograd.grad(found, (W, h), g)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("onednn", [True, False])
def test_products_of_shared_inputs(onednn, monkeypatch):
    if not onednn:
        monkeypatch.setattr(products, "has_onednn", lambda: False)
    W, x = tensors((3, 4, 5), (7, 5))
    x = x.detach()
    expected = torch.einsum("rmk,nk->rmn", W, x)
    g = torch.randn_like(expected)
    with products.fast():
        found = products.shared(W, x)
        [got] = torch.autograd.grad(found, W, g)
        found.add_(1)  # the caller may write over it
    torch.testing.assert_close(found - 1, expected)
    torch.testing.assert_close(got, torch.autograd.grad(expected, W, g)[0])


def test_other_types_and_inputs_that_need_gradients_fall_through():
    with products.fast():
        W, x = tensors((3, 4, 5), (7, 5), dtype=torch.float64)
        assert torch.autograd.gradcheck(products.shared, (W, x))
        W, h = tensors((2, 3, 4), (2, 4, 2), dtype=torch.float64)
        assert torch.autograd.gradgradcheck(products.batched, (W, h))
        W, x = tensors((3, 4, 5), (7, 5))
        assert products.shared(W, x).grad_fn.name() != "_SharedBackward"


def test_outside_second_derivatives_are_there():
    W, h = tensors((2, 3, 4), (2, 4, 2))
    [g] = torch.autograd.grad(products.batched(W, h).square().sum(), W, create_graph=True)
    [second] = torch.autograd.grad(g.sum(), W)
    assert second.abs().sum() > 0


def test_a_network_that_overflows_does_not_warn(recwarn):
    W = torch.full((1, 2, 2), 1e30)
    with products.fast():
        assert torch.isinf(products.batched(W, W)).all()
    assert not recwarn.list
