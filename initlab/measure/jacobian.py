"""First derivatives of a network: singular values of the input–output Jacobian, and the NTK.

Both are exact, one backward pass for each output of each example, and so for few of them. With
`directions` v₁ … v_k only the k numbers v_i · output are differentiated: of a network with a
thousand outputs, a handful of random orthonormal directions tells the same about its depth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from initlab.init.functional import FunctionalModule, seeded
from initlab.measure.layers import default_generator, differentiable
from initlab.tree import apply, first


def random_directions(outputs: int, count: int, generator: torch.Generator) -> Tensor:
    """`count` orthonormal directions among `outputs` numbers, uniform: (count, outputs)."""
    return torch.linalg.qr(torch.empty(outputs, count).normal_(generator=generator))[0].T


def _each_output(outputs: Tensor, directions: Tensor | None, examples: int) -> list[list[Tensor]]:
    """The numbers to be differentiated, example by example."""
    flat = outputs[:examples].flatten(1)
    if directions is not None:
        if directions.dim() != 2 or directions.shape[1] != flat.shape[1]:
            raise ValueError(
                f"directions must be (number, outputs), with {flat.shape[1]} outputs, not "
                f"{tuple(directions.shape)}"
            )
        flat = flat @ directions.to(flat).T
    return [list(row.unbind()) for row in flat]


def jacobian(
    module: nn.Module,
    params: Mapping[str, Tensor],
    x: Tensor,
    *,
    examples: int | None = None,
    directions: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """∂output/∂input of the first `examples` of a batch (all by default): (examples, out, in).

    All of the batch passes through the network, because it may normalize by it; an example's
    Jacobian is by its own input. `generator` is for dropout. Raises `ValueError` for inputs that
    are no real numbers and for directions of another size.

    >>> W = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> jacobian(nn.Linear(2, 2, bias=False), {"weight": W}, torch.ones(1, 2))[0].tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    if not x.is_floating_point():
        raise ValueError(f"a Jacobian needs inputs that are real numbers, not {x.dtype}")
    network, rows = FunctionalModule(module, params), []
    leaf = x.detach().clone().requires_grad_()
    with torch.enable_grad(), seeded(default_generator(generator), network.device):
        outputs = network({n: p.detach() for n, p in params.items()}, leaf)
        for i, numbers in enumerate(_each_output(outputs, directions, examples or len(x))):
            own = [torch.autograd.grad(y, leaf, retain_graph=True)[0][i].flatten() for y in numbers]
            rows.append(torch.stack(own))
    return torch.stack(rows)


def singular_values(jacobians: Tensor) -> Tensor:
    """Singular values of Jacobians (examples, out, in), largest first: (examples, min(out, in)).

    A signal from the input keeps its norm where they are one (dynamical isometry: Pennington,
    Schoenholz & Ganguli 2017).
    """
    if not bool(torch.isfinite(jacobians).all()):  # of a network that overflows
        return torch.full((*jacobians.shape[:-2], min(jacobians.shape[-2:])), torch.nan)
    return torch.linalg.svdvals(jacobians.double())


def ntk(
    module: nn.Module,
    params: Mapping[str, Tensor],
    x: Any,
    *,
    examples: int | None = None,
    directions: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The empirical neural tangent kernel Θ = J Jᵀ, J by all `params`: a symmetric matrix, float64.

    Rows and columns are the outputs of the first example, then those of the second, and so on
    (Jacot, Gabriel & Hongler 2018). All gradients are held at once: outputs · parameters numbers.

    >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> ntk(nn.Linear(2, 1, bias=False), {"weight": torch.zeros(1, 2)}, x).tolist()
    [[5.0, 11.0], [11.0, 25.0]]
    """
    network, rows = FunctionalModule(module, params), []
    leaves = differentiable(network.module, params)
    with (
        torch.enable_grad(),
        seeded(default_generator(generator), network.device),
        sdpa_kernel(SDPBackend.MATH),
    ):
        outputs = network(leaves, apply(Tensor.detach, x))
        for numbers in _each_output(outputs, directions, examples or len(first(x))):
            for y in numbers:
                grads = torch.autograd.grad(
                    y, list(leaves.values()), retain_graph=True, materialize_grads=True
                )
                rows.append(grads)
    each = (torch.stack([t.flatten() for t in same]).double() for same in zip(*rows, strict=True))
    kernel = sum(own @ own.T for own in each)
    assert isinstance(kernel, Tensor)
    return kernel


def eigenvalues(kernel: Tensor) -> Tensor:
    """Eigenvalues of a symmetric matrix, largest first, float64."""
    if not bool(torch.isfinite(kernel).all()):  # of a network that overflows
        return torch.full((len(kernel),), torch.nan, dtype=torch.float64)
    return torch.linalg.eigvalsh(kernel).flip(0)
