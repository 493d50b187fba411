"""Panels that several figures of the chapter share: each takes a frame and returns Axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from initlab import plot
from initlab.studies.staying_near_the_start.followed import median

#: From nothing to the book's blue.
INK = LinearSegmentedColormap.from_list("ink", ["#2f81c700", "#2f81c7ff"])


def by_width(frame: pd.DataFrame, ax: Axes) -> Axes:
    """A line per width.

    Args:
        frame: columns `epoch`, `value` and `width`.
        ax: to draw on.
    """
    named = frame.assign(of="width " + frame.width.astype(str))
    return plot.curves(named, ax, x="epoch", y="value", by="of", band=None, marker="")


def line(frame: pd.DataFrame, ax: Axes, label: str, index: int) -> Axes:
    """The `index`-th of several lines over epochs.

    Args:
        frame: columns `epoch` and `value`.
        ax: to draw on.
        label: for the legend.
        index: decides the colour.
    """
    color = plot.look("", index)["color"]
    return plot.curves(
        frame, ax, x="epoch", y="value", band=None, label=label, color=color, marker=""
    )


def bundle(table: pd.DataFrame, ax: Axes, label: str, index: int, *, positive: bool) -> Axes:
    """A thin line for each run, and their median as a thick one.

    Args:
        table: a column per run, indexed by epochs.
        ax: to draw on.
        label: of the median.
        index: decides the colour.
        positive: leave medians out that have no place on a logarithmic axis.
    """
    color = plot.look("", index)["color"]
    with plot.style():
        ax.plot(table.index, table.to_numpy(), color=color, alpha=0.35, linewidth=0.8)
    return line(median(table, positive=positive), ax, label, index)


def spread(table: pd.DataFrame, ax: Axes, label: str, index: int) -> Axes:
    """The middle half of many runs as a band, and their median as a line.

    Args:
        table: a column per run, indexed by epochs.
        ax: to draw on.
        label: of the median.
        index: decides the colour.
    """
    low, high = table.quantile(0.25, axis=1), table.quantile(0.75, axis=1)
    color = plot.look("", index)["color"]
    ax.fill_between(table.index, low, high, color=color, alpha=0.25, linewidth=0)
    return line(median(table, positive=False), ax, label, index)


def last_given_first(bands: pd.DataFrame, ax: Axes, *, faint: float, strong: float) -> Axes:
    """Mode, median, quartiles and 2nd to 98th percentile of the last weight given the first.

    Args:
        bands: as `weights.bands` gives it.
        ax: to draw on.
        faint: opacity of the wide band.
        strong: opacity of the narrow band.
    """
    orange = plot.COLORS["orange"]
    for low, high, alpha in (("p2", "p98", faint), ("p25", "p75", strong)):
        ax.fill_between(
            bands.start, bands[low], bands[high], color=orange, alpha=alpha, linewidth=0
        )
    for column, style, name in (("mode", "-", "mode"), ("p50", ":", "median")):
        plot.curves(
            bands,
            ax,
            x="start",
            y=column,
            band=None,
            line=style,
            label=name,
            color=orange,
            marker="",
        )
    return ax


def counted(table: np.ndarray, a: float, b: float, ax: Axes) -> Axes:
    """Counts in the plane of first and last weight, the deeper the more, on a logarithmic scale.

    Args:
        table: counts, the first axis the first weight.
        a: largest first weight.
        b: largest last weight.
        ax: to draw on.
    """
    ax.imshow(
        np.log10(np.maximum(table.T, 0.7)),
        origin="lower",
        extent=(-a, a, -b, b),
        aspect="auto",
        cmap=INK,
        interpolation="nearest",
    )
    ax.grid(False)
    return ax


def histograms(slices: pd.DataFrame, ax: Axes) -> Axes:
    """Links over their last weight, for each slice of first weights.

    Args:
        slices: as `weights.slices` gives it.
        ax: to draw on.
    """
    for i, (start, rows) in enumerate(slices.groupby("start")):
        label = f"first value {start:+.2f}".replace("-", "−")
        edges = [*rows["from"], rows["to"].iloc[-1]]
        ax.stairs(rows.links, edges, color=plot.look("", i)["color"], label=label)
    return ax


def picture(image: np.ndarray, title: str) -> Axes:
    """Mean |w| over boxes of a matrix, scaled to its own largest value."""
    ax = plot.axes(title, size=(1.75, 2.0))
    ax.imshow(image / image.max(), cmap=INK, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.title.set_fontsize(8.5)
    ax.grid(False)
    return ax


def over_widths(ax: Axes, widths: Sequence[int]) -> Axes:
    """A logarithmic axis of widths that names each of them."""
    ax.set(xscale="log")
    ax.set_xticks(list(widths), [f"{w}" for w in widths])
    ax.minorticks_off()
    return ax
