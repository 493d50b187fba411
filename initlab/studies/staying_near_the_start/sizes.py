"""Widths and scales at equal training loss: how far a network has come when it first is so low."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from initlab.studies.contract import Results
from initlab.studies.staying_near_the_start.followed import rows_of
from initlab.studies.staying_near_the_start.grid import of_data, of_scale, width_of
from initlab.studies.staying_near_the_start.seeds import exponent, mean, said
from initlab.studies.staying_near_the_start.settings import SCALES, Settings
from initlab.sweep import Run, key

#: What is compared, by layer and name: of the matrix between the hidden layers, and of all.
DEPARTURES = {
    "rms": (2, "RMS of Δ"),
    "spectral": (2, "‖Δ‖₂ over ‖W₀‖₂"),
    "features": (-1, "change of the features"),
    "kernel": (-1, "change of the tangent kernel"),
}
#: The same up to one factor: one minus the cosine to the start.
TURNED = {
    "features_turned": (-1, "features, turned"),
    "kernel_turned": (-1, "tangent kernel, turned"),
}


def departed(results: Results[Settings], runs: Sequence[Run]) -> pd.DataFrame:
    """How far each network has come at the first look with a training loss ≤ `level`.

    Of the widths of which all runs got there: the quickest alone would be no fair sample.

    Returns:
        Columns `width`, `seed`, `epochs`, `train_accuracy`, `test_accuracy`, those of `DEPARTURES`
        and of `TURNED`.
    """
    rows = rows_of(results, runs)
    by_run = {str(k): own for k, own in rows.groupby("key")}
    found, missed = [], set()
    for run in runs:
        own = by_run[key(run)].sort_values("step")
        told = own.groupby(["statistic", "layer"]).value.last()
        row = {"width": width_of(run), "seed": run.seed}
        row |= {name: told[name, -1] for name in ("epochs", "train_accuracy", "test_accuracy")}
        row |= {n: told[n, layer] for n, (layer, _) in (DEPARTURES | TURNED).items()}
        found.append(row)
        if not told["reached", -1]:
            missed.add(row["width"])
    frame = pd.DataFrame(found)
    return frame[~frame.width.isin(missed)]


def sized(results: Results[Settings], name: str) -> pd.DataFrame:
    """`departed` of all widths on one data set."""
    return departed(results, of_data(results.grid["sizes"], name))


def exponents(results: Results[Settings]) -> pd.DataFrame:
    """How the departure at equal training loss depends on the width: text, a row per data set."""
    found = []
    for name in (results.settings.dataset, *results.settings.other_datasets):
        told = sized(results, name)
        own = {label: said(exponent(told, n)) for n, (_, label) in (DEPARTURES | TURNED).items()}
        found.append({"exponent of the width": name} | own)
    return pd.DataFrame(found)


def scales(results: Results[Settings]) -> pd.DataFrame:
    """The same of first weights of three scales: text, a row per scale, means with intervals."""
    found = []
    for scale in SCALES:
        told = departed(results, of_scale(results.grid["scaled"], scale))
        own = {label: said(mean(told[n])) for n, (_, label) in (DEPARTURES | TURNED).items()}
        row = {"first weights times": f"{scale:g}", "epochs": said(mean(told.epochs))}
        found.append(row | own)
    return pd.DataFrame(found)
