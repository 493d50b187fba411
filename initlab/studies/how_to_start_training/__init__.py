"""How to start training (Hanin & Rolnick 2018): chapter 1 of the book.

`grid` says what is run, `signal` and `starts` give the frames of figures and tables, `judge` the
estimates for the claims in `how-to-start-training.toml`.
"""

from __future__ import annotations

from initlab.studies.how_to_start_training.drawn import spread_depths
from initlab.studies.how_to_start_training.grid import STUDY, grid
from initlab.studies.how_to_start_training.judge import BEHIND, judge
from initlab.studies.how_to_start_training.parts import DECAYS, FAMILIES, NARROW, NU_2, SWAPPED
from initlab.studies.how_to_start_training.settings import PRESETS, Settings
from initlab.studies.how_to_start_training.signal import (
    biases,
    dead,
    even_padding,
    exact_spread,
    figure_1a,
    figure_2a,
    figure_4,
    figure_4_layers,
    ratio_variances,
    spread,
    square_spread,
)
from initlab.studies.how_to_start_training.starts import (
    figure_1b,
    figure_2b,
    figure_3,
    free_means,
    order_ratios,
    overflow,
    placed,
    rates,
    swapped,
    swapped_ratios,
    unweighted_rates,
)

__all__ = [
    "BEHIND",
    "DECAYS",
    "FAMILIES",
    "NARROW",
    "NU_2",
    "PRESETS",
    "STUDY",
    "SWAPPED",
    "Settings",
    "biases",
    "dead",
    "even_padding",
    "exact_spread",
    "figure_1a",
    "figure_1b",
    "figure_2a",
    "figure_2b",
    "figure_3",
    "figure_4",
    "figure_4_layers",
    "free_means",
    "grid",
    "judge",
    "order_ratios",
    "overflow",
    "placed",
    "rates",
    "ratio_variances",
    "spread",
    "spread_depths",
    "square_spread",
    "swapped",
    "swapped_ratios",
    "unweighted_rates",
]
