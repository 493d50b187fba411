"""Where the time of our training steps goes: a profile of what one thread does."""

from __future__ import annotations

import cProfile
import pstats
import statistics
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import Training
from benchmarks.ours import Ours
from initlab.models import products
from initlab.train import batches, loss, optim

#: What a step consists of: the file and the function, or the function of a library, whose time it
#: is with all that they call.
PARTS = {
    "matrix products": ((products.__file__, "product"), ("~", "_linear_pointwise")),
    "batch": ((batches.__file__, "batch"),),
    "loss": ((loss.__file__, "gradient"),),
    "update": ((optim.__file__, "__call__"),),
}
REST = "biases, activations and Python"


def parts(case: Training, rounds: int) -> dict[str, Any]:
    """Milliseconds of each part of a step of the networks that one of two threads trains."""
    case = case.of(max(1, case.networks // 2))
    run, threads = Ours().prepare(case), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run()
        found = [_profiled(run, case.steps) for _ in range(rounds)]
    finally:
        torch.set_num_threads(threads)
    return {
        "case": case.title,
        "letter": case.letter,
        "order": case.order,
        "networks": case.networks,
        "milliseconds": {name: statistics.median(f[name] for f in found) for name in found[0]},
    }


def _profiled(run: Any, steps: int) -> dict[str, float]:
    profile = cProfile.Profile()
    profile.runcall(run)
    stats = pstats.Stats(profile)
    spent = dict.fromkeys(PARTS, 0.0)
    for (file, _, function), (_, _, _, seconds, _) in stats.stats.items():  # type: ignore[attr-defined]
        for name, places in PARTS.items():
            for place, wanted in places:
                same = Path(file) == Path(place) if place != "~" else file == "~"
                if same and (function == wanted or (file == "~" and wanted in function)):
                    spent[name] += seconds
    spent[REST] = stats.total_tt - sum(spent.values())  # type: ignore[attr-defined]
    return {name: 1000 * seconds / steps for name, seconds in spent.items()}
