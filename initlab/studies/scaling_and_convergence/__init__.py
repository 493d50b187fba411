"""Scaling and convergence: what the scale of the initial weights does to training.

One module per experiment, each with its runs, its frames and its estimates; `grid` and `judge` put
them together. Expected outcome: a valley of scales about He's that train, narrower with depth and
wide with BatchNorm. Cost: about 25 minutes at the laptop preset on two cores.
"""

from __future__ import annotations

from initlab.studies.scaling_and_convergence import (
    best_rate,
    classics,
    decision,
    fans,
    finite,
    gains,
    inputs,
    level,
    little,
    miniature,
    mup,
    networks,
    optimizers,
    parts,
    phase,
    ranges,
    scale,
    shortcuts,
    signal,
    size,
    transfer,
)
from initlab.studies.scaling_and_convergence.grid import grid
from initlab.studies.scaling_and_convergence.judge import BEHIND, STUDY, judge
from initlab.studies.scaling_and_convergence.settings import PRESETS, Settings

__all__ = [
    "BEHIND",
    "PRESETS",
    "STUDY",
    "Settings",
    "best_rate",
    "classics",
    "decision",
    "fans",
    "finite",
    "gains",
    "grid",
    "inputs",
    "judge",
    "level",
    "little",
    "miniature",
    "mup",
    "networks",
    "optimizers",
    "parts",
    "phase",
    "ranges",
    "scale",
    "shortcuts",
    "signal",
    "size",
    "transfer",
]
