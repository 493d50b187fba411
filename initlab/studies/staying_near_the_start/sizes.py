"""Widths at equal training loss: how far each matrix has come when the loss is first so low."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from initlab import claims
from initlab.claims import Estimate
from initlab.models import MLP
from initlab.studies.contract import Results
from initlab.studies.staying_near_the_start.followed import followed
from initlab.studies.staying_near_the_start.grid import of_data, width_of
from initlab.studies.staying_near_the_start.seeds import said, table
from initlab.studies.staying_near_the_start.settings import Settings
from initlab.sweep import Run, key

#: The weight matrices by their layer.
MATRICES = {1: "input to first", 2: "first to second", 3: "second to output"}
_COLUMNS = ["width", "seed", "layer", "epoch", "rms", "stable_rank"]


def sized(results: Results[Settings], name: str) -> list[Run]:
    """The runs up to equal training loss on one data set."""
    return of_data([*results.grid["sizes"], *results.grid["other_sizes"]], name)


def at_loss(results: Results[Settings], runs: Sequence[Run], level: float) -> pd.DataFrame:
    """Each matrix at the first look with a training loss ≤ `level`.

    Of the widths of which all runs got there: the quickest alone would be no fair sample.

    Returns:
        Columns `width`, `seed`, `layer`, `epoch`, `rms` of Δ and `stable_rank` of Δ.
    """
    train = followed(results, runs, "train_loss")
    seen = {
        (name, layer): followed(results, runs, name, layer)
        for name in ("delta_std", "delta_mean", "stable_rank")
        for layer in MATRICES
    }
    rows, missed = [], set()
    for run in runs:
        loss = train[key(run)]
        there = loss.index[loss <= level]
        if not len(there):
            missed.add(width_of(run))
            continue
        for layer in MATRICES:
            std, mean, rank = (
                seen[name, layer].loc[there[0], key(run)]
                for name in ("delta_std", "delta_mean", "stable_rank")
            )
            values = (width_of(run), run.seed, layer, there[0], float(np.hypot(std, mean)), rank)
            rows.append(dict(zip(_COLUMNS, values, strict=True)))
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    return frame[~frame.width.isin(missed)]


def exponent(table: pd.DataFrame) -> Estimate:
    """Slope of the logarithm of a positive number against that of the width.

    The widths of a seed share draws, so that there is one slope per seed.

    Args:
        table: a row per width, a column per seed.
    """
    if len(table) < 2:
        return claims.unknown()
    return claims.mean(np.polyfit(np.log(table.index), np.log(table.to_numpy()), 1)[0])


def exponents(results: Results[Settings], level: float) -> pd.DataFrame:
    """How the displacement at a training loss depends on the width, for each set and matrix.

    Returns:
        Columns `data`, `matrix` and `widths`; the exponents of the RMS of Δ and of its spectral
        norm, with intervals; norm and stable rank of Δ at the narrowest and at the widest. Text.
    """
    found = []
    for name in (results.settings.dataset, *results.settings.other_datasets):
        runs = sized(results, name)
        moved = at_loss(results, runs, level)
        for layer, matrix in MATRICES.items():
            rows = moved[moved.layer == layer]
            if not len(rows):
                continue
            links = rows.width.map(_links(runs[0], layer))
            rows = rows.assign(norm=spectral_norm(rows.rms, links, rows.stable_rank))
            ends = rows.groupby("width")[["norm", "stable_rank"]].mean().iloc[[0, -1]]
            found.append(
                {
                    "data": name,
                    "matrix": matrix,
                    "widths": f"{ends.index[0]} to {ends.index[1]}",
                    "exponent of RMS Δ": said(exponent(table(rows, "rms"))),
                    "exponent of ‖Δ‖₂": said(exponent(table(rows, "norm"))),
                    "‖Δ‖₂ at the ends": " to ".join(map(claims.number, ends.norm)),
                    "stable rank of Δ": " to ".join(map(claims.number, ends.stable_rank)),
                }
            )
    return pd.DataFrame(found)


def spectral_norm(rms: pd.Series, links: pd.Series, stable_rank: pd.Series) -> pd.Series:
    """‖Δ‖₂ from what is recorded: ‖Δ‖_F² is RMS² times the links, and ‖Δ‖₂² is that over the rank.

    Args:
        rms: root mean square of the entries of Δ.
        links: number of its entries.
        stable_rank: ‖Δ‖_F² / ‖Δ‖₂².
    """
    return rms * np.sqrt(links / stable_rank)


def _links(run: Run, layer: int) -> Callable[[int], int]:
    """Width → links of a matrix of networks like that of `run`."""
    assert isinstance(run.model, MLP)
    outer = {1: run.model.inputs, 3: run.model.outputs or 0}.get(layer)
    return lambda width: width * (width if outer is None else outer)
