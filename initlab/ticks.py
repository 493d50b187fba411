"""Labels of logarithmic axes in plain text.

matplotlib sets 10⁻² as TeX, and to read its TeX takes it as long as all the rest of a figure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, LogFormatterMathtext

_RAISED = str.maketrans("-−0123456789", "⁻⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def plain(tex: str) -> str:
    """A label that matplotlib sets in TeX, with digits that the font itself raises.

    >>> plain(r"$\\mathdefault{2\\times10^{-3}}$")
    '2×10⁻³'
    """
    text = re.sub(r"\$\\mathdefault\{(.*)\}\$", r"\1", tex).replace(r"\times", "×")
    return re.sub(r"\^\{([-−\d]+)\}", lambda power: power[1].translate(_RAISED), text)


class Plain(Formatter):
    """The labels of a logarithmic axis as plain text."""

    def __init__(self, tex: LogFormatterMathtext) -> None:
        """Keep the formatter that knows which ticks have labels."""
        self.tex = tex

    def set_axis(self, axis: Axis | None) -> None:  # type: ignore[override]
        """See `matplotlib.ticker.Formatter`."""
        super().set_axis(axis)
        self.tex.set_axis(axis)

    def set_locs(self, locs: Sequence[float]) -> None:  # type: ignore[override]
        """See `matplotlib.ticker.Formatter`."""
        self.tex.set_locs(locs)

    def __call__(self, x: float, pos: int | None = None) -> str:
        """See `matplotlib.ticker.Formatter`."""
        return plain(self.tex(x, pos))


def make_plain(figure: Figure) -> None:
    """Write the labels of the logarithmic axes of a figure in plain text."""
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            if isinstance(tex := axis.get_major_formatter(), LogFormatterMathtext):
                axis.set_major_formatter(Plain(tex))
            if isinstance(tex := axis.get_minor_formatter(), LogFormatterMathtext):
                axis.set_minor_formatter(Plain(tex))
