"""What to use: for each kind of network the start with the fewest epochs of those measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import pandas as pd

from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence import classics, gains, scale, shortcuts
from initlab.studies.scaling_and_convergence.ends import by_rule, summary
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.sweep import Run


@dataclass(frozen=True)
class Case:
    """A kind of network, the starts that were tried for it, and the claims that they are from."""

    architecture: str
    size: str
    activation: str
    normalization: str
    starts: Mapping[str, Sequence[Run]]
    claim: str


def times_he(rule: Any) -> str:
    """A rule of He's as a multiple of it."""
    factor = sqrt(rule.scale / 2)
    return "He" if factor == 1 else f"He × {factor:.2g}"


def _named(runs: Sequence[Run], name: Callable[[Any], str]) -> dict[str, list[Run]]:
    return {name(rule): cell for rule, cell in by_rule(runs).items()}


def cases(s: Settings) -> Iterator[Case]:
    """Every kind of network of the chapter, with the starts that were tried."""
    dense = "fully connected"
    for d, runs in scale.by_depth(s).items():
        yield Case(dense, f"{d} layers", "ReLU", "none", _named(runs, times_he), "C-7")
    normed = _named(scale.normed(s), times_he)
    yield Case(dense, f"{s.depth} layers", "ReLU", "BatchNorm", normed, "C-6")
    yield Case(dense, "5 layers", "tanh", "none", classics.tanh_by_rule(s), "C-3")
    for a, starts in gains.starts(s).items():
        yield Case(dense, f"{gains.depth(s)} layers", a, "none", starts, "C-12")
    for d in classics.depths(s):
        convolutions = classics.convolutions(s)
        starts = {rule: runs for (n, rule), runs in convolutions.items() if n == d}
        yield Case("plain convolutional", f"{d} layers", "ReLU", "none", starts, "C-4")
    trained = shortcuts.residual_trained(s)
    for k in shortcuts.modules(s):
        kinds = (*shortcuts.WEIGHTED, *shortcuts.BRANCHES)
        starts = {name: trained[name, k] for name in kinds}
        yield Case("residual, fully connected", f"{k} modules", "ReLU", "none", starts, "C-13")
    for d in sorted({d for _, d in shortcuts.dense_trained(s)}):
        starts = {
            "He, no normalization": shortcuts.dense_trained(s)["none", d],
            "He, BatchNorm": shortcuts.dense_trained(s)["batch", d],
        }
        yield Case("DenseNet", f"{d} layers", "ReLU", "none or BatchNorm", starts, "C-13")


def decide(results: Results[Settings], case: Case) -> dict[str, Any]:
    """A row of the table: the start with the fewest epochs, and how much longer the next takes."""
    found = summary(results, case.starts, ["start"]).sort_values("mean", kind="stable")
    best = found.iloc[0]
    row: dict[str, Any] = {
        "architecture": case.architecture,
        "size": case.size,
        "activation": case.activation,
        "normalization": case.normalization,
    }
    last = {"runs": int(found.n.sum()), "claim": case.claim}
    if best.reached < 0.5:
        return row | {"use": "none of those tried"} | last
    row |= {
        "use": best.start,
        "learning rate": f"{best.rate:.2g}",
        "epochs": f"{best['mean']:.2g} [{best.low:.2g}, {best.high:.2g}]",
    }
    if len(found) > 1:
        second = found.iloc[1]
        if second.reached == 0:
            row |= {"takes": "no other gets there"}
        elif second.reached < 1:
            row |= {"next": second.start, "takes": "does not always get there"}
        else:
            row |= {"next": second.start, "takes": f"{second['mean'] / best['mean']:.2g}×"}
    return row | last


def table(results: Results[Settings]) -> pd.DataFrame:
    """The decision table, one row per kind of network."""
    rows = [decide(results, case) for case in cases(results.settings)]
    return pd.DataFrame(rows).fillna("–")
