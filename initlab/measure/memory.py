"""Initialization memory: how much a trained network still tells of the scale that it began with.

Das, Beneventano et al. 2026 (arXiv 2605.29152) call so "the dependence of the validation-selected
predictor on the scale of the random initialization", and report it in points of test accuracy
between scales whose runs all interpolate. Their formula is not known; those here are this book's.
Scales and seeds are axes: accuracies have shape (scales, seeds).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from initlab.init.functional import FunctionalModule
from initlab.spec import spec


@spec
class Memory:
    """What a network keeps of its start, on the first `examples` test samples.

    At step 0, at every step that is 1 + `resolution` times the one before, and at the end: the
    `norm` of each weight of two axes or more (layer 1, 2, …), and `correlation`, that of the
    network's outputs with those it had at its start, over samples and classes, each sample's mean
    over classes and each class's over samples taken off. At the end the `class` that it gives each
    sample, `class/0000`, `class/0001`, …. Networks with normalization normalize by these samples
    where outputs are compared, and as they do in use where classes are given.
    """

    resolution: float = 1.0
    examples: int = 256

    def __post_init__(self) -> None:
        """Refuse impossible resolutions and numbers."""
        if not self.resolution > 0:
            raise ValueError(f"resolution must be > 0, not {self.resolution}")
        if self.examples < 2:
            raise ValueError(f"examples must be ≥ 2, not {self.examples}")

    def see(
        self,
        start: Mapping[str, Tensor],
        now: Mapping[str, Tensor],
        last: bool,
        network: Callable[[int, str], tuple[nn.Module, Tensor, Tensor]] | None = None,
    ) -> list[tuple[int, str, float]]:
        """(layer, statistic, value) of one network, which is asked for by `network`."""
        assert network is not None
        module, x, _ = network(self.examples, "test")
        weights = [p for p in now.values() if p.dim() > 1]
        rows = [(i, "norm", float(p.double().norm())) for i, p in enumerate(weights, 1)]
        first, outputs = (_outputs(module, params, x, train=True) for params in (start, now))
        rows.append((-1, "correlation", correlation(first, outputs)))
        if last:
            given = _outputs(module, now, x, train=False).argmax(-1)
            rows += [(-1, f"class/{i:04d}", float(c)) for i, c in enumerate(given.tolist())]
        return rows


@torch.no_grad()
def _outputs(module: nn.Module, params: Mapping[str, Tensor], x: Tensor, *, train: bool) -> Tensor:
    mode = module.training
    module.train(train)
    try:
        return FunctionalModule(module, params)(params, x)
    finally:
        module.train(mode)


def correlation(a: Tensor, b: Tensor) -> float:
    """Correlation of two networks' outputs, (N, classes) each; nan where one says nothing.

    >>> outputs = torch.eye(3)
    >>> round(correlation(outputs, 5 - 2 * outputs), 6)
    -1.0
    """
    a, b = (_centred(t.double()) for t in (a, b))
    lengths = a.norm() * b.norm()
    return float((a * b).sum() / lengths) if lengths > 0 else float("nan")


def _centred(t: Tensor) -> Tensor:
    t = t - t.mean(1, keepdim=True)
    return t - t.mean(0)


def selected(curves: pd.DataFrame, fitted: float = 0.995) -> pd.Series:
    """The moment of one run that validation selects: its `step` and all its statistics then.

    `curves` has columns step, statistic and value, with `train_accuracy` and
    `val_accuracy` among the statistics. Of the moments at which at least `fitted` of the
    training set are classified rightly, it is the earliest of the highest validation accuracy. A
    run that never interpolates gives nan throughout, and is not to be counted.
    """
    moments = curves.pivot(index="step", columns="statistic", values="value").reset_index()
    allowed = moments[moments.train_accuracy >= fitted]
    if allowed.empty:
        return moments.iloc[-1] * np.nan
    return allowed.loc[allowed.val_accuracy.idxmax()]


def spread(accuracy: ArrayLike) -> float:
    """Memory: the largest less the smallest mean over seeds among the scales, (scales, seeds).

    >>> spread([[0.25, 0.5], [0.75, 0.75]])
    0.375
    """
    return float(np.ptp(_table(accuracy).mean(1)))


def deviation(accuracy: ArrayLike) -> float:
    """Memory as a standard deviation: that of the scales' means over seeds.

    What seeds alone give it is taken off (one-way analysis of variance, random effects), so that
    it is 0 on average where scales do not matter; below that it counts as 0.
    """
    a = _table(accuracy)
    if a.shape[1] < 2:
        return float(a.mean(1).std(ddof=1))
    between, within = a.mean(1).var(ddof=1), a.var(1, ddof=1).mean() / a.shape[1]
    return float(max(between - within, 0.0) ** 0.5)


def spread_of_seeds(accuracy: ArrayLike, scales: int, seeds: int, *, draws: int = 2000) -> float:
    """The mean `spread` of as many `scales` × `seeds` where there is nothing but seeds.

    `accuracy` are runs at one scale, or deviations from the means of theirs, (any number,); sets of
    them are drawn with replacement, from a fixed seed.

    >>> spread_of_seeds([0.5, 0.5], scales=3, seeds=2)
    0.0
    """
    pool = np.asarray(accuracy, dtype=float).ravel()
    rng = np.random.default_rng(0)
    means = rng.choice(pool, (draws, scales, seeds)).mean(-1)
    return float(np.ptp(means, axis=1).mean())


def disagreement(classes: ArrayLike) -> float:
    """Share of samples to which two scales give different classes, (scales, seeds, samples).

    The mean over pairs of scales and over seeds; pairs have the same seed.

    >>> disagreement([[[0, 1, 2, 2]], [[0, 1, 2, 3]]])
    0.25
    """
    c = np.asarray(classes)
    if c.ndim != 3 or len(c) < 2:
        raise ValueError(f"classes are (scales ≥ 2, seeds, samples), not of shape {c.shape}")
    return float(np.mean([(a != b).mean() for a, b in combinations(c, 2)]))


def forgetting_time(steps: ArrayLike, values: ArrayLike, tolerance: float) -> float:
    """The first of `steps`, (T,), from which on scales differ by at most `tolerance`.

    `values`, (scales, T), are a number of each scale's network on the way, or its logarithm where
    ratios count. `inf` where the scales can still be told apart at the end.

    >>> forgetting_time([1, 10, 100], [[0, 1, 2], [9, 2, 2.5]], tolerance=1)
    10.0

    Raises `ValueError` where there are not as many values as steps.
    """
    t, v = np.asarray(steps, float), np.atleast_2d(np.asarray(values, float))
    if v.shape[1] != len(t):
        raise ValueError(f"{v.shape[1]} values were given for {len(t)} steps")
    apart = np.flatnonzero(~(np.ptp(v, axis=0) <= tolerance))
    after = 0 if not len(apart) else int(apart[-1]) + 1
    return float(t[after]) if after < len(t) else float("inf")


def _table(accuracy: ArrayLike) -> np.ndarray:
    a = np.asarray(accuracy, dtype=float)
    if a.ndim != 2 or len(a) < 2:
        raise ValueError(f"accuracies are (scales ≥ 2, seeds), not of shape {a.shape}")
    return a
