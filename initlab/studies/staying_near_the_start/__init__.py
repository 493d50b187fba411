"""Chapter 3, *Staying near the start*: its runs, the frames of its figures, and its estimates.

Networks with two equal hidden layers are trained for a long time, and the displacement of every
weight from its first value is followed, at several widths, with Keras' clipped loss and without
the clip (Jesus et al. 2021). At the `laptop` preset 412 networks take about 25 core-minutes.
"""

from __future__ import annotations

from initlab.studies.staying_near_the_start.dots import cloud, travel
from initlab.studies.staying_near_the_start.drawings import (
    bundle,
    by_width,
    counted,
    histograms,
    last_given_first,
    line,
    over_widths,
    picture,
    spread,
)
from initlab.studies.staying_near_the_start.fates import aligned, fate, fates, shares
from initlab.studies.staying_near_the_start.followed import (
    followed,
    last,
    late,
    median,
    rows_of,
    typical,
)
from initlab.studies.staying_near_the_start.frames import (
    COMPARED,
    by_mark,
    by_rate,
    edges,
    ends,
    least,
    moments,
    rates,
    times,
    twins,
)
from initlab.studies.staying_near_the_start.grid import (
    data_of,
    grid,
    network,
    of_data,
    of_scale,
    of_width,
    width_of,
)
from initlab.studies.staying_near_the_start.judge import BEHIND, judge
from initlab.studies.staying_near_the_start.settings import (
    CEILING,
    CLIPPED,
    FRESH,
    PRESETS,
    SCALES,
    STUDY,
    UNCLIPPED,
    Settings,
)
from initlab.studies.staying_near_the_start.sizes import (
    DEPARTURES,
    departed,
    exponents,
    scales,
    sized,
)
from initlab.studies.staying_near_the_start.straight import (
    END_TO_END,
    START_TO_END,
    barriers,
    put_back,
    straight_lines,
)
from initlab.studies.staying_near_the_start.weights import (
    bands,
    conditional,
    plane,
    slices,
    slopes,
    snapshots,
)

__all__ = [
    "BEHIND",
    "CEILING",
    "CLIPPED",
    "COMPARED",
    "DEPARTURES",
    "END_TO_END",
    "FRESH",
    "PRESETS",
    "SCALES",
    "START_TO_END",
    "STUDY",
    "UNCLIPPED",
    "Settings",
    "aligned",
    "bands",
    "barriers",
    "bundle",
    "by_mark",
    "by_rate",
    "by_width",
    "cloud",
    "conditional",
    "counted",
    "data_of",
    "departed",
    "edges",
    "ends",
    "exponents",
    "fate",
    "fates",
    "followed",
    "grid",
    "histograms",
    "judge",
    "last",
    "last_given_first",
    "late",
    "least",
    "line",
    "median",
    "moments",
    "network",
    "of_data",
    "of_scale",
    "of_width",
    "over_widths",
    "picture",
    "plane",
    "put_back",
    "rates",
    "rows_of",
    "scales",
    "shares",
    "sized",
    "slices",
    "slopes",
    "snapshots",
    "spread",
    "straight_lines",
    "times",
    "travel",
    "twins",
    "typical",
    "width_of",
]
