"""The named sweeps of the chapter "How to start training"."""

from __future__ import annotations

from initlab.studies.contract import Grid
from initlab.studies.how_to_start_training import drawn, trained
from initlab.studies.how_to_start_training.settings import Settings

STUDY = "how-to-start-training"


def grid(settings: Settings) -> Grid:
    """The named sweeps of the chapter.

    Args:
        settings: of the chapter.

    Returns:
        Runs by the name of their sweep, with the figures of the paper: `square_nets` (Figure 1a),
        `square_trained` and `lost` (1b), `tuned` (its control of the rate), `residual` (2a),
        `residual_trained` (2b), `even_trained`, `tiny_rates` and `normalized` (its controls),
        `family_trained` (3), `swapped_trained` and `free` (its controls), `conv_nets` (4),
        `conv_layers` (the same layer by layer), `family_nets`, `residual_spread` and `even_spread`
        (failure mode 2), `biased`, and `narrow` (dead layers).
    """
    return {
        "square_nets": drawn.square_nets(settings),
        "square_trained": trained.square_trained(settings),
        "lost": trained.lost(settings),
        "tuned": trained.tuned(settings),
        "residual": drawn.residual(settings),
        "residual_trained": trained.residual_trained(settings),
        "even_trained": trained.even_trained(settings),
        "tiny_rates": trained.tiny_rates(settings),
        "normalized": trained.normalized(settings),
        "family_trained": trained.family_trained(settings),
        "swapped_trained": trained.swapped_trained(settings),
        "free": trained.free(settings),
        "conv_nets": drawn.conv_nets(settings),
        "conv_layers": drawn.conv_layers(settings),
        "family_nets": drawn.family_nets(settings),
        "residual_spread": drawn.residual_spread(settings),
        "even_spread": drawn.even_spread(settings),
        "biased": drawn.biased(settings),
        "narrow": drawn.narrow(settings),
    }
