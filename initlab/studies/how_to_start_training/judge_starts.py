"""Estimates for the claims about the start of training: H2, H5 and H6."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.isotonic import IsotonicRegression

from initlab import claims, init
from initlab.claims import Estimate
from initlab.studies.contract import Results
from initlab.studies.how_to_start_training.frames import short
from initlab.studies.how_to_start_training.grid import CRITICAL, DECAYS, FAMILIES, trained_depths
from initlab.studies.how_to_start_training.settings import Settings
from initlab.studies.how_to_start_training.signal import residual_ratios
from initlab.studies.how_to_start_training.starts import (
    by_seed,
    family_starts,
    residual_starts,
    started,
)

#: Schemes of the paper's figure whose weights have less variance than 2/fan-in.
TOO_SMALL = ("he_truncated_uncorrected", "glorot_uniform", "glorot_truncated")

#: Depths of the families whose cells are criteria of H6c and H6d.
JUDGED_DEPTHS = (4, 8, 12, 16, 20)


def estimates(results: Results[Settings]) -> dict[str, Estimate]:
    """The estimates of this module, by the ids of their criteria."""
    return square(results) | residual(results) | widths(results)


def square(results: Results[Settings]) -> dict[str, Estimate]:
    """H2: which initializers start, in networks as wide as they are deep."""
    p = results.settings
    trained = started(results, "square_trained")
    deepest = max(p.depths)

    def of(scheme: str) -> pd.DataFrame:
        return trained[trained.init == init.rule(scheme).label]

    def at(scheme: str, depth: int) -> np.ndarray:
        return by_seed(of(scheme)[of(scheme)["model.depth"] == depth])

    found = {}
    for s in CRITICAL:
        name = s.replace("_", "-")
        found[f"H2a.{name}"] = every(of(s).reached == 1, of(s))
        found[f"H2b.{name}"] = (
            claims.restricted_difference(at(s, deepest), at(s, min(p.depths)), p.epochs, pairs=True)
            if s in p.schemes
            else claims.unknown()
        )
    for s, claim in (("he_normal_2x", "H2c"), *((s, "H2d") for s in TOO_SMALL)):
        found[f"{claim}.{s.replace('_', '-')}"] = given_up(at(s, deepest), p.epochs)
    for s in TOO_SMALL:
        here = given_up(at(s, max(trained_depths(p, s))), p.epochs)
        found[f"H2d.trained-{s.replace('_', '-')}"] = here
    default = of("torch_default")
    found["H2e.torch-default"] = every(default.reached == 0, default)
    return found


def every(held: pd.Series, trained: pd.DataFrame) -> Estimate:
    """Share of the seeds with which something is true at every depth."""
    return claims.share(held.groupby(trained.seed).all()) if len(held) else claims.unknown()


def given_up(epochs: np.ndarray, budget: int) -> Estimate:
    """Share of networks that have not started within the budget."""
    return claims.share(epochs >= budget) if len(epochs) else claims.unknown()


def residual(results: Results[Settings]) -> dict[str, Estimate]:
    """H5: when residual networks start, by the weights of their modules."""
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
        found[f"H5b.{name}"] = claims.restricted_difference(*pair, p.epochs, pairs=True)
        if b < 1:
            both = (pair[0] < p.epochs) & (pair[1] < p.epochs)
            found[f"H5c.{name}"] = (
                claims.paired(pair[0][both], pair[1][both]) if both.any() else claims.unknown()
            )
    return found


def widths(results: Results[Settings]) -> dict[str, Estimate]:
    """H6: when networks of five families of widths start."""
    depths = results.settings.family_depths
    trained = family_starts(results)
    reciprocal = trained.groupby(["family", "model.depth"]).reciprocal.first()
    cells = {
        (f, d): by_seed(rows) for (f, d), rows in trained.groupby(["family", "model.depth"])
    }  # (family, depth) → (seeds,)
    x = np.array([reciprocal[cell] for cell in cells])
    found = {
        "H6a.explained": claims.bca(
            lambda epochs: explained(x, epochs.mean(-1)), np.stack([*cells.values()])
        )
    }
    *four, fifth = FAMILIES
    # Networks of constant width 15 and 20 with the same sum of 1/width, the deepest pair of them.
    same = [(cells[fifth, d], cells[four[3], e]) for d in depths for e in depths if 3 * d == 4 * e]
    found["H6b.same-sum"] = claims.ratio(*same[-1], pairs=True) if same else claims.unknown()
    for d, f in product(JUDGED_DEPTHS, four):
        cell = f"depth-{d}-{short(f)}"
        if d not in depths:
            found |= {f"{claim}.{cell}": claims.unknown() for claim in ("H6c", "H6d")}
            continue
        common = np.mean([cells[g, d] for g in four], axis=0)
        found[f"H6c.{cell}"] = claims.ratio(cells[f, d], common, pairs=True)
        found[f"H6d.{cell}"] = claims.ratio(cells[fifth, d], cells[f, d], pairs=True)
    return found


def explained(x: np.ndarray, epochs: np.ndarray) -> float:
    """Share of the variance of log epochs that one increasing function of x explains.

    nan where there is none.

    Args:
        x: of each cell, (cells,).
        epochs: their means, (cells,).
    """
    y = np.log(epochs)
    if np.ptp(y) == 0:
        return np.nan
    fitted = IsotonicRegression(out_of_bounds="clip").fit_transform(x, y)
    return float(1 - ((y - fitted) ** 2).sum() / ((y - y.mean()) ** 2).sum())
