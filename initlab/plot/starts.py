"""Pictures of a network's start: what `initlab.inspect` and `initlab.diagnose` have seen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from initlab.plot.style import COLORS, CYCLE, HALF, axes, curves, legend

#: Layers at which second moments and angles are drawn: those with weights, and the input.
WEIGHED = ("input", "linear", "conv", "attention", "embedding", "other")


def inspection(frame: pd.DataFrame, *, size: tuple[float, float] = HALF) -> list[Axes]:
    """What `initlab.inspect` saw: second moments, angles and shares of units, singular values.

    One panel each, of what the frame has. Of several networks the median is drawn, with bars from
    the smallest to the largest.
    """
    one = ["network", "statistic", "layer"]
    ranked = frame.assign(
        rank=frame.groupby(one).value.rank(method="first", ascending=False).astype(int)
    )
    middle = ranked.groupby(["statistic", "layer", "rank", "kind"], as_index=False).value.agg(
        mean="median", low="min", high="max"
    )
    weighed = middle[middle.kind.isin(WEIGHED)]
    units = middle[middle.statistic.isin(["dead", "saturated"])]
    order = "layer, in order of computation"
    panels = [
        _curves_of(
            weighed[weighed["mean"] > 0],
            ("layer", order, "mean square", size),
            {"forward": "activations", "backward": "gradients"},
        ),
        _curves_of(
            pd.concat([weighed, units]),
            ("layer", order, "cosine, share of units", size),
            {"correlation": "correlation", "dead": "dead", "saturated": "saturated"},
        ),
        _curves_of(
            middle,
            ("rank", _summary(ranked), "Jacobian, singular value", size),
            {"singular_value": "singular values"},
        ),
    ]
    if panels[0] is not None:
        panels[0].set_yscale("log")
    if panels[2] is not None:
        panels[2].set_ylim(bottom=0)
    return [ax for ax in panels if ax is not None]


def diagnosis(frame: pd.DataFrame, *, size: tuple[float, float] = HALF) -> Axes:
    """The layers of a report of `initlab.diagnose`: mean squares of outputs and of gradients.

    The first layer in which a value is not finite is marked by a line.
    """
    moments = frame[frame.statistic.isin(["forward", "backward"]) & (frame.layer >= 0)]
    drawn = moments[np.isfinite(moments.value) & (moments.value > 0)].sort_values("layer")
    rows = drawn.rename(columns={"value": "mean"}).assign(low=drawn.value, high=drawn.value)
    shown = ("layer", "layer, in order of computation", "mean square", size)
    ax = _curves_of(rows, shown, {"forward": "outputs", "backward": "gradients"})
    if ax is None:
        ax = axes("", *shown[1:])  # no mean square is finite and above zero
    bad = moments[~np.isfinite(moments.value)]
    if len(bad):
        way = bad[bad.statistic == "forward"].layer
        ax.axvline(
            way.min() if len(way) else bad.layer.max(),
            linestyle=":",
            color="0.5",
            label="not finite",
        )
        legend(ax, columns=3)
    ax.set_yscale("log")
    return ax


def _curves_of(
    rows: pd.DataFrame,
    shown: tuple[str, str, str, tuple[float, float]],
    named: Mapping[str, str],
) -> Axes | None:
    """A curve for each statistic that is there, and a legend where there are several."""
    there = [statistic for statistic in named if statistic in set(rows.statistic)]
    if not there:
        return None
    x, xlabel, ylabel, size = shown
    ax = axes("", xlabel, ylabel, size)
    for index, statistic in enumerate(there):
        color, marker = CYCLE[index]
        own = rows[rows.statistic == statistic]
        curves(own, ax, x=x, label=named[statistic], color=COLORS[color], marker=marker, ms=3)
    return legend(ax, columns=3) if len(there) > 1 else ax


def _summary(ranked: pd.DataFrame) -> str:
    """Medians of the numbers of whole networks, under the axis."""
    value = ranked[ranked["rank"] == 1].groupby("statistic").value.median()
    said = ["rank"]
    if "hessian_top" in value:
        said.append(f"Hessian: λ₁ = {value.hessian_top:.2g}, residual {value.hessian_residual:.1g}")
    if "gradient_quotient" in value:
        said.append(f"gradient quotient: {value.gradient_quotient:.2g}")
    if "ntk_eigenvalue" in value:
        said.append(f"NTK: largest eigenvalue {value.ntk_eigenvalue:.2g}")
    return "\n".join(said)
