"""The estimates of all criteria, and the sweeps behind each claim."""

from __future__ import annotations

from initlab.claims import Estimate
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence import (
    best_rate,
    classics,
    finite,
    gains,
    inputs,
    level,
    little,
    optimizers,
    parts,
    scale,
    shortcuts,
    size,
    transfer,
)
from initlab.studies.scaling_and_convergence.settings import Settings

STUDY = "scaling-and-convergence"

_SHARED: dict[tuple[str, ...], tuple[str, ...]] = {
    ("C-1a", "C-1b"): ("far",),
    ("C-1c", "C-7a", "C-7b"): ("by_depth",),
    ("C-2a", "C-2b", "C-2c", "C-2d", "C-2e"): ("level_nets",),
    ("C-2f",): ("finite_nets",),
    ("C-3a", "C-3b"): ("tanh_trained",),
    ("C-4a", "C-4b", "C-4c", "C-4d", "C-4e"): ("conv_tuned", "conv_trained"),
    ("C-5a", "C-5b"): ("optimized",),
    ("C-6",): ("by_depth", "normed"),
    ("C-8a", "C-8b"): ("input_trained",),
    ("C-10a", "C-10b", "C-10c"): ("few_trained",),
    ("C-11a", "C-11b", "C-11c", "C-11d"): ("transferred",),
    ("C-12a", "C-12b"): ("gain_trained",),
    ("C-12c", "C-12d", "C-12e"): ("control_trained",),
    ("C-13a", "C-13b"): ("residual_trained",),
    ("C-13c",): ("dense_nets",),
    ("C-14a", "C-14b", "C-14c"): ("sized",),
    ("C-15a", "C-15b", "C-15c"): ("part_trained",),
    ("C-16a", "C-16b", "C-16c", "C-16d"): ("rate_trained",),
}
#: The sweeps behind each claim, by the claim's id.
BEHIND = {name: sweeps for names, sweeps in _SHARED.items() for name in names}


def judge(results: Results[Settings]) -> dict[str, Estimate]:
    """An estimate for every criterion of the registry.

    Args:
        results: of the chapter's grid.
    """
    topics = (
        scale,
        level,
        finite,
        best_rate,
        classics,
        optimizers,
        inputs,
        little,
        transfer,
        gains,
        shortcuts,
        size,
        parts,
    )
    found: dict[str, Estimate] = {}
    for topic in topics:
        found |= topic.estimates(results)
    return found
