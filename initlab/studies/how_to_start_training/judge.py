"""An estimate for every criterion of the chapter "How to start training"."""

from __future__ import annotations

from initlab.claims import Estimate
from initlab.studies.contract import Results
from initlab.studies.how_to_start_training import judge_signal, judge_starts
from initlab.studies.how_to_start_training.settings import Settings

#: The sweeps behind each claim.
BEHIND = {
    "H1": ("square_nets",),
    "H2a": ("square_trained",),
    "H2b": ("square_trained",),
    "H2c": ("square_trained",),
    "H2d": ("square_trained",),
    "H2e": ("square_trained",),
    "H3": ("conv_nets",),
    "H4a": ("residual",),
    "H4b": ("residual",),
    "H4c": ("residual",),
    "H5a": ("residual", "residual_trained"),
    "H5b": ("residual_trained",),
    "H5c": ("residual_trained",),
    "H6a": ("family_trained",),
    "H6b": ("family_trained",),
    "H6c": ("family_trained",),
    "H6d": ("family_trained",),
    "H7": ("family_nets",),
    "H8": ("residual_spread",),
    "H9": ("biased",),
}


def judge(results: Results[Settings]) -> dict[str, Estimate]:
    """An estimate for every criterion of the registry.

    Args:
        results: of the chapter's grid.
    """
    return judge_signal.estimates(results) | judge_starts.estimates(results)
