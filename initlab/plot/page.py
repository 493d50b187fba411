"""Figures into a page, as SVG whose text and axes take the page's own colour.

One figure serves light and dark; several panels stand side by side and stack on a phone.
"""

from __future__ import annotations

import base64
import html
import io
import itertools
import re
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from initlab.plot.style import COLORS, INK, style
from initlab.ticks import make_plain

_SALTS = itertools.count()


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
    text = text[text.index("<svg") :].replace(INK, "currentColor")
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
