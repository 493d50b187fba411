"""Chapter 3, *Staying near the start*: its runs, frames of its figures, and its estimates.

Networks with two equal hidden layers are trained for a long time, and the displacement of every
weight from its first value is followed, at several widths, with Keras' clipped loss and without
the clip (Jesus et al. 2021). At the `laptop` preset 343 networks take about an hour on two cores.
"""

from __future__ import annotations

from initlab.studies.staying_near_the_start.fates import fate, fates, jump, jumps, pairs, shares
from initlab.studies.staying_near_the_start.followed import (
    accuracy,
    bundle,
    followed,
    last,
    late,
    median,
    rows_of,
    typical,
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
