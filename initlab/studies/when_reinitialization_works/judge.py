"""The estimates of the chapter's criteria; a replicate is one network of each arm.

Claims that end in "a" are of the residual network, those that end in "b" of the MLP; of Z5, "a"
and "c" are of the residual network. What a preset does not have is unknown.
"""

from __future__ import annotations

import pandas as pd

from initlab import claims
from initlab.claims import Estimate
from initlab.studies.contract import Results
from initlab.studies.when_reinitialization_works.budgets import at_best_budget
from initlab.studies.when_reinitialization_works.generations import generations
from initlab.studies.when_reinitialization_works.network import (
    BORN,
    LAYERWISE,
    SETTINGS,
    SHRINK,
    STANDARD,
)
from initlab.studies.when_reinitialization_works.networks import (
    best,
    gains,
    minus,
    networks,
    select,
)
from initlab.studies.when_reinitialization_works.sensitivity import sensitivity
from initlab.studies.when_reinitialization_works.settings import Settings
from initlab.studies.when_reinitialization_works.warm import LOGISTIC, NEW, RESIDUAL, WARM

_SWEEPS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("Z1a", "Z1b", "Z2a", "Z2b", "Z4a", "Z4b"): ("tuning", "final", "longer"),
    ("Z3a", "Z3b"): ("surfaces",),
    ("Z5a", "Z5b", "Z5c", "Z5d", "Z6a", "Z6b"): ("tuning", "final"),
    ("Z7a", "Z7b", "Z7c", "Z7d"): ("warm",),
    ("Z8a", "Z8b"): ("tuning", "born"),
}
#: The sweeps behind each claim.
BEHIND = {claim: sweeps for claims_, sweeps in _SWEEPS.items() for claim in claims_}
#: Criteria of Z7: the starts by the numbers in the criteria's ids.
FORMS = {
    "keep-0.6-noise-0.01": "λ = 0.6, σ = 0.01",
    "keep-0.3-noise-0.01": "λ = 0.3, σ = 0.01",
    "keep-0.3-noise-0.1": "λ = 0.3, σ = 0.1",
    "keep-0.6-noise-0.1": "λ = 0.6, σ = 0.1",
}
#: Times the epochs, where the longest budget supports a claim; shares of wrong labels that are
#: judged.
LONGEST, WRONG = 8, (0.2, 0.4)


def judge(results: Results[Settings]) -> dict[str, Estimate]:
    """An estimate for every criterion of the registry.

    Args:
        results: of the chapter's grid.
    """
    found: dict[str, Estimate] = {}
    for letter, name in networks_of(results.settings).items():
        found |= {
            f"Z{i}{letter}.{what}": estimate
            for i, estimates in (
                (1, alone(results, name)),
                (2, everything(results, name)),
                (3, flatness(results, name)),
                (4, noisy(results, name)),
                (6, fixed_budget(results, name)),
                (8, first_student(results, name)),
            )
            for what, estimate in estimates.items()
        }
        bare, wrong = interaction(results, name)
        found[f"Z5{letter}.interaction"] = bare
        found[f"Z5{'c' if letter == 'a' else 'd'}.interaction"] = wrong
    return found | warm_start(results)


def networks_of(settings: Settings) -> dict[str, str]:
    """The data set of the residual network ("a") and that of the MLP ("b"); "" for none."""
    residual = [name for name in settings.datasets if name in settings.residual]
    others = [name for name in settings.datasets if name not in settings.residual]
    return {letter: (of or [""])[0] for letter, of in (("a", residual), ("b", others))}


def mean_of(frame: pd.DataFrame, **axes: object) -> Estimate:
    """Mean over networks of the values of one cell; unknown where there is none."""
    values = select(frame, **axes).value
    return claims.mean(values.to_numpy()) if len(values) else claims.unknown()


def alone(results: Results[Settings], name: str) -> dict[str, Estimate]:
    """Z1: gains without other regularization, right labels."""
    cell = dict(data=name, setting="nothing", noise=0.0)
    gained = gains(results, "final")
    return {
        "shrink": mean_of(gained, **cell, method=SHRINK),
        "layer-wise": mean_of(gained, **cell, method=LAYERWISE),
        "longest": mean_of(gains(results, "longer"), **cell, method=SHRINK, factor=LONGEST),
    }


