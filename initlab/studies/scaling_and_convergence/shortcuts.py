"""Networks with shortcuts: residual modules of several weights, and DenseNets: C-13."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import log10

import numpy as np
import pandas as pd

from initlab import claims, init, sweep
from initlab.claims import Estimate
from initlab.data import Data
from initlab.init.contract import Rule, Scheme
from initlab.measure import SecondMoments
from initlab.models import DenseNet, ResidualMLP
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence.ends import fewer, mean_with_ends, summary
from initlab.studies.scaling_and_convergence.networks import (
    HE,
    images,
    inputs,
    relu_net,
    sgd,
    trained,
)
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.sweep import Run
from initlab.train import Budget

#: The factor on a branch, by the number of modules.
WEIGHTED: dict[str, Callable[[int], float]] = {
    "η = 1": lambda L: 1.0,
    "η = 1/√L": lambda L: L**-0.5,
    "η = 1/L": lambda L: 1 / L,
}
BRANCHES: dict[str, Scheme] = {"Fixup": init.Fixup(), "SkipInit": init.SkipInit()}
#: Names of those that start small, in the registry.
SCALED = {
    "η = 1/√L": "one-over-root",
    "η = 1/L": "one-over-modules",
    "Fixup": "fixup",
    "SkipInit": "skipinit",
}

Cell = tuple[str, int]


def modules(s: Settings) -> tuple[int, ...]:
    """Residual modules of two matrices each."""
    return (2, 3) if s.smoke else (5, 10, 40)


def width(s: Settings) -> int:
    """Units of the residual networks."""
    return s.widths[-2]


def dense_depths(s: Settings) -> tuple[int, ...]:
    """Layers of the DenseNets."""
    return (7,) if s.smoke else (7, 13, 22)


def residual(s: Settings, L: int, eta: float = 1.0, **fields) -> ResidualMLP:
    """A residual network of L modules with branches times `eta`."""
    return ResidualMLP(L, width(s), (round(eta, 9),) * L, matrices=2, **fields)


@lru_cache
def residual_trained(s: Settings) -> dict[Cell, list[Run]]:
    """Trainings by kind and number of modules; "plain" has as many layers and no shortcut."""
    ends = {"inputs": inputs(s), "outputs": 10}
    found = {
        (name, L): trained(s, residual(s, L, eta(L), **ends), [HE])
        for name, eta in WEIGHTED.items()
        for L in modules(s)
    }
    found |= {("plain", L): trained(s, relu_net(s, 2 * L, width(s)), [HE]) for L in modules(s)}
    found |= {
        (name, L): trained(s, residual(s, L, multiplier=True, **ends), [scheme])
        for name, scheme in BRANCHES.items()
        for L in modules(s)
    }
    return found


def dense_images(s: Settings) -> Data:
    """Images that DenseNets are quick on."""
    return images(s, s.samples, tests=360 if s.smoke else 500, side=4 if s.smoke else 8)


@lru_cache
def dense_trained(s: Settings) -> dict[tuple[str, int], list[Run]]:
    """DenseNets by normalization and depth."""
    data = dense_images(s)
    budget = Budget(
        epochs=min(12, s.epochs), batch_size=s.batch_size, target_train_loss=1.0, resolution=0.1
    )
    return {
        (norm, d): trained(
            s,
            DenseNet(
                depth=d,
                growth=4,
                input_shape=data.shape,  # type: ignore[arg-type]
                norm=norm,
            ),
            [HE],
            on=data,
            optimizers=sgd([0.0464, 0.215] if s.smoke else [0.03, 0.1, 0.3, 1.0, 3.0]),
            budget=budget,
        )
        for d in dense_depths(s)[:2]
        for norm in ("none", "batch")
    }


@lru_cache
def residual_drawn(s: Settings) -> dict[Cell, list[Run]]:
    """Residual networks that are not trained, by kind and number of modules."""
    starts: dict[Cell, tuple[ResidualMLP, Rule | Scheme]] = {}
    for name, eta in WEIGHTED.items():
        starts |= {(name, L): (residual(s, L, eta(L)), HE) for L in modules(s)}
    for name, scheme in BRANCHES.items():
        starts |= {(name, L): (residual(s, L, multiplier=True), scheme) for L in modules(s)}
    measure = SecondMoments(layers="all", reduce=True)
    return {
        cell: [Run(model, rule, networks=s.networks, seed=i, measure=measure) for i in s.seeds]
        for cell, (model, rule) in starts.items()
    }


@lru_cache
def dense_drawn(s: Settings) -> dict[int, list[Run]]:
    """DenseNets without normalization that are not trained, by depth."""
    data = dense_images(s)
    return {
        d: [
            Run(
                DenseNet(
                    depth=d,
                    growth=4,
                    input_shape=data.shape,  # type: ignore[arg-type]
                    norm="none",
                ),
                HE,
                data=data,
                networks=max(2, s.networks // 10),
                seed=i,
                measure=SecondMoments(image=0, layers="all", reduce=True),
            )
            for i in s.seeds
        ]
        for d in dense_depths(s)
    }


def final_ratio(results: Results[Settings], runs: list[Run]) -> np.ndarray:
    """Mean square of the last layer over that of the first, mean over networks, one per seed."""
    frame = sweep.select(results.frame, runs, "mean")
    at = frame.pivot(index="seed", columns="layer", values="value")
    return (at[frame.layer.max()] / at[0]).to_numpy()


def exact_ratio(name: str, L: int) -> float:
    """The expected mean square of the stream, out over in, after L modules."""
    return (1 + 2 * WEIGHTED[name](L) ** 2) ** L if name in WEIGHTED else 1.0


def signal(results: Results[Settings]) -> pd.DataFrame:
    """Mean square of the stream, out over in, with its interval, by `kind` and `modules`."""
    return pd.DataFrame(
        [
            {"kind": name, "modules": L} | mean_with_ends(final_ratio(results, runs))
            for (name, L), runs in residual_drawn(results.settings).items()
        ]
    )


def decades_per_module(results: Results[Settings], name: str) -> float:
    """Slope of log10 of the mean square of the stream against the number of modules."""
    s = results.settings
    drawn = residual_drawn(s)
    logs = [log10(final_ratio(results, drawn[name, L]).mean()) for L in modules(s)]
    return float(np.polyfit(modules(s), logs, 1)[0])


def epochs(results: Results[Settings]) -> pd.DataFrame:
    """Epochs at the tuned rate by `kind` and `modules`."""
    return summary(results, residual_trained(results.settings), ["kind", "modules"])


def dense_epochs(results: Results[Settings]) -> pd.DataFrame:
    """Epochs of DenseNets by `norm` and `depth`."""
    return summary(results, dense_trained(results.settings), ["norm", "depth"])


def dense_table(results: Results[Settings]) -> pd.DataFrame:
    """The same with the mean square of the last layer over the input's, without normalization."""
    drawn = dense_drawn(results.settings)
    frame = dense_epochs(results).rename(columns={"mean": "epochs"})
    ratio = [final_ratio(results, drawn[d]).mean() for d in frame.depth]
    frame["mean square without norm"] = ratio
    return frame[["norm", "depth", "mean square without norm", "epochs", "low", "high", "reached"]]


def estimates(results: Results[Settings]) -> dict[str, Estimate]:
    """Of the criteria of C-13."""
    s = results.settings
    cells, L = residual_trained(s), modules(s)[-1]
    found = {}
    for claim, other in (("C-13a", "plain"), ("C-13b", "η = 1")):
        for name, short in SCALED.items():
            found[f"{claim}.{short}"] = fewer(results, cells[name, L], cells[other, L])
    for d in (7, 13, 22):
        drawn = dense_drawn(s).get(d)
        found[f"C-13c.{d}"] = (
            claims.mean(final_ratio(results, drawn)) if drawn else claims.unknown()
        )
    return found
