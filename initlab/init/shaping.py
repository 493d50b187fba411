"""Activations that are transformed so that deep networks of them start well: kernel shaping."""

from __future__ import annotations

from functools import lru_cache
from math import exp, sqrt

import numpy as np
import torch

from initlab.models import Transformed, activation

#: Nodes of the Gauss–Hermite rule by which the numbers are found, and of one that checks them: for
#: smooth activations both are exact to the tolerance, at a kink they differ.
NODES, CHECKS = 200, 151
#: Largest error of a condition that still counts as met.
TOLERANCE = 1e-9
#: Variance at which an activation counts as constant, and the largest |log α| that is tried.
LEAST, MOST = 1e-30, 20.0
#: Where the input's scale (its logarithm) and shift are looked for first.
STARTS = ((0.0, 0.0), (-1.0, 0.0), (-1.0, 0.5), (-1.0, -0.5), (0.0, 1.0), (0.0, -1.0))


@lru_cache
def deep_kernel_shaping(name: str, depth: int, zeta: float = 1.5) -> Transformed:
    """A smooth activation, transformed so that `depth` layers of it keep signals apart.

    Deep Kernel Shaping (Martens et al. 2021) chooses γ(φ(αx + β) + δ) such that with weights of
    variance 1/fan-in a layer keeps the mean square 1 of its inputs (Q(1) = 1), and nearly keeps one
    that is a little off (Q′(1) = 1); leaves inputs at a right angle there (C(0) = 0); and all
    `depth` layers together part two inputs that are nearly equal by no more than `zeta`
    (C′(1) = ζ^(1/depth)). Q maps the mean square of the inputs to that of the outputs, C the
    cosine of two inputs to that of their outputs. The paper draws weights that are orthogonal.

    Args:
        name: of the activation.
        depth: number of its layers in the network.
        zeta: ζ > 1; the paper's is 1.5.

    Returns:
        The transformed activation, its four numbers rounded to nine digits.

    Raises:
        ValueError: for no layers, a ζ of 1 or less, and an activation for which no four numbers
            meet the conditions, such as ReLU.

    >>> shaped = deep_kernel_shaping("gelu", depth=50)
    >>> z = torch.randn(10**6, generator=torch.Generator().manual_seed(0))
    >>> abs(round(float(shaped(z).mean()), 2)), round(float(shaped(z).square().mean()), 1)
    (0.0, 1.0)
    """
    from scipy import optimize  # slow to import

    if depth < 1 or not zeta > 1:
        raise ValueError(f"depth must be ≥ 1 and zeta > 1, not {depth} and {zeta}")
    wanted = zeta ** (1 / depth)
    for start in STARTS:
        found = optimize.root(_errors, start, (name, wanted, NODES), tol=1e-13).x
        if all(np.abs(_errors(found, name, wanted, n)).max() < TOLERANCE for n in (NODES, CHECKS)):
            alpha, beta = exp(found[0]), float(found[1])
            mean, variance, *_ = _moments(name, alpha, beta, NODES)
            numbers = (alpha, beta, 1 / sqrt(variance), -mean)
            return Transformed(name, *(round(v, 9) for v in numbers))
    raise ValueError(
        f"{name} has no such transformation for {depth} layers and zeta = {zeta:g}: it must be "
        "smooth and no straight line, and zeta ** (1 / depth) not too far from 1"
    )


def _moments(name: str, alpha: float, beta: float, nodes: int) -> tuple[float, ...]:
    """Of f = φ(αz + β), z standard normal: mean, variance, E z f̃ f̃′ and E f̃′², f̃ = f − E f."""
    z, weights = np.polynomial.hermite_e.hermegauss(nodes)
    weights = weights / weights.sum()
    x = torch.from_numpy(alpha * z + beta).requires_grad_()
    with torch.enable_grad():
        y = activation(name)(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
    f, slopes = y.detach().numpy(), alpha * slope.numpy()
    mean = float(weights @ f)
    f = f - mean
    return mean, *(float(weights @ g) for g in (f**2, z * f * slopes, slopes**2))


def _errors(point: np.ndarray, name: str, wanted: float, nodes: int) -> np.ndarray:
    """Q′(1) − 1 and C′(1) less the one that is wanted, at (log α, β)."""
    alpha = exp(np.clip(point[0], -MOST, MOST))
    _, variance, keeps, parts = _moments(name, alpha, point[1], nodes)
    if variance < LEAST:
        return np.ones(2)  # constant, as ReLU is far to the left
    return np.array([keeps / variance - 1, parts / variance - wanted])
