"""One look for the whole book: a plot takes a frame and returns Axes.

`show` puts figures into the page as SVG whose text and axes take the page's own colour, so that
one figure serves light and dark; several panels stand side by side and stack on a phone.
"""

from __future__ import annotations

import base64
import html
import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from initlab.ticks import make_plain

#: Stands for "the page's text colour" until `svg` replaces it.
_INK = "#010203"
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
}
_SALTS = itertools.count()
#: Size in inches of a panel of which two stand side by side.
HALF = (3.7, 3.3)
_CYCLE = list(zip(COLORS, ("o", "s", "^", "v", "D", "X", "P", "*", "h"), strict=True))


@contextmanager
def style() -> Iterator[None]:
    """The book's look, for every figure made inside."""
    rc: dict[Any, Any] = {
        "figure.figsize": (5.0, 3.5),
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "axes.edgecolor": _INK,
        "axes.labelcolor": _INK,
        "text.color": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "legend.labelcolor": _INK,
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
    color, marker = INITIALIZERS.get(label, _CYCLE[index % len(_CYCLE)])
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
            color=_INK,
        )
    return ax


def legend(ax: Axes, *, columns: int = 2, title: str | None = None) -> Axes:
    """A legend above the plot, where it hides nothing."""
    with style():
        ax.figure.legend(
            *ax.get_legend_handles_labels(), loc="outside upper center", ncols=columns, title=title
        )
    return ax


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

    Layers in which a value is not finite are marked by a line.
    """
    moments = frame[frame.statistic.isin(["forward", "backward"]) & (frame.layer >= 0)]
    finite = moments[np.isfinite(moments.value) & (moments.value > 0)]
    rows = finite.rename(columns={"value": "mean"})
    ax = axes("", "layer, in order of computation", "mean square", size)
    for statistic, name in (("forward", "outputs"), ("backward", "gradients")):
        own = rows[rows.statistic == statistic].sort_values("layer")
        ax.plot(own.layer, own["mean"], marker="o", markersize=3, label=name)
    bad = moments[~np.isfinite(moments.value)]
    if len(bad):
        ax.axvline(bad.layer.min(), linestyle=":", color="0.5", label="not finite from here on")
    ax.set_yscale("log")
    ax.legend()
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
        color, marker = _CYCLE[index]
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


def svg(figure: Figure) -> str:
    """The figure as inline SVG in the page's colours; closes the figure."""
    buffer = io.StringIO()
    salt = f"figure-{next(_SALTS)}"  # the figures of a page must not share ids
    with style(), mpl.rc_context({"svg.hashsalt": salt}):
        make_plain(figure)
        _lay_out(figure)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    return re.sub(
        r'(<svg[^>]*?) width="([\d.]+)pt" height="[\d.]+pt"',
        r'\1 style="width: \2pt"',
        text,
        count=1,
    )


def _lay_out(figure: Figure) -> None:
    """Lay the figure out as SVG, for good: to save it would draw it once more before it does so."""
    engine, dpi = figure.get_layout_engine(), figure.dpi
    if engine is None:
        return
    FigureCanvasSVG(figure)
    figure.dpi = 72  # of SVG: what a point measures
    engine.execute(figure)
    figure.dpi = dpi
    with mpl.rc_context({"figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)


class Shown:
    """Figures as HTML, with a caption, a text for those who cannot see them, and their data."""

    def __init__(self, markup: str, caption: str) -> None:
        """Keep the markup and the caption."""
        self.markup, self.caption = markup, caption

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/html": self.markup, "text/plain": self.caption}


def show(
    panels: Axes | Sequence[Axes],
    *,
    name: str,
    caption: str,
    data: pd.DataFrame | Mapping[str, pd.DataFrame] | None = None,
) -> Shown:
    """Panels side by side under one caption that says what to see, with links to their data."""
    panels = [panels] if isinstance(panels, Axes) else list(panels)
    drawn = "".join(f"<div class='panel'>{svg(ax.figure)}</div>" for ax in panels)  # type: ignore[arg-type]
    frames = {} if data is None else {name: data} if isinstance(data, pd.DataFrame) else data
    links = " ".join(_link(f"{n}.csv", f) for n, f in frames.items())
    said = html.escape(caption, quote=True)
    return Shown(
        f"<figure class='initlab' id='{name}' role='figure' aria-label='{said}'>"
        f"<div class='panels' style='display: flex; flex-wrap: wrap; gap: 1rem'>{drawn}</div>"
        f"<figcaption>{said} <span class='data'>{links}</span></figcaption></figure>",
        caption,
    )


def _link(file: str, frame: pd.DataFrame) -> str:
    content = base64.b64encode(frame.to_csv(index=False, float_format="%.6g").encode()).decode()
    return f"<a download='{file}' href='data:text/csv;base64,{content}'>{file}</a>"


def spark(
    frame: pd.DataFrame,
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    limits: tuple[int, int],
) -> str:
    """A small chart as bare SVG, light enough to keep hundreds of them in one page.

    `frame` has columns `x`, `mean`, `median`, `low`, `high`; y is logarithmic between powers
    of ten `limits`, and what lies outside is drawn on the edge.
    """
    width, height, left, top, bottom = 390, 300, 54, 54, 44  # a phone's width: 13 px stay 10
    x_end = float(frame.x.max())

    def px(x: float) -> float:
        return left + x / x_end * (width - left - 12)

    def py(y: float) -> float:
        exponent = np.clip(np.log10(max(y, 1e-300)), *limits)
        share = (limits[1] - exponent) / (limits[1] - limits[0])
        return top + share * (height - top - bottom)

    def points(column: str, rows: pd.DataFrame = frame) -> str:
        pairs = zip(rows.x, rows[column], strict=True)
        return " ".join(f"{px(x):.0f},{py(y):.0f}" for x, y in pairs)

    step = max(1, (limits[1] - limits[0]) // 6)
    grid = "".join(
        f"<path d='M{left} {py(10.0**e):.0f}H{width - 12}' stroke='#808080' stroke-opacity='.25'/>"
        f"<text x='{left - 6}' y='{py(10.0**e) + 4:.0f}' text-anchor='end'>10"
        f"<tspan dy='-5' font-size='9'>{str(e).replace('-', '−')}</tspan></text>"
        for e in range(limits[0], limits[1] + 1, step)
    )
    ticks = "".join(
        f"<text x='{px(x):.0f}' y='{height - bottom + 18}' text-anchor='middle'>{x:g}</text>"
        for x in np.linspace(0, x_end, 6)
    )
    blue = COLORS["blue"]
    band = f"{points('low')} {points('high', frame[::-1])}"
    return (
        f"<svg viewBox='0 0 {width} {height}' role='img' aria-label='{html.escape(title)}' "
        "style='width:100%;max-width:520px' font-size='13' fill='currentColor'>"
        f"<text x='6' y='17' font-size='14'>{html.escape(title)}</text>"
        f"<text x='6' y='34' font-size='12' fill-opacity='.75'>{html.escape(ylabel)}</text>"
        f"{grid}{ticks}"
        f"<text x='{(width + left) / 2:.0f}' y='{height - 6}' text-anchor='middle'>"
        f"{html.escape(xlabel)}</text>"
        f"<polygon points='{band}' fill='{blue}' fill-opacity='.2'/>"
        f"<polyline points='{points('mean')}' fill='none' stroke='{blue}' stroke-width='2.5'/>"
        f"<polyline points='{points('median')}' fill='none' stroke='currentColor' "
        "stroke-width='1.5' stroke-dasharray='2 4'/></svg>"
    )
