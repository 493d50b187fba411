"""Chapter 4: when does it help to begin again in the middle of training?

Zaidi et al. 2022 with the methods that it compares, on small networks: 4,232 networks at the laptop
preset, which take about an hour and three quarters on two cores.
"""

from __future__ import annotations

from initlab.studies.when_reinitialization_works.budgets import at_best_budget, budgets
from initlab.studies.when_reinitialization_works.generations import generations
from initlab.studies.when_reinitialization_works.grid import (
    AXES,
    Cell,
    Chosen,
    Table,
    choose,
    count,
    grid,
    plan,
    tuned,
)
from initlab.studies.when_reinitialization_works.judge import BEHIND, judge
from initlab.studies.when_reinitialization_works.miniature import miniature
from initlab.studies.when_reinitialization_works.network import (
    AGAIN,
    METHODS,
    SETTINGS,
    SHRINK,
    STANDARD,
    network,
    trials,
)
from initlab.studies.when_reinitialization_works.networks import (
    best,
    chosen,
    gains,
    minus,
    networks,
    planned,
    select,
)
from initlab.studies.when_reinitialization_works.sensitivity import (
    NEAR,
    of_means,
    sensitivity,
    surface,
)
from initlab.studies.when_reinitialization_works.settings import PRESETS, Settings
from initlab.studies.when_reinitialization_works.stages import (
    SEEN,
    at_best_moment,
    at_the_end,
    ends_of_stages,
)
from initlab.studies.when_reinitialization_works.starts import rounds, warm_starts
from initlab.studies.when_reinitialization_works.tables import (
    accuracies,
    at_longest,
    at_their_best_budgets,
    by_budget,
    controls,
    sensitivities,
    state_at_the_end,
    stopped,
    told,
)

STUDY = "when-reinitialization-works"

__all__ = [
    "AGAIN",
    "AXES",
    "BEHIND",
    "METHODS",
    "NEAR",
    "PRESETS",
    "SEEN",
    "SETTINGS",
    "SHRINK",
    "STANDARD",
    "STUDY",
    "Cell",
    "Chosen",
    "Settings",
    "Table",
    "accuracies",
    "at_best_budget",
    "at_best_moment",
    "at_longest",
    "at_the_end",
    "at_their_best_budgets",
    "best",
    "budgets",
    "by_budget",
    "choose",
    "chosen",
    "controls",
    "count",
    "ends_of_stages",
    "gains",
    "generations",
    "grid",
    "judge",
    "miniature",
    "minus",
    "network",
    "networks",
    "of_means",
    "plan",
    "planned",
    "rounds",
    "select",
    "sensitivities",
    "sensitivity",
    "state_at_the_end",
    "stopped",
    "surface",
    "told",
    "trials",
    "tuned",
    "warm_starts",
]
