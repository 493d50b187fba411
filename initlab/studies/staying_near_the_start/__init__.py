"""Chapter 3, *Staying near the start*: its runs, the frames of its figures, and its estimates.

Networks with two equal hidden layers are trained for a long time, and the displacement of every
weight from its first value is followed, at several widths, with Keras' clipped loss and without
the clip (Jesus et al. 2021). At the `laptop` preset 343 networks take about an hour on two cores.
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
)
from initlab.studies.staying_near_the_start.fates import (
    fate,
    fates,
    jump,
    jumps,
    pairs,
    shares,
)
from initlab.studies.staying_near_the_start.followed import (
    accuracy,
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
    by_optimizer,
    by_scale,
    fallen,
    least,
    moments,
    near_the_crossing,
    optimizers,
    scales,
    spectrum,
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
    PRESETS,
    RATE,
    SCALES,
    STUDY,
    UNCLIPPED,
    Settings,
)
from initlab.studies.staying_near_the_start.sizes import MATRICES, at_loss, exponents, sized
from initlab.studies.staying_near_the_start.straight import (
    END_TO_END,
    START_TO_END,
    barriers,
    straight_lines,
)
from initlab.studies.staying_near_the_start.weights import (
    bands,
    conditional,
    plane,
    slices,
    snapshots,
)

__all__ = [
    "BEHIND",
    "CEILING",
    "CLIPPED",
    "COMPARED",
    "END_TO_END",
    "MATRICES",
    "PRESETS",
    "RATE",
    "SCALES",
    "START_TO_END",
    "STUDY",
    "UNCLIPPED",
    "Settings",
    "accuracy",
    "at_loss",
    "bands",
    "barriers",
    "bundle",
    "by_mark",
    "by_optimizer",
    "by_scale",
    "by_width",
    "cloud",
    "conditional",
    "counted",
    "data_of",
    "exponents",
    "fallen",
    "fate",
    "fates",
    "followed",
    "grid",
    "histograms",
    "judge",
    "jump",
    "jumps",
    "last",
    "last_given_first",
    "late",
    "least",
    "line",
    "median",
    "moments",
    "near_the_crossing",
    "network",
    "of_data",
    "of_scale",
    "of_width",
    "optimizers",
    "over_widths",
    "pairs",
    "picture",
    "plane",
    "rows_of",
    "scales",
    "shares",
    "sized",
    "slices",
    "snapshots",
    "spectrum",
    "straight_lines",
    "times",
    "travel",
    "twins",
    "typical",
    "width_of",
]
