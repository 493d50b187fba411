"""One look for the whole book, and curves in it: a plot takes a frame and returns Axes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

#: Stands for "the page's text colour" until `svg` replaces it.
INK = "#010203"
#: Mid tones, at least 3:1 against white and against the dark theme's background.
COLORS = {
    "blue": "#2f81c7",
    "orange": "#d0730f",
    "green": "#259468",
    "pink": "#cf4f86",
    "purple": "#8f6bd1",
    "brown": "#a4754a",
    "teal": "#15959f",
    "grey": "#858585",
    "olive": "#87870f",
}
#: One colour and marker per initializer, through the whole book.
INITIALIZERS = {
    "He normal": ("blue", "o"),
    "He uniform": ("teal", "s"),
    "2× He normal": ("pink", "^"),
    "He truncated": ("grey", "P"),
    "He truncated, uncorrected": ("orange", "v"),
    "Glorot uniform": ("green", "D"),
    "Glorot normal": ("grey", "p"),
    "Glorot truncated, uncorrected": ("purple", "X"),
    "LeCun normal": ("brown", "h"),
    "PyTorch default": ("olive", "*"),
    "As built": ("orange", "s"),
    "Orthogonal": ("grey", "d"),
    "Glorot truncated": ("purple", "x"),
    "LeCun uniform": ("brown", "s"),
    "LeCun truncated": ("brown", "^"),
    "Quadrature gain (gelu)": ("blue", "D"),
    "Quadrature gain (tanh)": ("blue", "v"),
    "Variance scaling": ("blue", "X"),
    "Delta-orthogonal": ("teal", "d"),
    "Dirac": ("teal", "^"),
    "ZerO": ("teal", "v"),
    "Padded identity": ("teal", "P"),
    "Sparse": ("olive", "X"),
    "Truncated normal": ("olive", "o"),
    "Uniform": ("olive", "s"),
    "Ones": ("olive", "p"),
}  #: Size in inches of a panel of which two stand side by side.
HALF = (3.7, 3.3)
CYCLE = list(zip(COLORS, ("o", "s", "^", "v", "D", "X", "P", "*", "h"), strict=True))


@contextmanager
def style() -> Iterator[None]:
    """The book's look, for every figure made inside."""
    rc: dict[Any, Any] = {
        "figure.figsize": (5.0, 3.5),
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.labelcolor": INK,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#808080",
        "grid.alpha": 0.22,
        "grid.linewidth": 0.7,
        "font.size": 10.5,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "legend.fontsize": 9,
        "lines.linewidth": 1.7,
        "lines.markersize": 5,
        "svg.fonttype": "path",
        "figure.constrained_layout.use": True,
    }
    with mpl.rc_context(rc):
        yield


def look(label: str, index: int = 0) -> dict[str, str]:
    """Colour and marker of an initializer, or of the `index`-th of other things."""
    color, marker = INITIALIZERS.get(label, CYCLE[index % len(CYCLE)])
    return {"color": COLORS[color], "marker": marker}


def axes(title: str = "", xlabel: str = "", ylabel: str = "", size=(5.0, 3.5)) -> Axes:
    """Empty axes in the book's style."""
    with style():
        ax = plt.figure(figsize=size).add_subplot()
        ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    return ax


def curves(
    frame: pd.DataFrame,
    ax: Axes,
    *,
    x: str,
    y: str = "mean",
    by: str | None = None,
    band: tuple[str, str] | None = ("low", "high"),
    line: str = "-",
    label: str | None = None,
    **options,
) -> Axes:
    """One line per value of `by`, with `band` as error bars where the frame has them.

    Without `by` there is one line, and `label` names it in the legend.
    """
    groups = [("", frame)] if by is None else list(frame.groupby(by, sort=False, observed=True))
    with style():
        for index, (name, group) in enumerate(groups):
            group = group.sort_values(x)
            shown = look(str(name), index) | options
            error = None
            if band is not None and set(band) <= set(group.columns):
                middle = group[y].to_numpy(float)
                error = np.clip([middle - group[band[0]], group[band[1]] - middle], 0, None)
            ax.errorbar(
                group[x],
                group[y],
                yerr=error,
                linestyle=line,
                capsize=2,
                elinewidth=1.1,
                label=label if by is None else str(name),
                **shown,
            )
    return ax


def capped(ax: Axes, cap: float, text: str) -> Axes:
    """Mark the value at which runs were given up."""
    with style():
        ax.axhline(cap, color=COLORS["grey"], linestyle="--", linewidth=1, zorder=0)
        ax.annotate(
            text,
            (0.995, cap),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=8.5,
            xytext=(0, 2),
            textcoords="offset points",
            color=INK,
        )
    return ax


def legend(ax: Axes, *, columns: int = 2, title: str | None = None) -> Axes:
    """A legend above the plot, where it hides nothing."""
    with style():
        ax.figure.legend(
            *ax.get_legend_handles_labels(), loc="outside upper center", ncols=columns, title=title
        )
    return ax
