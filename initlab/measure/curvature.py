"""Second derivatives of the loss: the Hessian's largest eigenvalue, and how gradients change.

Nothing larger than a few gradients is held. Which eigenvalue was found is told with its residual:
an eigenvalue of the Hessian lies within it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from initlab.init.evaluate import Network, batch_loss, check_batch, seeded
from initlab.init.quotient import gradient_quotient
from initlab.measure.layers import default_generator

__all__ = ["Eigenvalue", "gradient_quotient", "largest", "top_eigenvalue"]


class Eigenvalue(NamedTuple):
    """An approximate eigenvalue λ with its unit vector v, ‖A v − λ v‖ and the products it took."""

    value: float
    residual: float
    products: int
    vector: Tensor


def largest(
    product: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    products: int = 100,
    tolerance: float = 1e-3,
) -> Eigenvalue:
    """The largest eigenvalue of a symmetric matrix that is known by its products with vectors.

    Locally optimal conjugate gradients (Knyazev 2001) from the vector `start`: each step takes the
    best vector among the present one, its residual and the last direction, for one product. Ends
    when the residual is at most `tolerance` times |λ|, or after `products`. From a start that is
    not orthogonal to its eigenvector it tends to the largest eigenvalue, not the largest in size.

    >>> A = torch.diag(torch.tensor([3.0, 1.0, -5.0], dtype=torch.float64))
    >>> found = largest(lambda v: A @ v, torch.ones(3, dtype=torch.float64), tolerance=1e-9)
    >>> round(found.value, 9)
    3.0
    """
    x = start / start.norm()
    Ax, p, Ap = product(x), None, None
    for used in range(1, products + 1):
        value = float(x @ Ax)
        r = Ax - value * x
        residual = float(r.norm())
        if used == products or not residual > tolerance * abs(value):
            break
        w = r / residual
        w = w - (x @ w) * x
        w = w / w.norm()
        basis, images = [x, w], [Ax, product(w)]
        if p is not None and Ap is not None:
            for _ in range(2):  # twice is enough for orthogonality in floating point
                for b, image in zip(basis, images, strict=True):
                    along = b @ p
                    p, Ap = p - along * b, Ap - along * image
            length = p.norm()
            if length > 1e-6:
                basis.append(p / length)
                images.append(Ap / length)
        S, AS = torch.stack(basis), torch.stack(images)
        small = (S @ AS.T).double()
        best = torch.linalg.eigh((small + small.T) / 2).eigenvectors[:, -1].to(S)
        p, Ap = best[1:] @ S[1:], best[1:] @ AS[1:]
        p, Ap = p / p.norm().clamp_min(1e-30), Ap / p.norm().clamp_min(1e-30)
        x, Ax = best @ S, best @ AS
        x, Ax = x / x.norm(), Ax / x.norm()
    return Eigenvalue(value, residual, used, x)


def top_eigenvalue(
    module: nn.Module,
    params: Mapping[str, Tensor],
    batch: tuple[Tensor, Tensor],
    *,
    products: int = 100,
    tolerance: float = 1e-3,
    generator: torch.Generator | None = None,
) -> Eigenvalue:
    """The largest eigenvalue of the Hessian of the loss by all `params`, with its residual.

    The loss is the batch's mean cross-entropy for classes, else the mean squared error. Gradient
    descent is stable at rates below 2 over the eigenvalue. See `largest`; the start is drawn from
    `generator`, and so is dropout, the same in every product.

    >>> net, x = nn.Linear(2, 1, bias=False), torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    >>> found = top_eigenvalue(net, {"weight": torch.zeros(1, 2)}, (x, torch.zeros(2, 1)))
    >>> round(found.value, 4)  # the loss is (9 w₁² + w₂²)/2
    9.0
    """
    x, y = check_batch(batch)
    g = default_generator(generator)
    network = Network(module, params)
    leaves = {name: p.detach().clone().requires_grad_() for name, p in params.items()}
    with (
        torch.enable_grad(),
        seeded(g, network.device),
        sdpa_kernel(SDPBackend.MATH),  # the others differentiate once only
    ):
        loss = batch_loss(network(leaves, x.detach().clone()), y)
        grads = torch.autograd.grad(
            loss, list(leaves.values()), create_graph=True, materialize_grads=True
        )
        slope = torch.cat([grad.flatten() for grad in grads])

        def product(v: Tensor) -> Tensor:
            if not slope.requires_grad:  # a loss that is linear in its parameters
                return torch.zeros_like(v)
            parts = torch.autograd.grad(
                slope, list(leaves.values()), v, retain_graph=True, materialize_grads=True
            )
            return torch.cat([part.flatten() for part in parts])

        start = torch.empty(slope.shape).normal_(generator=g).to(slope)
        return largest(product, start, products=products, tolerance=tolerance)
