"""What the chapter runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from initlab.studies.contract import Grid
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
    phase,
    scale,
    shortcuts,
    signal,
    size,
    transfer,
)
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.sweep import Run


def _flat(groups: Mapping[Any, Iterable[Run]]) -> list[Run]:
    return [run for group in groups.values() for run in group]


def grid(settings: Settings) -> Grid:
    """The named sweeps of the chapter.

    Args:
        settings: of the chapter.
    """
    s = settings
    return {
        "by_depth": _flat(scale.by_depth(s)),
        "far": _flat(scale.far(s)),
        "normed": scale.normed(s),
        "signal_nets": list(signal.runs(s).values()),
        "level_nets": level.runs(s),
        "finite_nets": list(finite.runs(s).values()),
        "phase_nets": list(phase.runs(s).values()),
        "tanh_trained": classics.tanh(s),
        "conv_tuned": _flat(classics.convolutions_tuned(s)),
        "conv_trained": _flat(classics.convolutions(s)),
        "optimized": _flat(optimizers.runs(s)),
        "input_trained": _flat(inputs.runs(s)),
        "few_trained": _flat(little.runs(s)),
        "transferred": _flat(transfer.runs(s)),
        "gain_trained": _flat(gains.runs(s)),
        "control_trained": _flat(gains.controls(s)),
        "rate_trained": _flat(best_rate.runs(s)),
        "residual_trained": _flat(shortcuts.residual_trained(s)),
        "dense_trained": _flat(shortcuts.dense_trained(s)),
        "residual_nets": _flat(shortcuts.residual_drawn(s)),
        "dense_nets": _flat(shortcuts.dense_drawn(s)),
        "sized": _flat(size.runs(s)),
        "part_trained": [*_flat(parts.runs(s)), *parts.as_usual(s)],
    }
