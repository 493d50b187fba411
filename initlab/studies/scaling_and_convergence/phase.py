"""Two inputs at a time: the phase diagram of tanh, and pairs followed through networks."""

from __future__ import annotations

from functools import lru_cache
from math import sqrt

import numpy as np
import pandas as pd
from numpy.polynomial.polynomial import polyval
from scipy.optimize import brentq

from initlab import init
from initlab.init import VarianceScaling
from initlab.measure import Correlation, meanfield
from initlab.measure.quadrature import FAR, values
from initlab.spec import key
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.studies.scaling_and_convergence.signal import net
from initlab.sweep import Run

ACTIVATION = "tanh"
#: Cosine of the two inputs.
START = 0.5
#: Of the power series of the correlation map, and of the integrals that give it.
TERMS, NODES = 300, 1000


def sigmas(s: Settings) -> tuple[list[float], list[float]]:
    """Standard deviations of weights (times the root of the fan-in) and of biases."""
    if s.smoke:
        return [0.5, 1.5], [0.0, 0.3]
    return [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5], [0.0, 0.1, 0.2, 0.4, 0.6]


@lru_cache
def runs(s: Settings) -> dict[tuple[float, float], Run]:
    """Pairs of inputs, followed through weights and biases of all sizes, by (σ_w, σ_b)."""
    of_weights, of_biases = sigmas(s)
    return {
        (w, b): Run(
            net(s, ACTIVATION),
            VarianceScaling(scale=round(w**2, 9)),
            bias=init.Normal(std=b),
            networks=max(4, s.networks // 5),
            measure=Correlation(start=START),
            seed=s.seeds.start,
        )
        for w in of_weights
        for b in of_biases
    }


@lru_cache
def _nodes() -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(NODES)


@lru_cache(maxsize=256)
def series(q: float) -> np.ndarray:
    """E φ(u) φ(v) as a power series in the correlation c of u and v, Gaussian of variance q.

    By Mehler's formula its coefficients are the squares of those of φ(√q z) in orthonormal Hermite
    polynomials. `initlab.measure.meanfield.correlation_map` gives the same one c at a time.

    Args:
        q: variance; for tanh up to about 10, which the number of terms allows.

    Returns:
        Coefficients in ascending order, (TERMS,).
    """
    at, weight = _nodes()
    z = FAR * at
    value = FAR * weight * np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * values(ACTIVATION, sqrt(q) * z)
    before, polynomial = np.zeros_like(z), np.ones_like(z)
    found = []
    for k in range(TERMS):
        found.append(float((value * polynomial).sum()) ** 2)
        after = (z * polynomial - sqrt(k) * before) / sqrt(k + 1)
        before, polynomial = polynomial, after
    return np.array(found)


def next_correlation(c: float, sigma_w: float, sigma_b: float, q: float) -> float:
    """The correlation of two inputs after one more layer."""
    b2 = sigma_b**2
    overlap = float(polyval(c, series(q))), float(series(q).sum())
    return (sigma_w**2 * overlap[0] + b2) / (sigma_w**2 * overlap[1] + b2)


def limit(sigma_w: float, sigma_b: float, q: float, chi_1: float) -> float:
    """The correlation that two inputs tend to with depth, `meanfield.c_star` at q* and χ₁."""
    if chi_1 <= 1 + 1e-9:
        return 1.0

    def growth(c: float) -> float:
        return next_correlation(c, sigma_w, sigma_b, q) - c

    # A power series with coefficients ≥ 0 crosses c′ = c once below 1.
    nearest = next((1 - d for d in 10.0 ** np.arange(-7, 0) if growth(1 - d) < 0), None)
    if nearest is None:
        return 1.0
    return 0.0 if sigma_b == 0 else float(brentq(growth, 0.0, nearest, xtol=1e-13))


@lru_cache
def diagram(s: Settings) -> pd.DataFrame:
    """The phase diagram of wide networks, with the cosine `c_star` at which two inputs end."""
    frame = meanfield.phase_diagram(
        ACTIVATION,
        np.linspace(0.4, 2.7, 6 if s.smoke else 15),
        np.linspace(0.0, 0.7, 4 if s.smoke else 8),
    )
    points = zip(frame.sigma_w, frame.sigma_b, frame.q_star, frame.chi_1, strict=True)
    return frame.assign(c_star=[limit(*point) for point in points])


def measured(results: Results[Settings]) -> pd.DataFrame:
    """The mean cosine of the two by `sigma_w`, `sigma_b` and `layer`, as `measured`."""
    means = results.frame[results.frame.statistic == "mean"].set_index(["key", "layer"]).value
    return pd.DataFrame(
        [
            {"sigma_w": w, "sigma_b": b, "layer": j, "measured": c}
            for (w, b), run in runs(results.settings).items()
            for j, c in means.loc[key(run)].items()
        ]
    )


def expected(s: Settings, sigma_w: float, sigma_b: float) -> pd.DataFrame:
    """The cosine by `layer` in infinitely wide networks, as `y`."""
    # The inputs are a layer of mean square 1; from there the two maps are applied in turn.
    q = sigma_w**2 + sigma_b**2
    c = (sigma_w**2 * START + sigma_b**2) / q
    found = [START]
    for _ in range(s.signal_depth):
        found.append(float(polyval(c, series(q)) / series(q).sum()))
        c = next_correlation(c, sigma_w, sigma_b, q)
        q = sigma_w**2 * float(series(q).sum()) + sigma_b**2
    return pd.DataFrame({"layer": range(s.signal_depth + 1), "y": found})
