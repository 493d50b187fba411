"""Figures take the page's colours, say what they show, and carry their data."""

from __future__ import annotations

import base64
import itertools
import re
from io import StringIO
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.layout_engine import ConstrainedLayoutEngine

from initlab import init, plot, ticks
from initlab.plot import page as pages
from initlab.plot.style import INK

mpl.use("agg")
FRAME = pd.DataFrame(
    {
        "depth": [20, 10, 10, 20],
        "mean": [2.0, 1.0, 3.0, 4.0],
        "low": [1.5, 0.5, 2.5, 3.0],
        "high": [2.5, 1.5, 3.5, 9.0],
        "init": ["He normal", "He normal", "Glorot uniform", "Glorot uniform"],
    }
)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_curves_draw_the_frame():
    ax = plot.curves(FRAME, plot.axes("t", "x", "y"), x="depth", by="init")
    lines = {c.get_label(): c for c in ax.containers}
    assert list(lines) == ["He normal", "Glorot uniform"]
    data, _, (bars,) = lines["Glorot uniform"]
    assert list(data.get_xdata()) == [10, 20]
    assert list(data.get_ydata()) == [3.0, 4.0]
    assert [list(s[:, 1]) for s in bars.get_segments()] == [[2.5, 3.5], [3.0, 9.0]]


def test_every_rule_has_its_own_look():
    labels = [r.label for n, r in init.RULES.items() if n not in ("normal", "constant", "zeros")]
    assert set(labels) <= set(plot.INITIALIZERS)
    looks = list(plot.INITIALIZERS.values())
    assert len(set(looks)) == len(looks)


def test_colours_can_be_told_from_light_and_dark_pages():
    def luminance(color: str) -> float:
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in mpl.colors.to_rgb(color)
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for name, color in plot.COLORS.items():
        for page in ("#ffffff", "#14181e"):
            bright, dim = sorted([luminance(color), luminance(page)], reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= 3, f"{name} on {page}"


def test_a_figure_takes_the_pages_colour():
    ax = plot.curves(FRAME, plot.axes("t", "x", "y"), x="depth", by="init")
    drawn = plot.svg(plot.legend(ax).figure)
    assert "currentColor" in drawn
    assert INK not in drawn
    assert "#ffffff" not in drawn
    assert "#000000" not in drawn
    root = ElementTree.fromstring(drawn)
    assert "viewBox" in root.attrib
    assert "height" not in root.attrib  # the page scales it
    assert not plt.get_fignums()


def test_ids_of_two_figures_do_not_collide():
    def ids(drawn: str) -> set[str]:
        return set(re.findall(r'<clipPath id="(.*?)"', drawn))

    one, two = (plot.svg(plot.curves(FRAME, plot.axes(), x="depth").figure) for _ in range(2))
    assert ids(one)
    assert not ids(one) & ids(two)


def test_show_carries_caption_and_data():
    ax = plot.curves(FRAME, plot.axes(), x="depth", by="init")
    shown = plot.show(ax, name="fig", caption="What <this> is.", data=FRAME)
    page = shown._repr_mimebundle_()["text/html"]
    assert "What &lt;this&gt; is." in page
    assert "id='fig'" in page
    content = re.search(r"download='fig.csv' href='data:text/csv;base64,(.*?)'", page).group(1)
    again = pd.read_csv(StringIO(base64.b64decode(content).decode()))
    pd.testing.assert_frame_equal(again, FRAME, check_dtype=False)


def test_a_cap_is_marked():
    ax = plot.capped(plot.axes(), 100.0, "given up")
    assert [t.get_text() for t in ax.texts] == ["given up"]
    assert list(ax.lines[0].get_ydata()) == [100.0, 100.0]


def test_a_spark_is_small_and_stays_within_its_limits():
    layers = range(30)
    frame = pd.DataFrame({"x": layers, "mean": [10.0**-j for j in layers]})
    frame = frame.assign(median=0.0, low=frame["mean"] / 10, high=1e9)
    drawn = plot.spark(frame, title="a < b", xlabel="layer", ylabel="length", limits=(-12, 6))
    ElementTree.fromstring(drawn)
    assert len(drawn) < 5000
    assert "currentColor" in drawn
    points = re.search(r"<polyline points='(.*?)'", drawn).group(1).split()
    heights = [float(pair.split(",")[1]) for pair in points]
    assert heights == sorted(heights)
    assert heights[-1] == heights[-5]  # below the limit it runs along the edge


def logarithmic():
    """A panel with powers of ten on both of its axes, some of them between decades."""
    ax = plot.axes("title", "x", "y")
    ax.loglog([0.2, 0.5, 0.7], [1e-5, 1.0, 1e5])
    return plot.legend(ax)


def test_powers_are_plain_text():
    figure = logarithmic().figure
    (ax,) = figure.axes

    def said() -> list[str]:
        figure.draw_without_rendering()
        both = [*ax.get_xticklabels(which="both"), *ax.get_yticklabels(which="both")]
        return [label.get_text() for label in both]

    tex = said()
    ticks.make_plain(figure)
    assert said() == [ticks.plain(t) for t in tex]
    assert any("$" in t for t in tex) and not any("$" in t or "^" in t for t in said())
    assert {"10⁰", "2×10⁻¹"} <= set(said())
    plt.close(figure)


def test_a_figure_is_laid_out_once_and_as_matplotlib_does(monkeypatch):
    def drawn() -> str:
        monkeypatch.setattr(pages, "_SALTS", itertools.count())
        return plot.svg(logarithmic().figure)

    laid_out, execute = [], ConstrainedLayoutEngine.execute
    monkeypatch.setattr(
        ConstrainedLayoutEngine, "execute", lambda *a: laid_out.append(1) or execute(*a)
    )
    here = drawn()
    assert len(laid_out) == 1
    monkeypatch.setattr(pages, "_lay_out", lambda figure: None)
    assert drawn() == here
    assert plt.get_fignums() == []
