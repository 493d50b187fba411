"""What theory says of second moments in random ReLU networks, to hold measurements against.

The setting is that of Hanin & Rolnick 2018, "How to start training" (arXiv 1803.01719): layers
act^(j) = ReLU(W^(j) act^(j−1) + b^(j)), j = 1 … d, with n_j units, W^(j) independent and
symmetric about 0, and the second moment M_j = ‖act^(j)‖² / n_j. Expectations are over weights and
biases, with the input fixed. `widths` is always n_1, …, n_d: the input's size does not matter.

The paper proves bounds; for Gaussian weights the values below are exact. D1–D5 are the labels
under which the book's study lists them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import erf, exp, expm1, inf, log1p, log10, pi, sqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

#: Widths n_1, …, n_d; a single number is one layer.
Widths: TypeAlias = Sequence[int] | np.ndarray | int


def _layers(widths: Widths) -> np.ndarray:
    """Widths as an array of floats; a single width is a network of one layer."""
    n = np.atleast_1d(np.asarray(widths))
    if n.ndim != 1 or n.size == 0 or not np.issubdtype(n.dtype, np.integer) or n.min() < 1:
        raise ValueError(f"widths must be one or more whole numbers ≥ 1, not {widths!r}")
    return n.astype(float)


def _per_layer(name: str, value: ArrayLike, d: int) -> np.ndarray:
    """A finite, non-negative value for each of d layers."""
    values = np.asarray(value, dtype=float)
    if values.shape not in ((), (d,)) or not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError(
            f"{name} must be one number ≥ 0, or one for each of {d} layers, not {value!r}"
        )
    return np.broadcast_to(values, d)


def mean_second_moment(
    widths_or_depth: Widths,
    s: ArrayLike = 2.0,
    nu2: ArrayLike = 0.0,
    M_0: float = 1.0,
    *,
    last_layer_linear: bool = False,
) -> np.ndarray:
    """D1: the expected second moments E[M_1], …, E[M_d], an array of d numbers.

    E[M_j | M_(j−1)] = (s/2) M_(j−1) + ν₂/2, because a symmetric pre-activation is positive half
    of the time. At s = 2 the weights neither shrink nor grow the second moment, and biases add:
    E[M_d] = M_0 + ½ Σ_j ν₂^(j). Widths play no part.

    Args:
        widths_or_depth: The depth d, or the d widths, of which only the number counts.
        s: Weight variance times fan-in, for all layers or one for each.
        nu2: Second moment ν₂ of the biases, for all layers or one for each.
        M_0: Second moment of the input.
        last_layer_linear: Whether layer d is without ReLU; its M is then twice as large.

    Raises:
        ValueError: For a depth below 1, a negative s, ν₂ or M_0, or the wrong number of them.

    >>> mean_second_moment(3)
    array([1., 1., 1.])
    >>> mean_second_moment([50, 40, 30], nu2=[1.0, 0.5, 0.25])  # sums of ½ ν₂
    array([1.5  , 1.75 , 1.875])
    >>> mean_second_moment(2, s=4.0, last_layer_linear=True)
    array([2., 8.])
    """
    if np.ndim(widths_or_depth) == 0:
        if not isinstance(widths_or_depth, int | np.integer) or widths_or_depth < 1:
            raise ValueError(f"depth must be a whole number ≥ 1, not {widths_or_depth!r}")
        d = int(widths_or_depth)
    else:
        d = len(_layers(widths_or_depth))
    s, nu2 = _per_layer("s", s, d), _per_layer("nu2", nu2, d)
    M = np.empty(d)
    before = _checked(M_0)
    for j in range(d):
        M[j] = before = s[j] / 2 * before + nu2[j] / 2
    if last_layer_linear:
        M[-1] *= 2
    return M


def _checked(M_0: float) -> float:
    if not 0 <= M_0 < inf:
        raise ValueError(f"a second moment must be ≥ 0 and finite, not {M_0!r}")
    return float(M_0)


def growth_per_layer(variance: float, fan_in: int) -> float:
    """D1 without biases: log10 of the factor by which a layer multiplies the mean second moment.

    log10(variance · fan_in / 2): 0 for He, −0.30 for LeCun, +0.30 for twice He's variance.

    >>> round(growth_per_layer(variance=1 / 100, fan_in=100), 4)  # LeCun
    -0.301
    >>> n = 100
    >>> round(growth_per_layer(truncation_factor() * 2 / (n + n), n), 4)  # Glorot, truncated
    -0.4124
    """
    if not (variance > 0 and fan_in > 0):
        raise ValueError(f"variance and fan_in must be > 0, not {variance!r} and {fan_in!r}")
    return log10(variance * fan_in / 2)


def truncation_factor(bound: float = 2.0) -> float:
    """The share of a normal's variance that is left when draws beyond ±`bound` sd are redrawn.

    1 − 2 b φ(b) / (2 Φ(b) − 1). He's initializer with truncation at 2 and without correction
    has 77 % of its intended variance, which is why its second moment decays.

    >>> round(truncation_factor(2.0), 4)
    0.7737
    """
    if not bound > 0:
        raise ValueError(f"bound must be > 0, not {bound!r}")
    if bound == inf:
        return 1.0
    density = exp(-(bound**2) / 2) / sqrt(2 * pi)
    return 1 - 2 * bound * density / erf(bound / sqrt(2))


def ratio_variance(n: int) -> float:
    """D2: the variance of M_j / M_(j−1) in a layer of n units: 5/n; the ratio's mean is 1.

    For Gaussian weights of variance 2/fan-in and no bias the ratio has the law of
    (2/n) Σ ReLU(z_i)², z_i standard normal, whatever came before.

    >>> ratio_variance(20)
    0.25
    """
    widths = _layers(n)
    if len(widths) != 1:
        raise ValueError(f"ratio_variance takes the width of one layer, not {n!r}")
    return float(5 / widths.item())


def second_moment(widths: Widths, M_0: float = 1.0) -> np.ndarray:
    """D2: E[M_1²], …, E[M_d²] for Gaussian weights of variance 2/fan-in without bias.

    E[M_j²] = M_0² Π_(k≤j) (1 + 5/n_k): exponential in the sum of reciprocal widths, and the
    same for any order of the layers.

    >>> second_moment([5, 10])
    array([2., 3.])
    """
    return _checked(M_0) ** 2 * np.cumprod(1 + 5 / _layers(widths))


def expected_empirical_variance(widths: Widths, M_0: float = 1.0) -> float:
    """D3: E[V̂ar[M]], the expected variance of M_1 … M_d over the layers of one network.

    (M_0²/d²) Σ_j (2j − d − 1) P_j with P_j = Π_(k≤j) (1 + 5/n_k). It runs over the ReLU layers,
    not the input, and is exact where Hanin & Rolnick 2018 give bounds. A sample mean needs far
    more networks than one would think once Σ 1/n_j is above 1: nearly all of the expectation is
    then owed to few networks.

    >>> round(expected_empirical_variance([15] * 20), 1)
    41.3
    """
    n = _layers(widths)
    d = len(n)
    # The factors 2j − d − 1 add up to 0, so P_j − 1 does for P_j, and keeps wide layers exact.
    P_minus_1 = np.expm1(np.cumsum(np.log1p(5 / n)))
    return float(_checked(M_0) ** 2 / d**2 * ((2 * np.arange(1, d + 1) - d - 1) @ P_minus_1))


def residual_mean_second_moment(
    M: ArrayLike, mean_x: ArrayLike, eta: ArrayLike = 1.0
) -> np.ndarray:
    """D4: E[M_l | x] after one residual module x + η ReLU(W x), where x has second moment M.

    (1 + η²) M + 2 η mean(x) √(M/π), for Gaussian W of variance 2/fan-in without bias; `mean_x`
    is the mean of x's components. Arguments broadcast. The cross term of order η is why Σ η_l,
    and not Σ η_l², decides whether second moments stay bounded in Hanin & Rolnick 2018.

    >>> float(residual_mean_second_moment(M=1.0, mean_x=0.0, eta=0.5))
    1.25
    """
    M, mean_x, eta = (np.asarray(v, dtype=float) for v in (M, mean_x, eta))
    if (mean_x**2 > M * (1 + 1e-9)).any():
        raise ValueError(
            "mean_x² must be ≤ M, for no x has a squared mean above its mean square, not "
            f"mean_x = {mean_x} with M = {M}"
        )
    return (1 + eta**2) * M + 2 * eta * mean_x * np.sqrt(M / pi)


def dead_layer_probability(widths: Widths) -> float:
    """D5: the probability that at least one layer is silent for a given input other than 0.

    1 − Π_j (1 − 2^(−n_j)), for symmetric weights without bias; 2^(−n) for a single layer, given
    as its width. A network with such a layer passes nothing on and never trains.

    >>> round(dead_layer_probability(5), 5)
    0.03125
    >>> round(dead_layer_probability([10] * 30), 4)
    0.0289
    """
    return -expm1(sum(log1p(-(2.0**-n)) for n in _layers(widths)))
