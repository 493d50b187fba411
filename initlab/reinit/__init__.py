"""Starting again in the middle of training: what of a network is kept, and what is drawn anew.

Every method is one operation, θ ← keep·θ + mix·θ′, with its own numbers for each parameter;
θ′ is a fresh draw. `reinitialize` does it to any module, in a loop of one's own; `Stages` is a
schedule of it, for `fit` and for a `Run`.
"""

from __future__ import annotations

from initlab.reinit.blocks import Block, blocks
from initlab.reinit.contract import Change, Method, change, norms
from initlab.reinit.methods import Full, Head, LaterLayers, LayerWise, ShrinkPerturb
from initlab.reinit.module import reinitialize, restart_statistics
from initlab.reinit.normalize import LWNorm, insert
from initlab.reinit.stages import Stages

__all__ = [
    "Block",
    "Change",
    "Full",
    "Head",
    "LWNorm",
    "LaterLayers",
    "LayerWise",
    "Method",
    "ShrinkPerturb",
    "Stages",
    "blocks",
    "change",
    "insert",
    "norms",
    "reinitialize",
    "restart_statistics",
]
