"""What becomes of the norms of weights before a normalization, and what outputs keep."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from initlab import claims
from initlab.measure import memory
from initlab.studies.contract import Results
from initlab.studies.initialization_memory.grid import Group, groups
from initlab.studies.initialization_memory.outcomes import Outcomes, outcomes
from initlab.studies.initialization_memory.settings import Settings
from initlab.sweep import Run

#: Scales count as forgotten where they differ by no more than this in the logarithm (base 10) of
#: norms, in the correlation with the first outputs and in test accuracy.
TOLERANCES = {"norm": np.log10(1.25), "function": 0.1, "accuracy": 0.03}


def log_norms(seen: Outcomes, runs: Iterable[Run]) -> pd.Series:
    """Natural logarithm of the norms of the weights before a normalization, by step.

    The mean over layers, of which the last, the head, has no normalization behind it; and over
    runs.
    """
    of_runs = [np.log(seen.norms(run).iloc[:, :-1]).mean(axis=1) for run in runs]
    return pd.concat(of_runs, axis=1).mean(axis=1)


def norm_ratios(results: Results[Settings], name: str) -> pd.DataFrame:
    """Geometric mean norm over that of the networks of scale 1, of one way of training.

    Args:
        results: of the chapter.
        name: of a way of training from all scales.

    Returns:
        Columns step, ratio, scale, pipeline.
    """
    seen, group = outcomes(results), groups(results.settings)["main"][name]
    if 1.0 not in group:
        return pd.DataFrame(columns=["step", "ratio", "scale", "pipeline"])
    one = log_norms(seen, group[1.0])
    frames = [
        np.exp(log_norms(seen, runs) - one).rename("ratio").reset_index().assign(scale=a)
        for a, runs in group.items()
    ]
    return pd.concat(frames).assign(pipeline=name)


def correlations(results: Results[Settings], name: str) -> pd.DataFrame:
    """Correlation of outputs on test samples with those before training, means over seeds.

    Returns:
        Columns of `claims.means` by step, scale, pipeline.
    """
    seen, group = outcomes(results), groups(results.settings)["main"][name]
    frames = [
        claims.means(rows, ["step"]).assign(scale=a) for a, rows in seen.curve(group, "correlation")
    ]
    return pd.concat(frames).assign(pipeline=name)


def forgetting(results: Results[Settings]) -> pd.DataFrame:
    """Steps until norm, function and accuracy no longer tell the scale: medians over seeds."""
    seen = outcomes(results)
    rows = []
    for name, group in groups(results.settings)["main"].items():
        times: dict[str, list[float]] = {what: [] for what in TOLERANCES}
        for runs in zip(*group.values(), strict=True):
            curves = {
                "norm": [log_norms(seen, [run]) / np.log(10) for run in runs],
                "function": [seen.series(run, "correlation") for run in runs],
                "accuracy": [seen.series(run, "test_accuracy") for run in runs],
            }
            for what, of in curves.items():
                time = memory.forgetting_time(of[0].index, np.array(of), TOLERANCES[what])
                times[what].append(time)
        rows.append({"pipeline": name} | {k: _steps(np.median(v)) for k, v in times.items()})
    return pd.DataFrame(rows)


def _steps(median: float) -> str:
    return f"{median:,.0f}" if np.isfinite(median) else "never"


def share_left(seen: Outcomes, group: Group) -> float:
    """Share of the ratio of norms at the extreme scales, in logarithms, that is left at the end."""
    ratio = log_norms(seen, group[max(group)]) - log_norms(seen, group[min(group)])
    return float(ratio.iloc[-1] / ratio.iloc[0])


def shares_kept(seen: Outcomes, group: Group, scale: float) -> list[float]:
    """Share of log a that log r(a)/r(1) keeps at the end, of each seed; none without the scales.

    Args:
        seen: outcomes of the chapter.
        group: a way of training.
        scale: a ≠ 1.
    """
    found = []
    for one, other in zip(group.get(scale, ()), group.get(1.0, ()), strict=False):
        ratio = log_norms(seen, [one]) - log_norms(seen, [other])
        found.append(float(ratio.iloc[-1] / ratio.iloc[0]))
    return found


def decay_slopes(seen: Outcomes, group: Group, scale: float, *, until: float = 1.5) -> list[float]:
    """−slope of log r(a) per step over ηλ, of each seed; none without the scales.

    Args:
        seen: outcomes of the chapter.
        group: a way of training by SGD with weight decay λ at rate η.
        scale: a > 1.
        until: r(a)/r(1) above which steps count; nan where fewer than three do.
    """
    found = []
    for one, other in zip(group.get(scale, ()), group.get(1.0, ()), strict=False):
        high, low = log_norms(seen, [one]), log_norms(seen, [other])
        early = high[high - low > np.log(until)]
        slope = np.polyfit(early.index, early, 1)[0] if len(early) > 2 else np.nan
        decay = getattr(one.optimizer, "weight_decay", 0.0)
        found.append(float(-slope / (one.optimizer.lr * decay)))
    return found
