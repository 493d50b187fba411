"""Second derivatives of the loss: the Hessian's largest eigenvalue, and how gradients change.

Nothing larger than a few gradients is held. The eigenvalue comes with its residual, within which
an eigenvalue of the Hessian lies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite, nan
from typing import NamedTuple

import scipy
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from initlab.init.functional import FunctionalModule, batch_loss, check_batch, seeded
from initlab.init.quotient import gradient_quotient
from initlab.measure.layers import default_generator, differentiable
from initlab.tree import apply

__all__ = ["Eigenvalue", "gradient_quotient", "largest", "top_eigenvalue"]


class Eigenvalue(NamedTuple):
    """An approximate eigenvalue, the residual within which one lies, and the products it took."""

    value: float
    residual: float
    products: int


def largest(
    product: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    products: int = 100,
    tolerance: float = 1e-3,
) -> Eigenvalue:
    """The largest eigenvalue of a symmetric matrix that is known by its products with vectors.

    Lanczos' three-term recurrence from the vector `start`; three vectors are held. Ends when the
    residual ‖A v − λ v‖ of the best unit vector v in the space so far is at most `tolerance` times
    |λ|, or after `products`. It is the largest eigenvalue, not the largest in size, and missed
    only by a start that is orthogonal to its vector. `product` gives a new vector each time.

    Raises `ValueError` for fewer than one product.

    >>> A = torch.diag(torch.tensor([3.0, 1.0, -5.0], dtype=torch.float64))
    >>> found = largest(lambda v: A @ v, torch.ones(3, dtype=torch.float64), tolerance=1e-9)
    >>> round(found.value, 9), found.products
    (3.0, 3)
    """
    if type(products) is not int or products < 1:
        raise ValueError(f"products must be a whole number ≥ 1, not {products!r}")
    v, before = start / start.norm(), None
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        w = product(v)
        if before is not None:
            w.sub_(before, alpha=beside[-1])
        diagonal.append(float(w @ v))
        w.sub_(v, alpha=diagonal[-1])
        length = float(w.norm())
        if not isfinite(length):  # a network that overflows
            return Eigenvalue(nan, nan, len(diagonal))
        values, vectors = scipy.linalg.eigh_tridiagonal(diagonal, beside)
        value, residual = float(values[-1]), length * abs(float(vectors[-1, -1]))
        if residual <= tolerance * abs(value) or len(diagonal) == min(products, len(v)):
            return Eigenvalue(value, residual, len(diagonal))
        beside.append(length)
        before, v = v, w.div_(length)


def top_eigenvalue(
    module: nn.Module,
    params: Mapping[str, Tensor],
    batch: tuple[Tensor, Tensor],
    *,
    products: int = 100,
    tolerance: float = 1e-3,
    generator: torch.Generator | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Eigenvalue:
    """The largest eigenvalue of the Hessian of the loss by all `params`, with its residual.

    The loss is the batch's mean cross-entropy for classes, else the mean squared error, or the mean
    over examples that `loss` makes of outputs and targets. Gradient
    descent is stable at rates below 2 over the eigenvalue. See `largest`; the start is drawn from
    `generator`, and so is dropout, the same in every product.

    >>> net, x = nn.Linear(2, 1, bias=False), torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    >>> found = top_eigenvalue(net, {"weight": torch.zeros(1, 2)}, (x, torch.zeros(2, 1)))
    >>> round(found.value, 4)  # the loss is (9 w₁² + w₂²)/2
    9.0
    """
    x, y = check_batch(batch)
    g = default_generator(generator)
    network = FunctionalModule(module, params)
    leaves = differentiable(network.module, params)
    with (
        torch.enable_grad(),
        seeded(g, network.device),
        sdpa_kernel(SDPBackend.MATH),  # the others differentiate once only
    ):
        value = (loss or batch_loss)(network(leaves, apply(Tensor.detach, x)), y)
        values = list(leaves.values())
        grads = torch.autograd.grad(value, values, create_graph=True, materialize_grads=True)
        sizes = [p.numel() for p in values]
        # A gradient that is constant has no derivative.
        curved = [i for i, grad in enumerate(grads) if grad.requires_grad]

        def product(v: Tensor) -> Tensor:
            if not curved:
                return torch.zeros_like(v)
            along = [part.view_as(p) for part, p in zip(v.split(sizes), values, strict=True)]
            parts = torch.autograd.grad(
                [grads[i] for i in curved],
                values,
                [along[i] for i in curved],
                retain_graph=True,
                materialize_grads=True,
            )
            return torch.cat([part.flatten() for part in parts])

        start = torch.empty(sum(sizes)).normal_(generator=g).to(values[0])
        return largest(product, start, products=products, tolerance=tolerance)
