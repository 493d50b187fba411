"""The chapter's tables, their numbers with intervals as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from initlab import claims
from initlab.measure import memory
from initlab.studies.contract import Results
from initlab.studies.initialization_memory.cells import correlation, first, ways
from initlab.studies.initialization_memory.frames import augmentation, everything
from initlab.studies.initialization_memory.grid import CHOSEN, LOW, TENSORS, Group, groups, steps
from initlab.studies.initialization_memory.mechanism import share_left
from initlab.studies.initialization_memory.outcomes import Outcomes, outcomes
from initlab.studies.initialization_memory.settings import Settings
from initlab.studies.initialization_memory.spreads import (
    by_seeds_alone,
    deviation,
    said,
    spread,
)


def memories(results: Results[Settings]) -> pd.DataFrame:
    """All measures of memory of the eight ways of training."""
    seen = outcomes(results)
    return pd.DataFrame(
        [_memory(seen, name, group) for name, group in groups(results.settings)["main"].items()]
    )


def _memory(seen: Outcomes, name: str, group: Group) -> dict[str, object]:
    table = seen.counted(group)
    counted = [group[a] for a in table.index]
    classes = np.array(
        [[seen.rows(run, "class").sort_values("index").value for run in runs] for runs in counted]
    )
    pairs = combinations(range(table.shape[1]), 2)
    of_seeds = [(classes[:, i] != classes[:, j]).mean() for i, j in pairs] if counted else []
    ends = [seen.series(run, "correlation").iloc[-1] for runs in counted for run in runs]
    return {
        "pipeline": name,
        "scales counted": len(counted),
        "spread, points": said(spread(table)),
        "by seeds alone": f"{by_seeds_alone(table):.1f}",
        "standard deviation": said(deviation(table)),
        "disagreement of scales": f"{memory.disagreement(classes):.0%}" if len(counted) > 1 else "",
        "of seeds": f"{np.mean(of_seeds):.0%}" if of_seeds else "",
        "correlation with the first function": f"{np.mean(ends):.2f}" if ends else "",
    }


def uncounted(results: Results[Settings]) -> pd.DataFrame:
    """Networks that never fit their training set: one row per way of training and scale.

    Returns:
        Columns pipeline, scale, seeds, best training accuracy; and networks, how many they are.
    """
    seen = outcomes(results)
    rows = []
    for name, group in everything(results.settings).items():
        fits = seen.interpolate(group)
        for a, runs in group.items():
            out = [run.seed for run, fit in zip(runs, fits.loc[a], strict=True) if not fit]
            best = [seen.rows(run, "train_accuracy").value.max() for run in runs]
            if out:
                rows.append(
                    {
                        "pipeline": name,
                        "scale": f"{a:g}",
                        "seeds": ", ".join(map(str, out)),
                        "best training accuracy": f"{min(best):.1%} to {max(best):.1%}",
                        "networks": len(out),
                    }
                )
    columns = ["pipeline", "scale", "seeds", "best training accuracy", "networks"]
    return pd.DataFrame(rows, columns=columns)


def by_tensors(results: Results[Settings]) -> pd.DataFrame:
    """Spread for three choices of what the scale multiplies."""
    seen, which = outcomes(results), groups(results.settings)["which"]
    rows = []
    for name in CHOSEN:
        for tensors in TENSORS:
            table = seen.counted(which[f"{name}, {tensors}"])
            rows.append(
                {
                    "pipeline": name,
                    "scaled": tensors,
                    "scales counted": len(table),
                    "spread, points": said(spread(table)),
                }
            )
    return pd.DataFrame(rows)


def _between(seen: Outcomes, group: Group, ends: tuple[float, float]) -> dict[str, str]:
    """What the tables of two extreme scales tell of a group."""
    two = {a: group[a] for a in ends if a in group}
    return {
        "interpolate": f"{seen.interpolate(two).to_numpy().mean():.0%}",
        f"spread between scales {ends[0]:g} and {ends[1]:g}, points": said(
            spread(seen.counted(two))
        ),
    }


def by_epochs(results: Results[Settings]) -> pd.DataFrame:
    """Spread between the extreme scales after the usual number of epochs, and after the long."""
    settings, seen = results.settings, outcomes(results)
    g = groups(settings)
    return pd.DataFrame(
        [
            {"pipeline": name, "epochs": f"{epochs:,}"} | _between(seen, group, settings.ends)
            for name in g["long"]
            for epochs, group in (
                (settings.epochs, g["main"][name]),
                (settings.long_epochs, g["long"][name]),
            )
        ]
    )


def by_distance(results: Results[Settings]) -> pd.DataFrame:
    """Adam and AdamW by how far they go: spread, and what is left of the ratio of norms."""
    settings, seen = results.settings, outcomes(results)
    g = groups(settings)
    named = {"Adam": g["main"]["Adam"], "Adam, long": g["long"]["Adam"]} | {
        "Adam, ten times the rate": g["faster"]["Adam, ten times the rate"],
        "AdamW": g["main"]["AdamW"],
        "AdamW, ten times the rate": g["faster"]["AdamW, ten times the rate"],
    }
    rows = []
    for name, group in named.items():
        run = first(group)
        rows.append(
            {
                "pipeline": name,
                "rate": f"{run.optimizer.lr:g}",
                "steps": f"{steps(run):,}",
                "rate × steps": f"{run.optimizer.lr * steps(run):g}",
            }
            | _between(seen, group, settings.ends)
            | {"share of their ratio of norms that is left": f"{share_left(seen, group):.0%}"}
        )
    return pd.DataFrame(rows)


def turned(results: Results[Settings]) -> pd.DataFrame:
    """Spread at the last step where a rate undoes the scale or comes in its place."""
    seen, named = outcomes(results), groups(results.settings)["turned"]
    scaled = seen.at_last(named["scaled"])
    rows = []
    for how, group in named.items():
        table = seen.at_last(group)
        row = {
            "convolutions": how,
            "spread at the end, points": said(spread(table)),
            "by seeds alone": f"{by_seeds_alone(table):.1f}",
        }
        for a in (min(scaled.index), max(scaled.index)):
            less = claims.paired(table.loc[a], scaled.loc[a])
            row[f"less the scaled, a = {a:g}"] = "" if how == "scaled" else said(less)
        rows.append(row)
    return pd.DataFrame(rows)


def beyond(results: Results[Settings]) -> pd.DataFrame:
    """Spread with and without augmentation, and without normalization."""
    seen = outcomes(results)
    named: Mapping[str, Group] = {
        **augmentation(results),
        "no normalization": groups(results.settings)["plain"][LOW],
    }
    return pd.DataFrame(
        [
            {
                "pipeline": name,
                "interpolate": f"{seen.interpolate(group).to_numpy().mean():.0%}",
                "scales counted": ", ".join(f"{a:g}" for a in seen.counted(group).index) or "none",
                "spread, points": said(spread(seen.counted(group))),
                "spread at the end, whoever fits": said(spread(seen.at_last(group))),
            }
            for name, group in named.items()
        ]
    )


def forgetters(results: Results[Settings]) -> pd.DataFrame:
    """Correlation over ways of training of the spread with accuracy, both means over seeds.

    Accuracy is taken at the usual scale, at the best of the few scales and as the mean over them.
    """
    rows = []
    named = ways(results)
    accuracies: dict[str, Callable[[pd.Series], float]] = {
        "at scale 1": lambda means: means.get(1.0, np.nan),
        "of the best scale": lambda means: means.max(),
        "mean over scales": lambda means: means.mean(),
    }
    for what, accuracy in accuracies.items():
        row = {"test accuracy": what}
        for title, out, ranks in (
            ("Pearson", "", False),
            ("Pearson, without LARS", "LARS", False),
            ("Spearman", "", True),
        ):
            tables = [table for name, table in named.items() if name != out]
            found = correlation(
                [spread(table).value for table in tables],
                [accuracy(table.mean(axis=1)) for table in tables],
                ranks=ranks,
            )
            row[title] = f"{found:.2f}".replace("-", "−")
        rows.append(row)
    return pd.DataFrame(rows)
