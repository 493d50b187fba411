"""Matrix products of stacked networks, by the fastest route that the machine has.

PyTorch's float32 products on the CPU are MKL's, which on other makers' processors stays far below
what they can do. Inside `fast()` the large product of networks that share their inputs goes
through oneDNN, and the others through numpy's BLAS, one small product per network and no copies.
Where there is neither (another device, another type), or outside `fast()`, they are torch's own.
Numbers differ by float32 rounding only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

_FAST: ContextVar[bool] = ContextVar("initlab_fast_products", default=False)


@lru_cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Products on as many threads as call them, and no more."""
    with _blas().limit(limits=1, user_api="blas"):
        yield


@contextmanager
def fast() -> Iterator[None]:
    """Take the fast routes in this thread; their results can be differentiated once."""
    token = _FAST.set(True)
    try:
        # A network that diverges overflows, which is a result and no reason to warn.
        with np.errstate(over="ignore", invalid="ignore"):
            yield
    finally:
        _FAST.reset(token)


def _takes(*tensors: Tensor) -> bool:
    return _FAST.get() and all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)


def batched(W: Tensor, h: Tensor) -> Tensor:
    """W h of each network: (R, m, k), (R, k, n) → (R, m, n)."""
    return _Batched.apply(W, h) if _takes(W, h) else torch.bmm(W, h)


def shared(W: Tensor, x: Tensor) -> Tensor:
    """W xᵀ of networks that share inputs: (R, m, k), (n, k) → (R, m, n), as one product."""
    if _takes(W, x) and not x.requires_grad:
        return _Shared.apply(W, x)
    return (W.flatten(0, 1) @ x.mT).unflatten(0, W.shape[:2])


def product(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """a b into `out`, and `out`: (…, m, k), (…, k, n) → (…, m, n), not recorded."""
    if out.device.type != "cpu":
        return torch.matmul(a, b, out=out)
    np.matmul(a.numpy(), b.numpy(), out=out.numpy())
    return out


def affine(W: Tensor, h: Tensor, b: Tensor | None, out: Tensor) -> Tensor:
    """W h + b into `out`, and `out`: (R, m, k), (R, k, n) and (R, m) → (R, m, n), not recorded."""
    if b is None:
        return product(W, h, out)
    if out.device.type != "cpu":
        return torch.baddbmm(b.unsqueeze(-1), W, h, out=out)
    return product(W, h, out).add_(b.unsqueeze(-1))


def _numpy(a: Tensor, b: Tensor) -> Tensor:
    return product(a.detach(), b.detach(), a.new_empty(*a.shape[:-1], b.shape[-1]))


@lru_cache
def has_onednn() -> bool:
    """Whether the product of oneDNN that torch keeps for its compiler is there."""
    try:
        one = torch.ones(1, 1)
        return float(torch.ops.mkldnn._linear_pointwise(one, one, None, "none", [], "")) == 1
    except (AttributeError, RuntimeError, TypeError):
        return False


class _Batched(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, W: Tensor, h: Tensor) -> Tensor:
        ctx.save_for_backward(W, h)
        return _numpy(W, h)

    @staticmethod
    @once_differentiable
    def backward(ctx, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        W, h = ctx.saved_tensors
        return (
            _numpy(g, h.mT) if ctx.needs_input_grad[0] else None,
            _numpy(W.mT, g) if ctx.needs_input_grad[1] else None,
        )


class _Shared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, W: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        rows = W.detach().flatten(0, 1)
        if has_onednn():
            out = torch.ops.mkldnn._linear_pointwise(rows, x, None, "none", [], "")
        else:
            out = _numpy(rows, x.mT)
        return torch.ops.aten._unsafe_view(out, (*W.shape[:2], len(x)))  # the caller adds to it

    @staticmethod
    @once_differentiable
    def backward(ctx, g: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return _numpy(g.flatten(0, 1), x).unflatten(0, g.shape[:2]), None
