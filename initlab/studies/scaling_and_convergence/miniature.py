"""The still picture of the live section: five networks that differ in their scale only."""

from __future__ import annotations

from math import log

import numpy as np
import pandas as pd
import torch

from initlab import init, plot
from initlab.data import Data, load
from initlab.models import MLP
from initlab.train import SGD, Budget, Curves, fit

STEPS = 40
WIDTH, RATE, BATCH = 32, 0.05, 64
#: Stands for the loss of a network that has diverged.
DIVERGED = 1e3


def training_curves(
    depth: int,
    activation: str,
    scheme: str,
    factors: list[float],
    *,
    seed: int,
    networks: int = 3,
) -> dict[float, pd.DataFrame]:
    """The training loss of some networks from each factor on a scheme, trained as one.

    Args:
        depth: hidden layers.
        activation: its name.
        scheme: name of a rule.
        factors: on the standard deviation of all weights.
        seed: of weights, and of the order of the batches.
        networks: for each factor.

    Returns:
        By factor a frame of steps `x` with `mean`, `median`, `low` and `high` over networks.
    """
    digits = load(Data("digits", scaling="standard", train=8 * BATCH, test=BATCH))
    model = MLP.constant(depth, WIDTH, inputs=64, activation=activation)
    fresh = torch.Generator().manual_seed(seed)
    drawn = [
        {
            name: factor * t
            for name, t in init.stacked(
                model.build("meta"), init.rule(scheme), fresh, networks
            ).items()
        }
        for factor in factors
    ]
    outcomes = fit(
        model,
        {name: torch.cat([d[name] for d in drawn]) for name in drawn[0]},
        digits,
        optimizer=SGD(lr=RATE),
        budget=Budget(epochs=STEPS // 8, batch_size=BATCH),
        order=torch.Generator().manual_seed(seed),
        curves=Curves(("train_loss",), resolution=0.4),
    )
    groups = [outcomes[i * networks : (i + 1) * networks] for i in range(len(factors))]
    return {factor: _frame(group) for factor, group in zip(factors, groups, strict=True)}


def _frame(outcomes) -> pd.DataFrame:
    at = sorted(Curves(resolution=0.4).steps(STEPS))
    rows = []
    for outcome in outcomes:
        losses = {step: value for step, _, value in outcome.curves if np.isfinite(value)}
        rows.append([losses.get(step, DIVERGED) for step in at])
    y = np.array(rows)
    ends = {"low": y.min(0), "high": y.max(0)}
    return pd.DataFrame({"x": at, "mean": y.mean(0), "median": np.median(y, 0)} | ends)


def picture(
    depth: int, activation: str, scheme: str, factor: float, curves: dict[float, pd.DataFrame]
) -> str:
    """One picture as SVG, titled with the answer, from what `training_curves` gives."""
    # The line is the median: the mean of three is lost where one of them diverges.
    shown = curves[factor].rename(columns={"mean": "median", "median": "mean"})
    answer = "starts" if shown["mean"].iloc[-1] < 0.8 * log(10) else "does not start"
    name = init.rule(scheme).label + ("" if factor == 1 else f" × {factor:g}")
    return plot.spark(
        shown,
        title=f"{name}, {activation}, {depth} layers: {answer}",
        xlabel="step",
        ylabel="training loss",
        limits=(-1, 3),
    )
