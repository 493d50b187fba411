"""Estimates for the claims about the start of training: H2, H5, H6 and H10."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from initlab import claims, init
from initlab.claims import Estimate
from initlab.studies.contract import Results
from initlab.studies.how_to_start_training.frames import short
from initlab.studies.how_to_start_training.normalized import PLACES
from initlab.studies.how_to_start_training.parts import CRITICAL, DECAYS, FAMILIES, TUNED, seeds
from initlab.studies.how_to_start_training.settings import Settings
from initlab.studies.how_to_start_training.signal import residual_ratios
from initlab.studies.how_to_start_training.starts import (
    best_rate,
    by_seed,
    family_starts,
    free_starts,
    residual_starts,
    square_starts,
    started,
    tiny_starts,
    tuned_starts,
)

#: Schemes of the paper's figure whose weights have less variance than 2/fan-in.
TOO_SMALL = ("he_truncated_uncorrected", "glorot_uniform", "glorot_truncated")
#: The claims about each factor of `free`, in the order of its cells.
FACTORS = {"H6a": "sum", "H6b": "depth", "H6c": "last"}
#: Depth of the families of H6d and H6e.
JUDGED_DEPTH = 20


def estimates(results: Results[Settings]) -> dict[str, Estimate]:
    """The estimates of this module, by the ids of their criteria."""
    return (
        square(results)
        | tuned(results)
        | residual(results)
        | controls(results)
        | free(results)
        | families(results)
    )


def square(results: Results[Settings]) -> dict[str, Estimate]:
    """H2a to H2e: which initializers start, in networks as wide as they are deep."""
    p = results.settings
    trained = square_starts(results)
    shallow, deepest = min(p.depths), max(p.depths)

    def of(scheme: str, depth: int) -> pd.DataFrame:
        own = trained[(trained.init == init.rule(scheme).label) & (trained["model.depth"] == depth)]
        return own.sort_values("seed")

    found = {}
    for s in CRITICAL:
        name = s.replace("_", "-")
        first = list(seeds(p, p.runs, s))
        own = trained[(trained.init == init.rule(s).label) & trained.seed.isin(first)]
        found[f"H2a.{name}"] = every(own.reached == 1, own)
        found[f"H2b.{name}"] = claims.ratio(of(s, deepest).epochs, of(s, shallow).epochs)
    found["H2c.he-normal-2x"] = never(of("he_normal_2x", deepest))
    healthy = of("he_normal", deepest).epochs
    for s in TOO_SMALL:
        own, name = of(s, deepest), s.replace("_", "-")
        known = len(own) and len(healthy)
        horizon = float(own["budget.epochs"].max())
        found[f"H2d.{name}"] = (
            claims.ratio(own.epochs, np.minimum(healthy, horizon)) if known else claims.unknown()
        )
        found[f"H2d.never-{name}"] = never(own)
    default = trained[trained.init == init.rule("torch_default").label]
    deep = default[default["model.depth"] > min(p.lost_depths)]
    found["H2e.torch-default"] = every(deep.reached == 0, deep)
    return found


def every(held: pd.Series, trained: pd.DataFrame) -> Estimate:
    """Share of the seeds with which something is true at every depth."""
    return claims.share(held.groupby(trained.seed).all()) if len(held) else claims.unknown()


def never(trained: pd.DataFrame) -> Estimate:
    """Share of networks that have not started within their budget."""
    return claims.share(trained.reached == 0) if len(trained) else claims.unknown()


def tuned(results: Results[Settings]) -> dict[str, Estimate]:
    """H2f and H2g: initializers at the rate that is best for each, chosen with other seeds."""
    trained = tuned_starts(results)
    at_best = {}
    for scheme in TUNED:
        own = trained[trained.init == init.rule(scheme).label]
        if len(own):
            own = own[~own.tunes & (own.rate == best_rate(own))]
            at_best[scheme] = own.epochs
    found = {}
    for s in TUNED[1:]:
        claim = "H2g" if s == "he_truncated_uncorrected" else "H2f"
        found[f"{claim}.{s.replace('_', '-')}"] = (
            claims.ratio(at_best[s], at_best["he_normal"])
            if {s, "he_normal"} <= set(at_best)
            else claims.unknown()
        )
    return found


def residual(results: Results[Settings]) -> dict[str, Estimate]:
    """H5a to H5c: when residual networks start, by the weights of their modules."""
    p = results.settings
    trained = residual_starts(results)
    lengths = residual_ratios(results)
    lengths = lengths[lengths.matrices == 1].groupby(["b", "modules"]).value.mean()
    cells = {
        (b, m): by_seed(trained[(trained.b == b) & (trained.modules == m)])
        for b in DECAYS
        for m in p.modules
    }
    ranks = rankdata([lengths[cell] for cell in cells])

    def order(x: np.ndarray) -> np.ndarray:
        y = rankdata(x.mean(-1), axis=-1)
        y, centred = y - y.mean(-1, keepdims=True), ranks - ranks.mean()
        norm = np.sqrt((y**2).sum(-1) * (centred @ centred))
        return np.divide(y @ centred, norm, out=np.full_like(norm, np.nan), where=norm > 0)

    found = {"H5a.order": claims.bca(order, np.stack([*cells.values()]), vectorized=True)}
    deepest = {b: cells[b, max(p.modules)] for b in DECAYS}
    for b, smaller in pairwise(DECAYS):
        pair, name = (deepest[b], deepest[smaller]), f"{b:g}-after-{smaller:g}"
        if b > 0.75:  # below all start
            failed = [epochs >= p.epochs for epochs in pair]
            found[f"H5b.{name}"] = claims.share_difference(*failed)
        if b < 1:  # at 1 none starts
            both = (pair[0] < p.epochs) & (pair[1] < p.epochs)
            found[f"H5c.{name}"] = (
                claims.paired(pair[0][both], pair[1][both]) if both.any() else claims.unknown()
            )
    return found


def controls(results: Results[Settings]) -> dict[str, Estimate]:
    """H5d, H5e and H10: weights 1/L, very small rates, normalizations."""
    p = results.settings
    alike = started(results, "even_trained")
    soon = alike[alike["model.depth"] == max(p.modules)]
    tiny = tiny_starts(results)
    at_best = tiny[~tiny.tunes & (tiny.rate == best_rate(tiny))]
    found = {
        "H5d.even": claims.share(soon.epochs <= p.short_epochs),
        "H5e.best-rate": claims.share(at_best.reached == 1),
    }
    places = started(results, "normalized")
    many = places[places["model.modules"] == max(p.normalized_modules)]
    for place in PLACES[1:]:
        own = many[many["model.place"] == place]
        found[f"H10a.{place}"] = claims.share(own.diverged == 1)
        claim = "H10b" if place == "pre" else "H10c"
        found[f"{claim}.{place}"] = claims.share(own.reached == 1)
    return found


def free(results: Results[Settings]) -> dict[str, Estimate]:
    """H6a to H6c: what decides when networks start, Σ 1/n, depth or the last width."""
    p = results.settings
    trained = free_starts(results)
    found = {}
    for rate in p.free_rates:
        own = trained[trained.rate == rate]
        cells = own.groupby(["reciprocal", "depth", "last"])
        epochs = np.stack([by_seed(rows) for _, rows in cells])
        slopes = effects(np.array([cell for cell, _ in cells], dtype=float))

        def effect(x: np.ndarray, of: np.ndarray) -> np.ndarray:
            return np.log2(x.mean(-1)) @ of

        extra = "" if rate == p.free_rates[0] else f"-at-{rate:g}"
        for (claim, name), of in zip(FACTORS.items(), slopes, strict=True):
            found[f"{claim}.{name}{extra}"] = claims.bca(
                partial(effect, of=of), epochs, vectorized=True
            )
    for claim, name in FACTORS.items():
        found.setdefault(f"{claim}.{name}-at-0.1", claims.unknown())
    return found


def effects(cells: np.ndarray) -> np.ndarray:
    """Weights (factors, cells) that give of y the least-squares slopes against log2 of the factors.

    Args:
        cells: the factors of each cell, (cells, factors), all of which have their say at once.
    """
    x = np.log2(cells)
    return np.linalg.pinv(np.column_stack([np.ones(len(x)), x]))[1:]


def families(results: Results[Settings]) -> dict[str, Estimate]:
    """H6d and H6e: when networks of the paper's five families of widths start."""
    trained = family_starts(results)
    trained = trained[trained["model.depth"] == JUDGED_DEPTH]
    cells = {f: by_seed(rows) for f, rows in trained.groupby("family")}
    *four, fifth = FAMILIES
    found: dict[str, Estimate] = {}
    for f in four:
        if not cells:
            found |= {f"{claim}.{short(f)}": claims.unknown() for claim in ("H6d", "H6e")}
            continue
        common = np.mean([cells[g] for g in four], axis=0)
        found[f"H6d.{short(f)}"] = claims.ratio(cells[f], common, pairs=True)
        found[f"H6e.{short(f)}"] = claims.ratio(cells[fifth], cells[f], pairs=True)
    return found
