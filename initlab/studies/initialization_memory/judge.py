"""The estimates that the claims of the chapter are judged by."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from initlab import claims
from initlab.claims import Estimate
from initlab.studies.contract import Results
from initlab.studies.initialization_memory.cells import (
    PAIR,
    accuracies_by_seed,
    cells,
    correlation_by_seed,
    first,
    spreads_by_seed,
    ways,
    whole,
)
from initlab.studies.initialization_memory.grid import (
    CHOSEN,
    DECAYED,
    LARGER,
    LOW,
    data,
    groups,
    tau,
)
from initlab.studies.initialization_memory.mechanism import decay_slopes, shares_kept
from initlab.studies.initialization_memory.outcomes import outcomes
from initlab.studies.initialization_memory.settings import Settings
from initlab.studies.initialization_memory.spreads import change, contrast, deviation

#: Sweeps behind each claim.
BEHIND: dict[str, tuple[str, ...]] = {
    "P1a": ("main",),
    "P1b": ("main",),
    "P2": ("main", "long"),
    "P3a": ("main",),
    "P3b": ("main",),
    "P4a": ("main",),
    "P4b": ("main",),
    "P4c": ("main", "swept"),
    "P5": ("main", "swept", "long"),
    "P6": ("main", "swept", "augmented"),
    "P8a": ("main",),
    "P8b": ("main",),
    "P8c": ("main",),
}
#: Scales above He's own at which the norms are judged.
LARGE = (3.0, 10.0)


def judge(results: Results[Settings]) -> dict[str, Estimate]:
    """An estimate for every criterion of the chapter.

    Args:
        results: of its grid.
    """
    return _remembers(results) | _forgets(results) | _over_ways(results) | _norms(results)


def _mean(of_seeds: Sequence[float]) -> Estimate:
    return claims.mean(of_seeds) if len(of_seeds) else claims.unknown()


def _remembers(results: Results[Settings]) -> dict[str, Estimate]:
    """P1, P2, P3: differences of the extreme scales."""
    seen, g, (low, high) = outcomes(results), groups(results.settings), results.settings.ends
    sgd, longer = g["main"][LOW], g["long"][LOW]
    usual = seen.counted(sgd)
    memory = contrast(usual, low, high)
    return {
        "P1a.contrast": memory,
        "P1a.fitted": _share(seen.interpolate(sgd)),
        "P1b.contrast": memory,
        "P1b.share": _over_chance(usual, results),
        "P2.change": change(seen.counted(longer), usual, (low, high)),
        "P2.last": change(seen.at_last(longer), seen.at_last(sgd), (low, high)),
        "P2.fitted": _share(seen.interpolate(longer)),
        "P3a.contrast": contrast(seen.counted(g["main"]["Adam"]), low, high),
        "P3b.contrast": contrast(seen.counted(g["main"]["AdamW"]), low, high),
    }


def _share(fits: pd.DataFrame) -> Estimate:
    """Share of the networks at hand that fit their training set: a count."""
    return claims.exact(float(fits.to_numpy().mean()))


def _over_chance(table: pd.DataFrame, results: Results[Settings]) -> Estimate:
    """The contrast of the extreme scales over the best scale's accuracy above chance."""
    low, high = results.settings.ends
    if not {low, high} <= set(table.index):
        return claims.unknown()
    apart = table.loc[low] - table.loc[high]
    best = table.loc[table.mean(axis=1).idxmax()] - 100 / data(results.settings).outputs
    if not (apart.mean() > 0 and best.mean() > 0):
        return claims.unknown()
    return claims.ratio(apart, best, pairs=True)


def _forgets(results: Results[Settings]) -> dict[str, Estimate]:
    """P4: a larger rate with weight decay, and either alone."""
    seen, g, ends = outcomes(results), groups(results.settings), results.settings.ends
    both = seen.counted(g["main"][DECAYED])
    return {
        "P4a.deviation": deviation(both),
        "P4a.fitted": _share(seen.interpolate(g["main"][DECAYED])),
        "P4b.beyond": change(seen.counted(g["main"][LARGER]), both, ends),
        "P4c.beyond": change(seen.counted(g["swept"]["low rate, L2"]), both, ends),
    }


def _over_ways(results: Results[Settings]) -> dict[str, Estimate]:
    """P5 and P6: the spread over ways of training."""
    ends = results.settings.ends
    tables = whole(results)
    taus = [tau(first(cells(results.settings)[name])) for name in tables]
    longer, matched = (tables.get(name) for name in PAIR)
    trained = ways(results)
    found = {
        "P5.rank": claims.unknown(),
        "P5.pair": claims.unknown(),
        "P6.usual": claims.unknown(),
        "P6.best": claims.unknown(),
    }
    if len(tables) > 2:
        by_seed = correlation_by_seed(spreads_by_seed(tables, ends), taus, ranks=True)
        found["P5.rank"] = _mean([-rho for rho in by_seed])
    if longer is not None and matched is not None:
        found["P5.pair"] = change(longer, matched, ends)
    if len(trained) > 2:
        spreads = spreads_by_seed(trained, ends)
        for id, scale in (("P6.usual", 1.0), ("P6.best", None)):
            if scale is None or scale in results.settings.few_scales:
                accuracies = accuracies_by_seed(trained, scale)
                found[id] = _mean(correlation_by_seed(spreads, accuracies))
    return found


def _norms(results: Results[Settings]) -> dict[str, Estimate]:
    """P8: what the norms keep of the scale."""
    seen, main = outcomes(results), groups(results.settings)["main"]
    kept = {
        f"{claim}.{a:g}": _mean(shares_kept(seen, main[name], a))
        for claim, name in zip(("P8a", "P8b"), CHOSEN, strict=True)
        for a in LARGE
    }
    return kept | {"P8c.slope": _mean(decay_slopes(seen, main[DECAYED], LARGE[-1]))}
