"""How far the scale of the weights may be off: octaves around He's that train."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np

from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence.ends import by_scale, ends, factor_of
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.sweep import Run


def fewest(results: Results[Settings], runs: Sequence[Run]) -> tuple[np.ndarray, np.ndarray]:
    """The fewest epochs at any rate, of each network that is judged.

    Args:
        results: of the chapter.
        runs: of one network, from some factors on He's scale.

    Returns:
        The factors in ascending order, (scales,), and epochs, (seeds, scales): infinite where the
        goal was not reached at any rate.
    """
    frame = ends(results, runs).assign(scale=[round(factor_of(run), 4) for run in runs])
    frame = frame[~frame.seed.isin(results.settings.tuning_seeds)]
    seen = frame.assign(epochs=frame.epochs.where(frame.reached > 0, inf))
    table = seen.groupby(["seed", "scale"]).epochs.min().unstack()
    scales = sorted(by_scale(runs))
    return np.array(scales), table[scales].to_numpy()


def stretch(scales: np.ndarray, works: np.ndarray) -> float:
    """Octaves around 1 that work.

    A scale of the grid stands for the stretch half way to its neighbours; the ends for the half
    that lies inside.

    Args:
        scales: ascending, (scales,).
        works: of each, whether it does, (scales,).

    >>> stretch(np.array([0.5, 1.0, 2.0]), np.array([True, True, False]))
    1.5
    """
    at = np.log2(scales)
    edges = np.concatenate([at[:1], (at[1:] + at[:-1]) / 2, at[-1:]])
    low = high = int(np.abs(at).argmin())
    if not works[low]:
        return 0.0
    while low > 0 and works[low - 1]:
        low -= 1
    while high < len(works) - 1 and works[high + 1]:
        high += 1
    return float(edges[high + 1] - edges[low])


def octaves(results: Results[Settings], runs: Sequence[Run], *, within: float = inf) -> np.ndarray:
    """Octaves of scale around He's from which a network gets to its goal at some rate.

    Args:
        results: of the chapter.
        runs: of one network, from some factors on He's scale.
        within: at most so many times the seed's own fewest epochs; the whole budget if left out.

    Returns:
        One number per seed, (seeds,).
    """
    scales, epochs = fewest(results, runs)
    limits = within * epochs.min(axis=1, keepdims=True) if within < inf else inf
    works = np.isfinite(epochs) & (epochs <= limits)
    return np.array([stretch(scales, row) for row in works])
