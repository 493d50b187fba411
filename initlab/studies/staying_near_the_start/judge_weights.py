"""Estimates of the claims on single weights and on widths at equal loss (J9, J10, J12, J13)."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import pandas as pd

from initlab import claims
from initlab.claims import Estimate
from initlab.studies.contract import Results
from initlab.studies.staying_near_the_start.followed import last
from initlab.studies.staying_near_the_start.grid import of_data, of_width, width_of
from initlab.studies.staying_near_the_start.seeds import exponent, mean, ratio
from initlab.studies.staying_near_the_start.settings import CLIPPED, Settings
from initlab.studies.staying_near_the_start.sizes import DEPARTURES, sized
from initlab.studies.staying_near_the_start.weights import conditional, slopes
from initlab.sweep import Run

#: The sets of the chapter: the paper's other two are trained for J13, all three for J12.
SETS = ("emnist", "mnist", "fashion_mnist")
#: The claims about each departure.
DEPARTED = dict(zip(DEPARTURES, ("J12a", "J12b", "J12c", "J12d"), strict=True))
#: How near a mode must be to the first weight, as a share of the largest first weight.
NEAR = 0.26


def judge(results: Results[Settings]) -> dict[str, Estimate]:
    """Estimates of J9, J10, J12 and J13 by the criterion's id."""
    settings, grid = results.settings, results.grid
    stable = of_width(grid[CLIPPED], settings.stable)
    field = conditional(results, stable)
    found = _near(results, stable, ("J9a.bins", "J9b.distance"))
    found |= _growth(field) | _lean(field, settings.bins)
    found["J9d.relative"] = mean(last(results, stable, "relative", 2))
    found["J10b.middle"] = _middle(field, settings.bins)
    for name in SETS[1:]:
        ids = (f"J13a.bins.{name}", f"J13b.distance.{name}")
        found |= _near(results, of_data(grid["others"], name), ids)
    for name in SETS:
        found |= _departures(results, name)
    return found


def _near(
    results: Results[Settings], runs: Sequence[Run], ids: tuple[str, str]
) -> dict[str, Estimate]:
    """Where mode and median of w_f given w_i lie, of one width on one set."""
    if not runs:
        return dict.fromkeys(ids, claims.unknown())
    field = conditional(results, runs)
    # Glorot's uniform weights between two layers of a width end there.
    largest = sqrt(3 / width_of(runs[0]))
    off = field.assign(
        mode=(field["mode"] - field.start).abs() / largest,
        median=(field.p50 - field.start).abs() / largest,
    ).groupby("key")
    bins = off["mode"].apply(lambda d: float((d <= NEAR).mean()))
    return dict(zip(ids, (mean(bins), mean(off["median"].max())), strict=True))


def _lean(field: pd.DataFrame, bins: int) -> dict[str, Estimate]:
    """Skewness of Δ in the lowest and in the highest tenth of w_i."""
    tenth = max(1, bins // 10)
    low = field[field.bin < tenth].groupby("key")
    high = field[field.bin >= bins - tenth].groupby("key")
    return {
        "J10a.lowest": mean(low["skew"].mean()),
        "J10a.highest": mean(high["skew"].mean()),
    }


def _middle(field: pd.DataFrame, bins: int) -> Estimate:
    """Skewness of Δ in the tenth of w_i around zero."""
    tenth = max(1, bins // 10)
    middle = field[(field.bin - (bins - 1) / 2).abs() <= tenth / 2]
    return mean(middle.groupby("key")["skew"].mean())


def _growth(field: pd.DataFrame) -> dict[str, Estimate]:
    """Have all weights grown by one factor: is it the same by mean and mode, small and large?"""
    found = slopes(field)
    return {
        "J9c.mean-mode": ratio(found["mean"], found["mode"], pairs=True),
        "J9c.outer-inner": ratio(found.outer, found.inner, pairs=True),
    }


def _departures(results: Results[Settings], name: str) -> dict[str, Estimate]:
    """Exponents of the width of all departures at equal training loss, on one set."""
    ids = {what: f"{claim}.{name}" for what, claim in DEPARTED.items()}
    settings = results.settings
    if name not in (settings.dataset, *settings.other_datasets):
        return dict.fromkeys(ids.values(), claims.unknown())
    told = sized(results, name)
    return {of: exponent(told, what) if len(told) else claims.unknown() for what, of in ids.items()}
