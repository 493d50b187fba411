"""Theory of wide random networks with any activation: second moments, correlations, edge of chaos.

Layers are h^l = W^l φ(h^(l−1)) + b^l with independent Gaussian entries of variance σ_w²/n and
σ_b² (Poole et al. 2016; Schoenholz et al. 2017). As the width grows, every h is Gaussian: its
variance q and the correlation c of two inputs follow the maps below. `phi` is the name of an
activation, or any elementwise function of a float64 tensor.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike

from initlab.measure import quadrature
from initlab.measure.quadrature import LARGEST, SMALLEST, Phi, slopes, values
from initlab.threads import in_threads

#: Where fixed points of q are looked for, and steps of bisection inside one interval.
_GRID = np.geomspace(1e-20, 1e20, 321)
_ONE = 160
_BISECTIONS = 56
#: Differences that are rounding.
_TINY = 1e-12
#: A χ₁ that is farther from 1 than this where its sign changes jumps there.
_JUMP = 1e-4
#: Standard deviations among which the edge of chaos is looked for.
SIGMAS = (0.01, 100.0)


def _sigmas(sigma_w: ArrayLike, sigma_b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    pair = np.asarray(sigma_w, dtype=float), np.asarray(sigma_b, dtype=float)
    for name, given in zip(("sigma_w", "sigma_b"), pair, strict=True):
        if not (np.isfinite(given) & (given >= 0)).all():
            raise ValueError(
                f"{name} must be a standard deviation, a finite number ≥ 0, not {given}"
            )
    return pair


def _check_q(q: ArrayLike) -> np.ndarray:
    q = np.asarray(q, dtype=float)
    if not (q >= 0).all():
        raise ValueError(f"q must be a variance, ≥ 0, not {q}")
    return q


def _check_c(c: float) -> float:
    if not -1 <= c <= 1:
        raise ValueError(f"c must be a correlation, from -1 to 1, not {c!r}")
    return float(c)


def mean_square(phi: Phi, q: ArrayLike) -> np.ndarray:
    """E φ(√q z)², z ~ N(0, 1): the second moment of a layer whose pre-activations have variance q.

    >>> float(mean_square("relu", 3.0).round(12))
    1.5
    """
    return quadrature.mean(values, phi, _check_q(q))[()]


def mean_square_slope(phi: Phi, q: ArrayLike) -> np.ndarray:
    """E φ′(√q z)²: what the activation leaves of the mean square of a gradient.

    Times the weights' variance and fan-out it is the ratio of two layers' gradients.
    """
    return quadrature.mean(slopes, phi, _check_q(q))[()]


def second_moment_map(
    phi: Phi, q: ArrayLike, sigma_w: ArrayLike = 1.0, sigma_b: ArrayLike = 0.0
) -> np.ndarray:
    """V(q) = σ_w² E φ(√q z)² + σ_b²: the variance of the next layer (Poole et al. 2016, eq. 3)."""
    sigma_w, sigma_b = _sigmas(sigma_w, sigma_b)
    return (sigma_w**2 * mean_square(phi, q) + sigma_b**2)[()]


def q_star(phi: Phi, sigma_w: ArrayLike, sigma_b: ArrayLike = 0.0) -> np.ndarray:
    """q*, the variance that a signal of variance 1 tends to with depth: V(q*) = q*.

    0 where it dies out and infinity where it grows without bound. For ReLU at σ_w² = 2, σ_b = 0
    every q is a fixed point, and 1 is where the signal stays.

    >>> float(q_star("relu", 1.0, 1.0).round(12))
    2.0
    """
    sigma_w, sigma_b = np.broadcast_arrays(*_sigmas(sigma_w, sigma_b))
    w2, b2 = sigma_w.ravel() ** 2, sigma_b.ravel() ** 2
    # V depends on q through one mean: a table of it brackets the fixed points of all σ.
    excess = np.outer(w2, quadrature.mean(values, phi, _GRID)) + b2[:, None] - _GRID
    excess[np.abs(excess) <= _TINY * _GRID] = 0
    low, high = np.array([_bracket(row) for row in excess]).reshape(-1, 2).T.copy()
    open_ = low < high
    for _ in range(_BISECTIONS):
        middle = np.sqrt(low[open_] * high[open_])
        up = w2[open_] * quadrature.mean(values, phi, middle) + b2[open_] > middle
        low[open_] = np.where(up, middle, low[open_])
        high[open_] = np.where(up, high[open_], middle)
    return ((low + high) / 2).reshape(sigma_w.shape)[()]


def _bracket(excess: np.ndarray) -> tuple[float, float]:
    """Between which two points of the grid V(q) − q first turns, on the way that q takes from 1."""
    if excess[_ONE] == 0:
        return 1.0, 1.0
    if excess[_ONE] > 0:
        turned = np.flatnonzero(excess[_ONE:] < 0)
        if not len(turned):
            return np.inf, np.inf
        return _GRID[_ONE + turned[0] - 1], _GRID[_ONE + turned[0]]
    turned = np.flatnonzero(excess[:_ONE] > 0)
    return (_GRID[turned[-1]], _GRID[turned[-1] + 1]) if len(turned) else (0.0, 0.0)


def chi_1(phi: Phi, sigma_w: ArrayLike, sigma_b: ArrayLike = 0.0) -> np.ndarray:
    """χ₁ = σ_w² E φ′(√q* z)² (Schoenholz et al. 2017, eq. 5): what a layer multiplies gradients by.

    Below 1 two inputs become one signal and gradients vanish, above 1 they part and gradients
    explode; 1 is the edge of chaos. Where q* is 0 or infinite it is the limit.

    >>> float(chi_1("relu", sigma_w=2**0.5).round(12))
    1.0
    """
    sigma_w, _ = _sigmas(sigma_w, sigma_b)
    return (sigma_w**2 * quadrature.mean(slopes, phi, q_star(phi, sigma_w, sigma_b)))[()]


def xi(phi: Phi, sigma_w: ArrayLike, sigma_b: ArrayLike = 0.0) -> np.ndarray:
    """ξ = −1/ln χ₁, in layers: over this depth the mean square of a gradient falls by a factor e.

    In the ordered phase also the depth over which two inputs become one (see
    `correlation_length`). Infinite at the edge of chaos, negative where gradients grow.

    >>> float(xi("linear", 0.5).round(6))
    0.721348
    """
    log = np.log(chi_1(phi, sigma_w, sigma_b))
    with np.errstate(divide="ignore"):
        return np.where(np.abs(log) <= _TINY, np.inf, -1 / np.where(log == 0, 1, log))[()]


def _at(phi: Phi, sigma_w: float, sigma_b: float, q: float | None) -> float:
    q = float(q_star(phi, sigma_w, sigma_b) if q is None else _check_q(q))
    return float(np.clip(q, SMALLEST, LARGEST))


def correlation_map(
    phi: Phi, c: float, sigma_w: float, sigma_b: float = 0.0, q: float | None = None
) -> float:
    """c′ = (σ_w² E φ(u) φ(v) + σ_b²)/V(q), u and v of variance q and correlation c.

    The correlation of two inputs' pre-activations in the next layer (Schoenholz et al. 2017, eq.
    4). q is q* unless given; where that is 0 or infinite, c′ is the limit.

    >>> round(correlation_map("relu", 0.0, 2**0.5), 12) == round(1 / np.pi, 12)
    True
    """
    c, q = _check_c(c), _at(phi, sigma_w, sigma_b, q)
    b2 = float(sigma_b) ** 2
    overlap = float(sigma_w) ** 2 * quadrature.mean_product(values, phi, q, c) + b2
    return overlap / float(second_moment_map(phi, q, sigma_w, sigma_b))


def activation_correlation(phi: Phi, c: float, q: float = 1.0) -> float:
    """Cosine between the activations of two inputs whose pre-activations have correlation c.

    It is what `initlab.measure.Correlation` measures.

    >>> round(activation_correlation("linear", 0.3), 12)
    0.3
    """
    return correlation_map(phi, c, 1.0, 0.0, q)


def _slope(phi: Phi, c: float, sigma_w: float, sigma_b: float, q: float) -> float:
    """dc′/dc at q*; at c = 1 and a finite q* it is χ₁."""
    product_ = quadrature.mean_product(slopes, phi, q, c)
    return float(sigma_w) ** 2 * product_ * q / float(second_moment_map(phi, q, sigma_w, sigma_b))


def c_star(phi: Phi, sigma_w: ArrayLike, sigma_b: ArrayLike = 0.0) -> np.ndarray:
    """c*, the correlation that any two different inputs tend to with depth.

    1 in the ordered phase and at the edge of chaos, below 1 in the chaotic phase.

    >>> c_star("tanh", [1.0, 3.0], 0.5).round(2).tolist()
    [1.0, 0.17]
    """
    sigma_w, sigma_b = np.broadcast_arrays(*_sigmas(sigma_w, sigma_b))
    q = np.clip(q_star(phi, sigma_w, sigma_b), SMALLEST, LARGEST)
    points = list(zip(sigma_w.flat, sigma_b.flat, np.asarray(q).flat, strict=True))
    found = in_threads(lambda point: _c_star(phi, *point), points)
    return np.array(found).reshape(sigma_w.shape)[()]


def _c_star(phi: Phi, sigma_w: float, sigma_b: float, q: float) -> float:
    if _slope(phi, 1.0, sigma_w, sigma_b, q) <= 1 + 1e-9:
        return 1.0

    def growth(c: float) -> float:
        return correlation_map(phi, c, sigma_w, sigma_b, q) - c

    # The map is a power series in c with coefficients ≥ 0, so it crosses c′ = c once below 1.
    nearest = next((1 - d for d in 10.0 ** np.arange(-7, 0) if growth(1 - d) < 0), None)
    if nearest is None:
        return 1.0  # so little chaos that c* is 1 to these digits
    return (
        0.0
        if abs(growth(0.0)) <= _TINY
        else float(scipy.optimize.brentq(growth, 0.0, nearest, xtol=1e-13))
    )


def correlation_length(phi: Phi, sigma_w: float, sigma_b: float = 0.0) -> float:
    """ξ_c = −1/ln χ(c*), in layers: over this depth c − c* falls by a factor e in both phases.

    χ(c*) is the slope of the correlation map at its fixed point (Schoenholz et al. 2017, eq. 9);
    in the ordered phase it is χ₁. Infinite at the edge of chaos.
    """
    q = _at(phi, sigma_w, sigma_b, None)
    slope = _slope(phi, float(c_star(phi, sigma_w, sigma_b)), sigma_w, sigma_b, q)
    return float("inf") if abs(slope - 1) <= _TINY else -1 / float(np.log(slope))


def edge_of_chaos(phi: Phi, sigma_b: float = 0.0) -> float:
    """The smallest σ_w with χ₁ = 1 at a given σ_b.

    Raises `ValueError` where there is none between 0.01 and 100.

    >>> round(edge_of_chaos("relu") ** 2, 9)
    2.0
    """
    sigmas = np.geomspace(*SIGMAS, 201)
    above = chi_1(phi, sigmas, sigma_b) >= 1
    jumps = []
    for i in np.flatnonzero(above[1:] != above[:-1]):
        low, high = sigmas[i], sigmas[i + 1]
        edge = scipy.optimize.brentq(lambda s: chi_1(phi, s, sigma_b) - 1, low, high, xtol=1e-14)
        if abs(chi_1(phi, edge, sigma_b) - 1) < _JUMP:
            return float(edge)
        jumps.append(edge)  # q* jumps from one fixed point to another, and χ₁ with it
    jumped = f"it jumps over 1 at sigma_w = {jumps[0]:.4g}, where q* jumps; " if jumps else ""
    raise ValueError(
        f"χ₁ is 1 for no sigma_w from {SIGMAS[0]:g} to {SIGMAS[1]:g} at sigma_b = {sigma_b:g}: "
        f"{jumped}{phi!r} has no edge of chaos there"
    )


def phase_diagram(phi: Phi, sigma_w: ArrayLike, sigma_b: ArrayLike) -> pd.DataFrame:
    """q*, χ₁ and ξ on the grid of the given standard deviations, as a tidy frame.

    Columns `sigma_w`, `sigma_b`, `q_star`, `chi_1`, `xi`; one row per pair.

    >>> phase_diagram("relu", [1.0, 2.0], [0.0]).chi_1.round(9).tolist()
    [0.5, 2.0]
    """
    pairs = list(product(np.atleast_1d(sigma_w), np.atleast_1d(sigma_b)))
    w, b = np.array(pairs, dtype=float).T
    return pd.DataFrame(
        {
            "sigma_w": w,
            "sigma_b": b,
            "q_star": q_star(phi, w, b),
            "chi_1": chi_1(phi, w, b),
            "xi": xi(phi, w, b),
        }
    )
