"""Means of any activation over one Gaussian and over two correlated ones, to 1e-12.

Kinks are where quadrature fails: with a node near one, ReLU's mean square is wrong in the third
digit. So the line is split at the kinks, and panels of Gauss–Legendre nodes shrink towards
them by powers of two, which also catches functions that are steep there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from initlab.models import activation

#: An activation by name, or any elementwise function of a float64 tensor.
Phi: TypeAlias = str | Callable[[Tensor], Tensor]

#: Where kinks are looked for: nodes that are no round numbers, where kinks are.
_LINE = np.linspace(-40.0137, 40.0171, 8009)
#: A slope that changes by more than this between two neighbours bends there, or jumps.
_BEND = 1e-3
#: Beyond this many standard deviations a Gaussian is zero in float64.
FAR = 12.0
#: SecondMoments at which a network's signal counts as gone or as infinite.
SMALLEST, LARGEST = 1e-24, 1e24


def _panels() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [0, 1] that crowd towards 0."""
    edges = np.concatenate([[0.0], 2.0 ** np.arange(-16, -4), np.arange(1, 17) / 16])
    nodes, weights = np.polynomial.legendre.leggauss(10)
    width = np.diff(edges)[:, None]
    return (
        (edges[:-1, None] + width * (nodes + 1) / 2).ravel(),
        (width * weights / 2).ravel(),
    )


_NODES, _WEIGHTS = _panels()
#: Outer nodes of a double integral at once: what belongs to them fits in a processor's cache.
_ROWS = 56


def _gaussian(centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of z ~ N(0, 1) that crowd towards sorted centers: (…, K) → (…, n) twice."""
    centers = np.clip(centers, -FAR, FAR)
    middle = (centers[..., 1:] + centers[..., :-1]) / 2
    end = np.full_like(centers[..., :1], FAR)
    ends = np.concatenate([-end, middle, end], -1)
    span = np.stack([ends[..., :-1] - centers, ends[..., 1:] - centers], -1)[..., None]
    z = centers[..., None, None] + span * _NODES
    w = np.abs(span) * _WEIGHTS * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    flat = (*centers.shape[:-1], 2 * centers.shape[-1] * _NODES.size)
    return z.reshape(flat), w.reshape(flat)


@lru_cache(maxsize=256)
def _kinks(phi: Phi) -> np.ndarray:
    """Zero, and where the slope of φ jumps: found by bisection between neighbours on a line."""
    bends = np.flatnonzero(np.abs(np.diff(slopes(phi, _LINE))) > _BEND)
    low, high = _LINE[bends], _LINE[bends + 1]
    for _ in range(50):
        middle = (low + high) / 2
        a, b, c = slopes(phi, np.concatenate([low, middle, high])).reshape(3, -1)
        lower = np.abs(b - a) >= np.abs(c - b)
        low, high = np.where(lower, low, middle), np.where(lower, middle, high)
    a, c = slopes(phi, np.concatenate([low, high])).reshape(2, -1)
    at_a_point = np.abs(c - a) > _BEND / 10  # and not over a stretch
    return np.unique([0.0, *np.round(high[at_a_point], 9)])


def values(phi: Phi, x: np.ndarray) -> np.ndarray:
    """φ(x), elementwise; raises `ValueError` for an unknown name and for what is no function of
    single numbers.
    """
    function = activation(phi) if isinstance(phi, str) else phi
    with torch.no_grad():
        y = function(torch.from_numpy(x).clone())
    return _as_array(y, x)


def slopes(phi: Phi, x: np.ndarray) -> np.ndarray:
    """φ′(x), elementwise, by differentiation of the code of φ; raises as `values` does."""
    function = activation(phi) if isinstance(phi, str) else phi
    with torch.enable_grad():
        at = torch.from_numpy(x).clone().requires_grad_()
        # Not the leaf itself: functions that write over their input may be differentiated too.
        y = function(at * 1)
        if not isinstance(y, Tensor):
            return _as_array(y, x)
        if not y.requires_grad:  # a constant
            return np.zeros_like(x)
        (slope,) = torch.autograd.grad(y.sum(), at)
    return _as_array(slope, x)


def _as_array(y: object, x: np.ndarray) -> np.ndarray:
    if not isinstance(y, Tensor) or y.shape != x.shape or y.dtype != torch.float64:
        raise ValueError(
            "an activation is a name, or a function of a float64 tensor that gives one of the "
            f"same shape, not {y if not isinstance(y, Tensor) else tuple(y.shape)!r}"
        )
    return y.numpy()


def mean(function: Callable[[Phi, np.ndarray], np.ndarray], phi: Phi, q: ArrayLike) -> np.ndarray:
    """E f(√q z)² of f = φ (`values`) or φ′ (`slopes`), z ~ N(0, 1), for each q."""
    root = np.sqrt(np.clip(np.asarray(q, dtype=float), SMALLEST, LARGEST))
    z, w = _gaussian(_kinks(phi) / root[..., None])
    return (w * function(phi, root[..., None] * z) ** 2).sum(-1)


def mean_product(
    function: Callable[[Phi, np.ndarray], np.ndarray], phi: Phi, q: float, c: float
) -> float:
    """E f(u) f(v) of f = φ or φ′, with u and v Gaussian of variance q and correlation c."""
    root = np.sqrt(np.clip(float(q), SMALLEST, LARGEST))
    kinks = _kinks(phi) / root
    z, w = _gaussian(kinks)
    outer = w * function(phi, root * z)
    if abs(c) == 1:
        return float((outer * function(phi, c * root * z)).sum())
    s, inner = np.sqrt((1 - c) * (1 + c)), np.empty_like(z)
    for rows in np.split(np.arange(z.size), range(_ROWS, z.size, _ROWS)):
        along = c * z[rows, None]
        t, v = _gaussian((kinks - along) / s)
        inner[rows] = (v * function(phi, root * (along + s * t))).sum(-1)
    return float((outer * inner).sum())
