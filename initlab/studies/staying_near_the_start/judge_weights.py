"""Estimates of the claims on single weights and on widths at equal loss (J9, J10, J12, J13)."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
import pandas as pd

from initlab import claims
from initlab.claims import Estimate
from initlab.studies.contract import Results
from initlab.studies.staying_near_the_start.grid import of_data, of_width, width_of
from initlab.studies.staying_near_the_start.judge_losses import order
from initlab.studies.staying_near_the_start.seeds import mean, table
from initlab.studies.staying_near_the_start.settings import CLIPPED, Settings
from initlab.studies.staying_near_the_start.sizes import at_loss, sized
from initlab.studies.staying_near_the_start.weights import conditional
from initlab.sweep import Run

#: The paper's other two sets.
SETS = ("mnist", "fashion_mnist")
#: How near a mode must be to the first weight, as a share of the largest first weight.
NEAR = 0.26


def judge(results: Results[Settings]) -> dict[str, Estimate]:
    """Estimates of J9, J10, J12 and J13 by the criterion's id."""
    settings = results.settings
    stable = of_width(results.grid[CLIPPED], settings.stable)
    found = _weights(results, stable, ("J9a", "J9b", "J10a", "J10b"), "")
    found |= _sizes(results, settings.dataset, "J12", "")
    for name in SETS:
        others = of_width(of_data(results.grid["others"], name), max(settings.other_widths))
        claims_of = ("J13a", "J13b", "J13c", "J13d")
        found |= _weights(results, others, claims_of, f".{name}")
        found |= _sizes(results, name, "J13e", f".{name}")
    return found


def _weights(
    results: Results[Settings], runs: Sequence[Run], ids: tuple[str, str, str, str], end: str
) -> dict[str, Estimate]:
    """Peak, median, lean at both ends and lean in the middle, of one width on one set."""
    peak, median, lean, middle = ids
    names = {
        "peak": f"{peak}.bins{end}",
        "distance": f"{median}.distance{end}",
        "slope": f"{median}.slope{end}",
        "low_skew": f"{lean}.lowest{end}",
        "high_skew": f"{lean}.highest{end}",
        "low_mean": f"{lean}.mean-lowest{end}",
        "high_mean": f"{lean}.mean-highest{end}",
        "middle_skew": f"{middle}.middle{end}",
    }
    if not runs:
        return dict.fromkeys(names.values(), claims.unknown())
    field = conditional(results, runs)
    # Glorot's uniform weights between two layers of a width end there.
    largest = sqrt(3 / width_of(runs[0]))
    found = _peak(field, largest) | _lean(field, results.settings.bins)
    return {names[name]: estimate for name, estimate in found.items()}


def _peak(field: pd.DataFrame, largest: float) -> dict[str, Estimate]:
    """Where mode and median of w_f given w_i lie.

    A bin of one network has too few links to place a peak to a quarter of the largest first
    weight: the mean over networks is taken before a bin is judged.
    """

    def distances(column: str) -> np.ndarray:
        off = field.assign(off=(field[column] - field.start) / largest)
        return off.pivot(index="bin", columns="key", values="off").to_numpy()

    def near(off: np.ndarray) -> np.ndarray:
        return (np.abs(off.mean(-1)) <= NEAR).mean(-1)

    def farthest(off: np.ndarray) -> np.ndarray:
        return np.abs(off.mean(-1)).max(-1)

    slopes = [np.polyfit(rows.start, rows.p50, 1)[0] for _, rows in field.groupby("key")]
    return {
        "peak": claims.bca(near, distances("mode"), vectorized=True),
        "distance": claims.bca(farthest, distances("p50"), vectorized=True),
        "slope": mean(slopes),
    }


def _lean(field: pd.DataFrame, bins: int) -> dict[str, Estimate]:
    """Skewness and mean of Δ in the lowest and the highest tenth of w_i; skewness around zero."""
    tenth = max(1, bins // 10)
    low = field[field.bin < tenth].groupby("key")
    high = field[field.bin >= bins - tenth].groupby("key")
    middle = field[(field.bin - (bins - 1) / 2).abs() <= tenth / 2].groupby("key")
    return {
        "low_skew": mean(low["skew"].mean()),
        "high_skew": mean(high["skew"].mean()),
        "low_mean": mean(low["mean"].mean()),
        "high_mean": mean(high["mean"].mean()),
        "middle_skew": mean(middle["skew"].mean()),
    }


def _sizes(results: Results[Settings], name: str, of: str, end: str) -> dict[str, Estimate]:
    """Order of widths by the RMS of Δ between the hidden layers, at either training loss."""
    found = {}
    runs = sized(results, name)
    for label, level in zip(("high", "low"), results.settings.levels, strict=True):
        moved = at_loss(results, runs, level) if runs else pd.DataFrame({"layer": []})
        moved = moved[moved.layer == 2]
        rms = table(moved, "rms") if len(moved) else moved
        found[f"{of}.{label}{end}"] = order(rms)
    return found
