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
    "H2c": ("lost",),
    "H2d": ("square_trained", "lost"),
    "H2e": ("lost",),
    "H2f": ("tuned",),
    "H2g": ("tuned",),
    "H3": ("conv_layers",),
    "H4a": ("residual",),
    "H4b": ("residual",),
    "H4c": ("residual",),
    "H5a": ("residual", "residual_trained"),
    "H5b": ("residual_trained",),
    "H5c": ("residual_trained",),
    "H5d": ("even_trained",),
    "H5e": ("tiny_rates",),
    "H6a": ("free",),
    "H6b": ("free",),
    "H6c": ("free",),
    "H6d": ("family_trained",),
    "H6e": ("family_trained",),
    "H7": ("family_nets",),
    "H8": ("residual_spread", "even_spread"),
    "H9": ("biased",),
    "H10a": ("normalized",),
    "H10b": ("normalized",),
    "H10c": ("normalized",),
}


def judge(results: Results[Settings]) -> dict[str, Estimate]:
    """An estimate for every criterion of the registry.

    Args:
        results: of the chapter's grid.
    """
    return judge_signal.estimates(results) | judge_starts.estimates(results)
