"""The way back: the straight line from first to last weights, and single layers put back.

These networks are few and small, and are trained whenever they are asked for.
"""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor, nn

from initlab import sweep
from initlab.data import Split, load
from initlab.measure.path import barrier, linear_path
from initlab.spec import seed_of
from initlab.studies.staying_near_the_start.grid import network
from initlab.studies.staying_near_the_start.settings import BATCH, Settings
from initlab.train import Budget, fit
from initlab.train.evaluate import accuracy

START_TO_END, END_TO_END = "start to end", "end to end"
#: Training samples on which the loss is looked at.
SAMPLES = 2000

_Params = list[dict[str, Tensor]]


def ended(
    settings: Settings, width: int, epochs: int, count: int = 3
) -> tuple[nn.Module, _Params, _Params]:
    """A few networks that train for a short while, with the plain loss.

    Args:
        settings: of the chapter.
        width: of both hidden layers.
        epochs: that they train.
        count: number of networks.

    Returns:
        A module of the networks' shape, and their parameters at the start and at the end.
    """
    budget = Budget(epochs=epochs, batch_size=BATCH)
    runs = [
        network(settings, settings.dataset, width, seed, budget=budget)
        for seed in settings.seeds(90, count)
    ]
    run, starts = runs[0], [sweep.initial(r) for r in runs]
    outcomes = fit(
        run.model,
        {name: torch.stack([s[name] for s in starts]) for name in starts[0]},
        load(settings.data_of(settings.dataset)),
        optimizer=run.optimizer,
        budget=budget,
        order=torch.Generator().manual_seed(seed_of(run.order, "order")),
    )
    return run.model.build("cpu"), starts, [o.params for o in outcomes]


def straight_lines(settings: Settings, widths: tuple[int, ...], epochs: int) -> pd.DataFrame:
    """Loss on the straight lines, on the first training samples.

    Args:
        settings: of the chapter.
        widths: of the networks.
        epochs: that they train.

    Returns:
        Columns `t` (share of the way), `loss`, `accuracy`, `width`, `way` and `pair`.
    """
    sample = load(settings.data_of(settings.dataset)).train
    x, y = sample.x[:SAMPLES].flatten(1), sample.y[:SAMPLES]
    frames = []
    for width in widths:
        module, starts, ends = ended(settings, width, epochs)
        ways = {
            START_TO_END: list(zip(starts, ends, strict=True)),
            END_TO_END: list(zip(ends, [*ends[1:], ends[0]], strict=True)),
        }
        for way, links in ways.items():
            for pair, (one, other) in enumerate(links):
                found = pd.DataFrame(linear_path(module, one, other, x, y))
                frames.append(found.assign(width=width, way=way, pair=pair))
    return pd.concat(frames)


def put_back(settings: Settings, widths: tuple[int, ...], epochs: int) -> pd.DataFrame:
    """Training accuracy when one layer of a trained network gets its first values back.

    Args:
        settings: of the chapter.
        widths: of the networks.
        epochs: that they train.

    Returns:
        Columns `width`, `layer` ("none" for the network as it is) and `accuracy`, a mean over
        networks.
    """
    split = load(settings.data_of(settings.dataset)).train
    flat = Split(split.x[:SAMPLES].flatten(1), split.y[:SAMPLES])
    rows = []
    for width in widths:
        model = network(settings, settings.dataset, width, settings.seed).model
        _, starts, ends = ended(settings, width, epochs)
        layers = list(dict.fromkeys(name.split(".")[0] for name in ends[0]))
        for layer in ("none", *layers):
            mixed = [
                {n: (start if n.startswith(f"{layer}.") else end)[n] for n in end}
                for start, end in zip(starts, ends, strict=True)
            ]
            stacked = {n: torch.stack([m[n] for m in mixed]) for n in mixed[0]}
            right = float(accuracy(model, stacked, flat).mean())
            rows.append({"width": width, "layer": layer, "accuracy": right})
    return pd.DataFrame(rows)


def barriers(lines: pd.DataFrame) -> pd.DataFrame:
    """How far the loss rises above the line between its ends: mean, least and most over pairs."""
    by = ["way", "width", "pair"]
    found = lines.groupby(by)[["t", "loss"]].apply(lambda rows: barrier(rows.t, rows.loss))
    return found.groupby(["way", "width"]).agg(["mean", "min", "max"]).reset_index()
