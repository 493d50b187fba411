"""Figures of the book: a plot takes a frame and returns Axes, and `show` puts it into a page."""

from __future__ import annotations

from initlab.plot.page import Shown, show, spark, svg
from initlab.plot.starts import diagnosis, inspection
from initlab.plot.style import COLORS, HALF, INITIALIZERS, axes, capped, curves, legend, look, style

__all__ = [
    "COLORS",
    "HALF",
    "INITIALIZERS",
    "Shown",
    "axes",
    "capped",
    "curves",
    "diagnosis",
    "inspection",
    "legend",
    "look",
    "show",
    "spark",
    "style",
    "svg",
]
