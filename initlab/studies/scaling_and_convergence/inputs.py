"""The size of the inputs as a part of the scale: C-8."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd

from initlab import claims, sweep
from initlab.claims import Estimate
from initlab.data import Data, load
from initlab.models import MLP
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence.ends import by_scale, tuned
from initlab.studies.scaling_and_convergence.networks import (
    images,
    relu_net,
    scaled,
    sgd,
    trained,
)
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.sweep import Run
from initlab.train import CrossEntropy

#: The inputs from whose curve the others are predicted.
REFERENCE = "pixels 0 to 1"
#: Learning rates: inputs ten times as large ask for others.
RATES = tuple(round(10 ** (k / 2), 7) for k in range(-10, 4))


def data(s: Settings) -> dict[str, Data]:
    """The same images in four sizes."""
    return {
        "pixels × 0.1": images(s, s.samples, scaling="unit", gain=0.1),
        "pixels 0 to 1": images(s, s.samples, scaling="unit"),
        "pixels × 10": images(s, s.samples, scaling="unit", gain=10.0),
        "standardized": images(s, s.samples),
    }


@lru_cache
def runs(s: Settings) -> dict[str, list[Run]]:
    """One hidden layer: scale × rate × seed, by the name of the inputs."""
    scales = [0.5, 1.0, 2.0] if s.smoke else [2.0**k for k in range(-3, 4)]
    return {
        name: trained(
            s,
            relu_net(s, 1),
            map(scaled, scales),
            on=of,
            optimizers=sgd(s.rates if s.smoke else RATES),
        )
        for name, of in data(s).items()
    }


def at_start(run: Run) -> tuple[float, float]:
    """Before the first step of a training, from its own weights, on as many images that ship with
    the package: its own would have to be downloaded.

    Returns:
        The root mean square of the images, and the loss.
    """
    assert isinstance(run.model, MLP) and isinstance(run.data, Data)
    split = load(replace(run.data, subset=0)).train
    params = {name: t.unsqueeze(0) for name, t in sweep.initial(run).items()}
    logits = run.model.forward(params, split.x.flatten(1))
    loss = CrossEntropy()(logits, split.y.unsqueeze(0))
    return split.x.square().mean().sqrt().item(), float(loss)


@lru_cache(maxsize=4)
def by_seed(results: Results[Settings]) -> pd.DataFrame:
    """Every network at the tuned rate of its cell.

    Returns:
        Columns `inputs`, `scale`, `rms` of the inputs, `seed`, `epochs` to the loss, whether it was
        `reached`, and the `loss` before the first step.
    """
    rows = []
    for name in data(results.settings):
        for scale, cell in by_scale(runs(results.settings)[name]).items():
            # Weights do not depend on the rate: those of the first rate are those of all.
            first = {r.seed: r for r in reversed(cell) if r.optimizer == cell[0].optimizer}
            x = tuned(results, cell)[["seed", "epochs", "reached"]]
            rms, losses = zip(*(at_start(first[i]) for i in x.seed), strict=True)
            rows.append(x.assign(inputs=name, scale=scale, rms=rms, loss=losses))
    return pd.concat(rows, ignore_index=True)


def frame(results: Results[Settings]) -> pd.DataFrame:
    """Means over seeds by `inputs` and `scale`.

    Returns:
        Beside these `rms`, `epochs`, `reached`, `loss`, and two sizes in units of pixels from 0 to
        1: the `product` of scale and rms, and that of scale and the `root` of rms.
    """
    means = by_seed(results).groupby(["inputs", "scale"], sort=False, as_index=False)
    return with_sizes(means[["rms", "epochs", "reached", "loss"]].mean())


def with_sizes(means: pd.DataFrame) -> pd.DataFrame:
    """Means with the columns `product` and `root` of `frame`, from their `scale` and `rms`."""
    # Two layers of weights multiply the output by the square of the scale, the input by its size.
    relative = means.rms / means.rms[means.inputs == REFERENCE].iloc[0]
    return means.assign(product=means.scale * relative, root=means.scale * relative**0.5)


def collapse(means: pd.DataFrame, y: str, x: str) -> float:
    """R² of log y of the other inputs, as read off the curve of `REFERENCE` at the same x.

    Args:
        means: as `frame` gives it.
        y: "epochs" or "loss".
        x: "root" or "product".

    Returns:
        R², or nan where y does not vary.
    """
    reference = means.inputs == REFERENCE
    known, others = means[reference].sort_values(x), means[~reference]
    inside = others[x].between(known[x].min(), known[x].max())
    predicted = np.interp(np.log(others[x][inside]), np.log(known[x]), np.log(known[y]))
    actual = np.log(others[y][inside])
    spread = ((actual - actual.mean()) ** 2).sum()
    return float(1 - ((actual - predicted) ** 2).sum() / spread) if spread else float("nan")


def collapses(results: Results[Settings], y: str, x: str) -> list[float]:
    """`collapse` of each seed's own curves."""
    return [
        collapse(with_sizes(rows.reset_index(drop=True)), y, x)
        for _, rows in by_seed(results).groupby("seed")
    ]


def estimates(results: Results[Settings]) -> dict[str, Estimate]:
    """Of the criteria of C-8."""
    return {
        "C-8a.loss": claims.mean(collapses(results, "loss", "root")),
        "C-8b.epochs": claims.mean(collapses(results, "epochs", "root")),
    }
