"""Frames of figures: accuracies and spreads by scale, with intervals over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import pandas as pd

from initlab import claims
from initlab.studies.contract import Results
from initlab.studies.initialization_memory.grid import CHOSEN, LOW, Group, groups
from initlab.studies.initialization_memory.outcomes import outcomes
from initlab.studies.initialization_memory.settings import Settings
from initlab.studies.initialization_memory.spreads import spread

_RANGES = ("pipeline", "smallest", "largest", "range", "mean", "low", "high")


def by_scale(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Mean accuracy of each way of training by scale.

    Args:
        tables: accuracies (scales, seeds) by the name of the way of training.

    Returns:
        Columns pipeline, scale, mean, low, high.
    """
    rows = [
        table.rename_axis("scale").reset_index().melt("scale").assign(pipeline=name)
        for name, table in tables.items()
        if len(table)
    ]
    if not rows:
        return pd.DataFrame(columns=["pipeline", "scale", "mean", "low", "high"])
    found = claims.means(pd.concat(rows), ["pipeline", "scale"])
    return found[["pipeline", "scale", "mean", "low", "high"]]


def everything(settings: Settings) -> dict[str, Group]:
    """Every way of training whose networks may be counted, by a name of its own."""
    g = groups(settings)
    return {
        **g["main"],
        **{name: group for name, group in g["which"].items() if not name.endswith("all weights")},
        **{f"{name}, long": group for name, group in g["long"].items()},
        **g["faster"],
        **g["swept"],
        **{f"{name}, augmented": group for name, group in g["augmented"].items()},
        f"{LOW}, no normalization": g["plain"][LOW],
    }


def ranges(results: Results[Settings]) -> pd.DataFrame:
    """Spread over every stretch of scales that holds one, of the eight ways of training.

    Returns:
        Columns pipeline, smallest, largest, range (their ratio), mean, low, high.
    """
    seen = outcomes(results)
    rows = []
    for name, group in groups(results.settings)["main"].items():
        table = seen.counted(group)
        for one, other in combinations(table.index, 2):
            if one <= 1 <= other:
                found = spread(table.loc[one:other])
                rows.append((name, one, other, other / one, found.value, *found.interval()))
    return pd.DataFrame(rows, columns=list(_RANGES))


def over_epochs(results: Results[Settings], name: str) -> pd.DataFrame:
    """Test accuracy in % on the way through a long run, at the extreme scales.

    Args:
        results: of the chapter.
        name: of a way of training that has long runs.

    Returns:
        Columns of `claims.means` by step, and epoch, scale, pipeline.
    """
    settings = results.settings
    steps = -(-settings.train // settings.batch)
    frames = [
        claims.means(rows.assign(value=100 * rows.value), ["step"])
        .assign(epoch=lambda means: means.step / steps)
        .assign(scale=a, pipeline=name)
        for a, rows in outcomes(results).curve(groups(settings)["long"][name], "test_accuracy")
    ]
    return pd.concat(frames)


def augmentation(results: Results[Settings]) -> dict[str, Group]:
    """The two contrasted ways of training on few scales, without augmentation and with it."""
    g, few = groups(results.settings), results.settings.few_scales
    without = {
        name: {a: runs for a, runs in g["main"][name].items() if a in few} for name in CHOSEN
    }
    return {**without, **{f"{name}, augmented": group for name, group in g["augmented"].items()}}
