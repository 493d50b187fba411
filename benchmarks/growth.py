"""How our time per network falls with the number of networks that are trained as one."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

from benchmarks.cases import CASES
from benchmarks.harness import interleaved
from benchmarks.ours import Ours

NETWORKS = tuple(2**k for k in range(11))
SAMPLES = 1024  # eight steps


def growth(
    rounds: int, networks: tuple[int, ...] = NETWORKS, device: str = "cpu"
) -> list[dict[str, Any]]:
    """Seconds per network by the number of networks: eight steps of case (a), more on a GPU."""
    case = CASES["a"].on(device)
    case = replace(case, samples=SAMPLES) if device == "cpu" else case
    work = {}
    for R in networks:
        run = Ours().prepare(case.of(R))
        work[str(R)] = lambda run=run: len(run())
    rows = []
    for R, rates in interleaved(work, rounds).items():
        seconds = [1 / rate for rate in rates]
        rows.append(
            {
                "networks": int(R),
                "seconds_per_network": statistics.median(seconds),
                "spread": [min(seconds), max(seconds)],
            }
        )
    return rows