def everything(results: Results[Settings], name: str) -> dict[str, Estimate]:
    """Z2: gains beside everything else, right labels."""
    cell = dict(data=name, setting="all", noise=0.0)
    method = best(results, name, "all", 0.0) if name else ""
    return {
        "best": mean_of(gains(results, "final"), **cell, method=method),
        "longest": mean_of(gains(results, "longer"), **cell, method=SHRINK, factor=LONGEST),
    }


def flatness(results: Results[Settings], name: str) -> dict[str, Estimate]:
    """Z3: by how much more trials are close to the best, and their spread larger, paired."""
    frame = minus(sensitivity(results), "method", STANDARD)
    return {
        f"{statistic}.{short}": mean_of(frame, data=name, method=method, statistic=statistic)
        for statistic in ("close", "spread")
        for short, method in (("shrink", SHRINK), ("layer-wise", LAYERWISE))
    }


def noisy(results: Results[Settings], name: str) -> dict[str, Estimate]:
    """Z4: gains beside everything else, with wrong labels."""
    gained, longer = gains(results, "final"), gains(results, "longer")
    stopped = minus(at_best_budget(results).drop(columns="epochs"), "method", STANDARD)
    found = {}
    for noise in WRONG:
        known = name and noise in results.settings.noises
        method = best(results, name, "all", noise) if known else ""
        cell = dict(data=name, setting="all", noise=noise)
        found[f"{noise:.0%}".strip("%")] = mean_of(gained, **cell, method=method)
    cell = dict(data=name, setting="all", noise=max(WRONG), method=SHRINK)
    found["longest"] = mean_of(longer, **cell, factor=LONGEST)
    found["best-budget"] = mean_of(stopped, **cell)
    return found


def interaction(results: Results[Settings], name: str) -> tuple[Estimate, Estimate]:
    """Z5: the gain without regularization, and that with wrong labels, minus that beside all."""
    gained = select(gains(results, "final"), data=name, method=SHRINK)
    bare = minus(select(gained, noise=0.0), "setting", "all")
    wrong = minus(select(gained, setting="all"), "noise", 0.0)
    return mean_of(bare, setting="nothing"), mean_of(wrong, noise=max(WRONG))


def fixed_budget(results: Results[Settings], name: str) -> dict[str, Estimate]:
    """Z6: the median over settings of a born-again network's gain."""
    gained = select(gains(results, "final"), data=name, noise=0.0, method=BORN)
    gained = gained[gained.setting.isin(SETTINGS)]
    middle = gained.groupby("replicate", as_index=False).value.median()
    return {"median": mean_of(middle)}


def warm_start(results: Results[Settings]) -> dict[str, Estimate]:
    """Z7: a warm start and its remedies against a new network."""
    ahead = minus(networks(results, "warm"), "start", NEW)
    behind = select(ahead.assign(value=-ahead.value), start=WARM)
    found = {
        "Z7a.gap": mean_of(behind, kind=RESIDUAL),
        "Z7b.gap": mean_of(behind, kind=LOGISTIC),
    }
    epochs = select(networks(results, "warm", "epochs", 1.0), kind=RESIDUAL)
    for form, start in FORMS.items():
        found[f"Z7c.{form}"] = mean_of(ahead, kind=RESIDUAL, start=start)
        found[f"Z7d.{form}"] = slower(
            select(epochs, start=start), select(epochs, start=NEW), results.settings.fitting
        )
    return found


def slower(some: pd.DataFrame, new: pd.DataFrame, horizon: float) -> Estimate:
    """Mean epochs of some networks over those of their twins, all counted up to a horizon."""
    one, other = (f.sort_values("replicate").value.to_numpy() for f in (some, new))
    if (one >= horizon).all() or (other >= horizon).all():
        return claims.unknown(n=len(one))
    return claims.ratio(one.clip(max=horizon), other.clip(max=horizon), pairs=True)


def first_student(results: Results[Settings], name: str) -> dict[str, Estimate]:
    """Z8: the first student minus its teacher, each trained for as long."""
    single = select(generations(results), data=name, teaching="teacher alone", kind="single")
    return {"student": mean_of(minus(single, "generation", 0), generation=1)}
