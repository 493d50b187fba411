"""Chapter 5: does the scale of the first weights decide how well trained networks do?

Das, Beneventano et al. 2026, arXiv 2605.29152. `settings` and `grid` say what is run, `outcomes`
looks results up, `spreads`, `mechanism` and `cells` are statistics, `frames` and `tables` what
the chapter shows, and `judge` estimates what its claims are judged by.
"""

from __future__ import annotations

from initlab.studies.initialization_memory.cells import (
    PAIR,
    accuracies_by_seed,
    cells,
    correlation,
    correlation_by_seed,
    first,
    phase,
    spreads_by_seed,
    ways,
    whole,
)
from initlab.studies.initialization_memory.frames import (
    augmentation,
    by_scale,
    everything,
    over_epochs,
    ranges,
)
from initlab.studies.initialization_memory.grid import (
    CHOSEN,
    DECAYED,
    HE,
    LARGER,
    LOW,
    TENSORS,
    TURNED,
    Group,
    data,
    grid,
    group,
    groups,
    network,
    optimizers,
    steps,
    tau,
)
from initlab.studies.initialization_memory.judge import BEHIND, judge
from initlab.studies.initialization_memory.mechanism import (
    correlations,
    decay_slopes,
    forgetting,
    log_norms,
    norm_ratios,
    share_left,
    shares_kept,
)
from initlab.studies.initialization_memory.outcomes import Outcomes, outcomes
from initlab.studies.initialization_memory.settings import PRESETS, STUDY, Settings
from initlab.studies.initialization_memory.spreads import (
    by_seeds_alone,
    change,
    contrast,
    deviation,
    said,
    spread,
)
from initlab.studies.initialization_memory.tables import (
    beyond,
    by_distance,
    by_epochs,
    by_tensors,
    forgetters,
    memories,
    turned,
    uncounted,
)

__all__ = [
    "BEHIND",
    "CHOSEN",
    "DECAYED",
    "HE",
    "LARGER",
    "LOW",
    "PAIR",
    "PRESETS",
    "STUDY",
    "TENSORS",
    "TURNED",
    "Group",
    "Outcomes",
    "Settings",
    "accuracies_by_seed",
    "augmentation",
    "beyond",
    "by_distance",
    "by_epochs",
    "by_scale",
    "by_seeds_alone",
    "by_tensors",
    "cells",
    "change",
    "contrast",
    "correlation",
    "correlation_by_seed",
    "correlations",
    "data",
    "decay_slopes",
    "deviation",
    "everything",
    "first",
    "forgetters",
    "forgetting",
    "grid",
    "group",
    "groups",
    "judge",
    "log_norms",
    "memories",
    "network",
    "norm_ratios",
    "optimizers",
    "outcomes",
    "over_epochs",
    "phase",
    "ranges",
    "said",
    "share_left",
    "shares_kept",
    "spread",
    "spreads_by_seed",
    "steps",
    "tau",
    "turned",
    "uncounted",
    "ways",
    "whole",
]
