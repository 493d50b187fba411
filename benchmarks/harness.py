"""Side by side: everyone takes a turn in every round, and ratios are taken within a round.

A machine that others use slows down and speeds up; within one round that hits all alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

#: Does the work and says how many model-samples it was.
Work = Callable[[], int]


def interleaved(
    work: Mapping[str, Work],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Model-samples per second of each, one value per round.

    All take turns within a round. The first round is not counted: compilers compile in it and
    allocators learn their sizes.
    """
    rates: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, way in work.items():
            begin = clock()
            count = way()
            seconds = clock() - begin
            if turn:
                rates[name].append(count / seconds)
    return rates


def compared(ours: list[float], theirs: list[float]) -> dict[str, Any]:
    """Our rates beside theirs, round by round: medians, and the ratio with its spread.

    Above 1 we are faster.

    >>> compared([10.0, 20.0, 60.0], [10.0, 10.0, 20.0])
    {'ours': 20.0, 'theirs': 10.0, 'ratio': 2.0, 'spread': [1.0, 3.0], 'rounds': 3}
    """
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "ours": statistics.median(ours),
        "theirs": statistics.median(theirs),
        "ratio": statistics.median(ratios),
        "spread": [min(ratios), max(ratios)],
        "rounds": len(ratios),
    }
