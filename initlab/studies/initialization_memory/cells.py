"""Ways of training compared with each other: spread against τ, epochs and accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from initlab.studies.contract import Results
from initlab.studies.initialization_memory.grid import DECAYED, LARGER, LOW, Group, groups, tau
from initlab.studies.initialization_memory.outcomes import outcomes
from initlab.studies.initialization_memory.settings import Settings
from initlab.studies.initialization_memory.spreads import spread
from initlab.sweep import Run

#: Two cells of one τ, of which the first has more epochs.
PAIR = ("low rate, long", "rate matched to the long run")
_PHASE = ("cell", "rate", "decay", "batch", "epochs", "tau", "mean", "low", "high")


def cells(settings: Settings) -> dict[str, Group]:
    """Ways of training by SGD: no momentum, with normalization, without augmentation."""
    g = groups(settings)
    return {
        "low rate": g["main"][LOW],
        "larger rate": g["main"][LARGER],
        "larger rate, L2": g["main"][DECAYED],
        "low rate, long": g["long"][LOW],
        **g["swept"],
    }


def first(group: Group) -> Run:
    """A run that stands for its group: one optimizer, one budget."""
    return next(iter(group.values()))[0]


def whole(results: Results[Settings]) -> dict[str, pd.DataFrame]:
    """Accuracies on the few scales of the cells whose extreme scales interpolate."""
    few = results.settings.few_scales
    tables = {
        name: outcomes(results).counted({a: runs for a, runs in group.items() if a in few})
        for name, group in cells(results.settings).items()
    }
    return {n: t for n, t in tables.items() if {min(few), max(few)} <= set(t.index)}


def phase(results: Results[Settings]) -> pd.DataFrame:
    """Spread of each cell that counts with what it has accumulated, by τ.

    Returns:
        Columns cell, rate, decay, batch, epochs, tau, mean, low, high.
    """
    rows = []
    for name, table in whole(results).items():
        run, found = first(cells(results.settings)[name]), spread(table)
        assert run.budget is not None
        low, high = found.interval()
        numbers = (
            run.optimizer.lr,
            getattr(run.optimizer, "weight_decay", 0.0),
            run.budget.batch_size,
            run.budget.epochs,
            tau(run),
            found.value,
            low,
            high,
        )
        rows.append((name, *numbers))
    return pd.DataFrame(rows, columns=list(_PHASE)).sort_values("tau")


def ways(results: Results[Settings]) -> dict[str, pd.DataFrame]:
    """Accuracies of all ways of training of which the few scales interpolate, on these scales."""
    seen, g, few = outcomes(results), groups(results.settings), results.settings.few_scales
    named: dict[str, Group] = {
        **g["main"],
        **g["swept"],
        **{f"{name}, augmented": group for name, group in g["augmented"].items()},
    }
    tables = {
        name: seen.counted({a: runs for a, runs in group.items() if a in few})
        for name, group in named.items()
    }
    return {name: table for name, table in tables.items() if len(table) == len(few)}


def spreads_by_seed(tables: Mapping[str, pd.DataFrame], ends: tuple[float, float]) -> pd.DataFrame:
    """Accuracy at the smallest less that at the largest scale: a row per way, a column per seed."""
    low, high = ends
    return pd.DataFrame({n: t.loc[low] - t.loc[high] for n, t in tables.items()}).T


def accuracies_by_seed(tables: Mapping[str, pd.DataFrame], scale: float | None) -> pd.DataFrame:
    """Accuracy at a scale, or at the best on average: a row per way, a column per seed."""
    return pd.DataFrame(
        {
            name: table.loc[table.mean(axis=1).idxmax() if scale is None else scale]
            for name, table in tables.items()
        }
    ).T


def correlation(x: Sequence[float], y: Sequence[float], *, ranks: bool = False) -> float:
    """Pearson's correlation, or with `ranks` Spearman's; nan where it is of one or no number."""
    one, other = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(one) < 2 or not (np.ptp(one) > 0 and np.ptp(other) > 0):
        return float("nan")
    found = stats.spearmanr(one, other) if ranks else stats.pearsonr(one, other)
    return float(found.statistic)


def correlation_by_seed(
    spreads: pd.DataFrame, others: pd.DataFrame | Sequence[float], *, ranks: bool = False
) -> list[float]:
    """Correlation over ways of training of the spread with another number, of each seed.

    Args:
        spreads: a row per way, a column per seed.
        others: the same, or one number per way.
        ranks: see `correlation`.

    Returns:
        One per seed.
    """
    return [
        correlation(x, others[seed] if isinstance(others, pd.DataFrame) else others, ranks=ranks)
        for seed, x in spreads.items()
    ]
