"""How far gradients of networks of finite width are from those of infinite width: C-2f."""

from __future__ import annotations

from functools import lru_cache
from math import log

import numpy as np
import pandas as pd

from initlab import claims, init
from initlab.claims import Estimate
from initlab.measure import Signal, meanfield
from initlab.models import MLP
from initlab.spec import key
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence.ends import mean_with_ends
from initlab.studies.scaling_and_convergence.level import level
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.studies.scaling_and_convergence.signal import width
from initlab.sweep import Run

#: Activations that are followed from their gain.
ACTIVATIONS = ("tanh", "selu")


def widths(s: Settings) -> list[int]:
    """A quarter of the usual width, doubled three times."""
    return [width(s) // 4 * k for k in (1, 2, 4, 8)]


@lru_cache
def runs(s: Settings) -> dict[tuple[str, int], Run]:
    """Networks that start at the fixed point of their mean square, by activation and width."""
    cells = [(a, n) for a in ACTIVATIONS for n in widths(s)]
    return {
        (a, n): Run(
            MLP.constant(s.signal_depth, n, inputs=n, outputs=None, activation=a),
            level(a),
            networks=2 * s.networks,
            measure=Signal(layers="last", reduce=False),
            seed=s.seeds.start + 100 * (i + 1),
        )
        for i, (a, n) in enumerate(cells)
    }


def expected(activation: str, depth: int) -> float:
    """ln of D_0/D_depth of the gradients in infinitely wide networks of this kind."""
    ratio = init.gain(activation) ** 2 * float(meanfield.mean_square_slope(activation, 1.0))
    return depth * log(ratio) - 2 * log(init.gain(activation))


@lru_cache(maxsize=4)
def deviations(results: Results[Settings]) -> dict[tuple[str, int], np.ndarray]:
    """ln of the gradients' ratio between neighbouring layers, mean over layers, less that of
    infinitely wide networks.

    Returns:
        One number per network, (networks,), by activation and width.
    """
    frame = results.frame[results.frame.statistic == "backward"]
    of = frame.set_index(["key", "layer", "network"]).value.sort_index()
    found = {}
    for cell, run in runs(results.settings).items():
        depth = run.model.depth  # type: ignore[union-attr]
        first, last = (of.loc[key(run), layer].to_numpy() for layer in (0, depth))
        found[cell] = (np.log(first / last) - expected(cell[0], depth)) / depth
    return found


def frame(results: Results[Settings]) -> pd.DataFrame:
    """How much less a layer passes on than in infinitely wide networks, in percent.

    Returns:
        By `activation` and `width` the `mean` over networks, ends of its interval, and `n`.
    """
    return pd.DataFrame(
        [
            {"activation": a, "width": n} | mean_with_ends(-100 * x) | {"n": len(x)}
            for (a, n), x in deviations(results).items()
        ]
    )


def exponent(samples: dict[int, np.ndarray]) -> Estimate:
    """Least-squares slope of ln |mean deviation| against ln width.

    Args:
        samples: deviations of the networks, (networks,), by width.
    """
    x = np.log(list(samples))
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()

    def slope(*drawn: np.ndarray) -> np.ndarray:
        return np.log(np.abs(np.stack([d.mean(-1) for d in drawn], -1))) @ weights

    return claims.bca(slope, *samples.values(), vectorized=True)


def estimates(results: Results[Settings]) -> dict[str, Estimate]:
    """Of the criteria of C-2f."""
    found = deviations(results)
    return {
        f"C-2f.{a}": exponent({n: x for (b, n), x in found.items() if b == a}) for a in ACTIVATIONS
    }
