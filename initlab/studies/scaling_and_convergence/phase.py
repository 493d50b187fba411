"""Two inputs at a time: the phase diagram of tanh, and pairs followed through networks."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from initlab import init
from initlab.init import VarianceScaling
from initlab.measure import Correlation, meanfield
from initlab.spec import key
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.studies.scaling_and_convergence.signal import net
from initlab.sweep import Run

ACTIVATION = "tanh"
#: Cosine of the two inputs.
START = 0.5


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
            seed=s.seed,
        )
        for w in of_weights
        for b in of_biases
    }


@lru_cache
def diagram(s: Settings) -> pd.DataFrame:
    """The phase diagram of wide networks, with the cosine `c_star` at which two inputs end."""
    frame = meanfield.phase_diagram(
        ACTIVATION,
        np.linspace(0.4, 2.7, 6 if s.smoke else 15),
        np.linspace(0.0, 0.7, 4 if s.smoke else 8),
    )
    pairs = zip(frame.sigma_w, frame.sigma_b, strict=True)
    return frame.assign(c_star=[meanfield.c_star(ACTIVATION, w, b) for w, b in pairs])


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
        found.append(meanfield.activation_correlation(ACTIVATION, c, q))
        c = meanfield.correlation_map(ACTIVATION, c, sigma_w, sigma_b, q)
        q = float(meanfield.length_map(ACTIVATION, q, sigma_w, sigma_b))
    return pd.DataFrame({"layer": range(s.signal_depth + 1), "y": found})
