"""Frames of the chapter's figures and tables that are more than one statistic during training."""

from __future__ import annotations

import numpy as np
import pandas as pd

from initlab import claims
from initlab.studies.contract import Results
from initlab.studies.staying_near_the_start.fates import fate, fates, jump, pairs
from initlab.studies.staying_near_the_start.followed import (
    accuracy,
    followed,
    last,
    late,
    rows_of,
)
from initlab.studies.staying_near_the_start.grid import of_scale, of_width
from initlab.studies.staying_near_the_start.seeds import mean, said
from initlab.studies.staying_near_the_start.settings import (
    CLIPPED,
    OPTIMIZERS,
    SCALES,
    UNCLIPPED,
    Settings,
)
from initlab.sweep import Run

#: What clipped and unclipped twins are compared by: statistic, layer, and how it is called.
COMPARED = (
    ("train_loss", -1, "training loss"),
    ("grad_norm", -1, "gradient norm"),
    ("delta_std", 2, "standard deviation of Δ"),
    ("correlation", 2, "correlation with the start"),
)
_TIMES = {
    "t_train": "least training loss",
    "t_test": "least test loss",
    "divergence": "divergence",
}


def times(results: Results[Settings]) -> pd.DataFrame:
    """Figure 2c: mean epochs of least losses and of divergence, over the runs that got there."""
    told = fates(results, CLIPPED)
    frames = []
    for column, name in _TIMES.items():
        rows = told.dropna(subset=column)
        if len(rows):
            frames.append(claims.means(rows, ["width"], column).assign(what=name))
    return pd.concat(frames)


def least(results: Results[Settings]) -> pd.DataFrame:
    """Figure 2d: mean least losses."""
    told = fates(results, CLIPPED)
    parts = ("train", "test")
    return pd.concat(claims.means(told, ["width"], f"min_{p}").assign(what=p) for p in parts)


def fallen(results: Results[Settings]) -> pd.DataFrame:
    """What became of clipped and unclipped twins: a row per width.

    Returns:
        Of either arm the share that diverged, the share whose training loss is above ½ ln C at the
        last look, and the median training loss at the end.
    """
    numbers = (
        ("diverged", lambda rows, end: f"{rows['diverged' + end].mean():.0%}"),
        ("above ½ ln C at the last look", lambda rows, end: f"{rows['above' + end].mean():.0%}"),
        ("median loss at the end", lambda rows, end: f"{rows['end_train' + end].median():.3g}"),
    )
    arms = ((CLIPPED, ""), (UNCLIPPED, "_free"))
    found = [
        {"width": width}
        | {f"{what}, {arm}": say(rows, end) for what, say in numbers for arm, end in arms}
        for width, rows in pairs(results).groupby("width")
    ]
    return pd.DataFrame(found)


def twins(results: Results[Settings]) -> pd.DataFrame:
    """Each clipped network beside its unclipped twin, over the last tenth of their epochs.

    Returns:
        A row per width and number: means of both arms, and the mean of the paired differences with
        its interval, as text; `pairs`, how many are finite in both.
    """
    rows = []
    for width in results.settings.controls:
        arms = [of_width(results.grid[arm], width) for arm in (CLIPPED, UNCLIPPED)]
        samples = {
            what: [late(results, arm, statistic, layer) for arm in arms]
            for statistic, layer, what in COMPARED
        }
        samples["test accuracy at the end"] = [accuracy(results, arm) for arm in arms]
        for what, (a, b) in samples.items():
            finite = np.isfinite(a) & np.isfinite(b)
            rows.append(
                {
                    "width": width,
                    "over the last tenth": what,
                    "clipped": said(mean(a[finite])).split()[0],
                    "unclipped": said(mean(b[finite])).split()[0],
                    "difference": said(mean((a - b)[finite])),
                    "pairs": int(finite.sum()),
                }
            )
    return pd.DataFrame(rows)


def near_the_crossing(results: Results[Settings], within: float = 0.06) -> tuple[int, int]:
    """How many networks diverged, and in how many Δ grew most steeply near the crossing.

    Args:
        results: of the chapter.
        within: how near, as a share of the epoch of divergence.
    """
    told = fates(results, CLIPPED)
    gone = told[told.diverged]
    if not len(gone):
        return 0, 0
    spread = followed(results, results.grid[CLIPPED], "delta_std", 2)
    apart = [abs(jump(spread[r.key]) / r.divergence - 1) for r in gone.itertuples()]
    return len(gone), sum(a <= within for a in apart)


def moments(field: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean over networks of a column of `conditional`, with its interval.

    Args:
        field: as `conditional` gives it, or with more columns.
        column: such as "skew".

    Returns:
        A row per bin, with `start`, its mean first weight, in the order of that.
    """
    rows = claims.means(field, ["bin"], column)
    rows["start"] = field.groupby("bin").start.mean().to_numpy()
    return rows.sort_values("start")


def by_mark(results: Results[Settings]) -> dict[tuple[int, str], list[Run]]:
    """Marked runs by their width and their loss: the stable width, the unstable one twice."""
    stable, unstable = results.settings.stable, results.settings.unstable
    return {
        (stable, CLIPPED): of_width(results.grid["marked"], stable),
        (unstable, CLIPPED): of_width(results.grid["marked"], unstable),
        (unstable, UNCLIPPED): results.grid["marked_unclipped"],
    }


def by_optimizer(results: Results[Settings]) -> dict[str, list[Run]]:
    """Runs of each optimizer at the unstable width."""
    runs = results.grid["optimizers"]
    named = {name: [r for r in runs if r.optimizer == one] for name, one in OPTIMIZERS.items()}
    plain = [r for r in runs if r.optimizer not in OPTIMIZERS.values()]
    return {"SGD": plain, **named}


def optimizers(results: Results[Settings]) -> pd.DataFrame:
    """What each optimizer comes to: a row for each, means over runs."""
    epochs, rows = results.settings.optimizer_epochs, []
    for name, runs in by_optimizer(results).items():
        told = fate(results, runs)
        kept = followed(results, runs, "correlation", 2).ffill().loc[:epochs].iloc[-1]
        rows.append(
            {
                "optimizer": name,
                "diverged": (told.divergence <= epochs).mean(),
                "least training loss": told.min_train.mean(),
                "least test loss": told.min_test.mean(),
                "correlation with the start": kept.mean(),
            }
        )
    return pd.DataFrame(rows)


def by_scale(results: Results[Settings]) -> dict[float, list[Run]]:
    """Runs of each scale of the first weights."""
    return {s: of_scale(results.grid["scaled"], s) for s in SCALES}


def spectrum(results: Results[Settings], runs: list[Run]) -> pd.DataFrame:
    """Singular values of the displacement at the end, over the largest: mean by `rank`."""
    rows = rows_of(results, runs)
    rows = rows[rows.statistic == "singular"]
    rows = rows.assign(rank=rows["index"] + 1)
    rows["value"] /= rows.groupby("key").value.transform("max")
    return claims.means(rows.sort_values("rank"), ["rank"])


def scales(results: Results[Settings]) -> pd.DataFrame:
    """What each scale comes to: a row for each, means over runs with their intervals, as text."""
    rows = []
    for scale, runs in by_scale(results).items():
        row = {"scale": f"{scale:g}", "least test loss": said(mean(fate(results, runs).min_test))}
        for statistic, name in (
            ("relative", "‖Δ‖/‖θ₀‖"),
            ("correlation", "correlation"),
            ("stable_rank", "stable rank"),
        ):
            row[name] = said(mean(last(results, runs, statistic, 2)))
        rows.append(row)
    return pd.DataFrame(rows)
