"""One part of a network off its scale, the others right: C-15."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from initlab import claims
from initlab.claims import Estimate
from initlab.init import At, Compose
from initlab.init.compose import Layers
from initlab.init.contract import Rule, Scheme
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence.ends import mean_with_ends, times, tuned
from initlab.studies.scaling_and_convergence.networks import HE, relu_net, trained
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.sweep import Run

FIRST, MIDDLE, BETWEEN, LAST = "first", "one in the middle", "all between", "last"
#: Two cells that saved epochs in the first edition, where they were picked from sixteen.
SAVING = {"C-15c.first": (FIRST, 0.5), "C-15c.last": (LAST, 2.0)}


def depth(s: Settings) -> int:
    """Hidden layers: the third of the depths."""
    return s.depths[min(2, len(s.depths) - 1)]


def factors(s: Settings) -> tuple[float, ...]:
    """Factors on the weights of a part."""
    return (0.5, 2.0) if s.smoke else (0.25, 0.5, 2.0, 4.0)


@lru_cache
def runs(s: Settings) -> dict[tuple[str, float], list[Run]]:
    """Trainings by part and factor."""
    layers: dict[str, Layers] = {FIRST: 0, MIDDLE: depth(s) // 2, BETWEEN: (1, -1), LAST: "head"}
    return {
        (name, factor): _trained(s, Compose(HE, (At(where, factor=factor),)))
        for name, where in layers.items()
        for factor in factors(s)
    }


@lru_cache
def as_usual(s: Settings) -> list[Run]:
    """The same with all layers at He's scale."""
    return _trained(s, HE)


def _trained(s: Settings, rule: Rule | Scheme) -> list[Run]:
    return trained(s, relu_net(s, depth(s)), [rule], seeds=s.with_tuning(s.more_seeds))


def lost(results: Results[Settings], part: str, factor: float) -> np.ndarray:
    """Octaves of epochs that a part off its scale costs, tuned, one per seed."""
    s = results.settings
    return np.log2(times(results, runs(s)[part, factor]) / times(results, as_usual(s)))


def effect(results: Results[Settings], part: str) -> np.ndarray:
    """The same, mean over factors."""
    return np.mean([lost(results, part, f) for f in factors(results.settings)], axis=0)


def frame(results: Results[Settings]) -> pd.DataFrame:
    """Octaves of epochs lost, with interval, by `part` and `factor`, and the share `reached`."""
    return pd.DataFrame(
        [
            {"part": part, "factor": factor}
            | mean_with_ends(lost(results, part, factor))
            | {"reached": tuned(results, cell).reached.mean()}
            for (part, factor), cell in runs(results.settings).items()
        ]
    )


def effects(results: Results[Settings]) -> pd.DataFrame:
    """Octaves of epochs lost by `part`, mean over factors, the most first."""
    rows = [
        {"part": part, **mean_with_ends(effect(results, part))}
        for part in (FIRST, MIDDLE, BETWEEN, LAST)
    ]
    return pd.DataFrame(rows).sort_values("mean", ascending=False, kind="stable", ignore_index=True)


def estimates(results: Results[Settings]) -> dict[str, Estimate]:
    """Of the criteria of C-15."""
    first, middle, between, last = (
        effect(results, part) for part in (FIRST, MIDDLE, BETWEEN, LAST)
    )
    return {
        "C-15a.first-last": claims.paired(first, last),
        "C-15a.first-middle": claims.paired(first, middle),
        "C-15a.middle-last": claims.paired(middle, last),
        "C-15b.first": claims.paired(between, first),
        "C-15b.middle": claims.paired(between, middle),
        "C-15b.last": claims.paired(between, last),
        **{name: claims.mean(lost(results, *cell)) for name, cell in SAVING.items()},
    }
