"""Estimates for the claims about networks at initialization: H1, H3, H4, H7, H8 and H9."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from initlab import claims, init
from initlab.claims import Estimate
from initlab.studies.contract import Results
from initlab.studies.how_to_start_training.drawn import residual_depths
from initlab.studies.how_to_start_training.frames import short
from initlab.studies.how_to_start_training.parts import BIASED, CRITICAL, DECAYS, FAMILIES, NU_2
from initlab.studies.how_to_start_training.settings import Settings
from initlab.studies.how_to_start_training.signal import (
    bias_seeds,
    conv_growth,
    residual_ratios,
    spread_seeds,
    square_ratios,
)

#: Schemes whose slopes are judged: biases of PyTorch's default add to the mean square.
JUDGED = tuple(s for s in Settings.schemes if s != "torch_default")
#: Depths of the families between which Σ 1/n doubles, twice.
DOUBLINGS = ((4, 8), (10, 20))


def estimates(results: Results[Settings]) -> dict[str, Estimate]:
    """The estimates of this module, by the ids of their criteria."""
    square = square_ratios(results)
    found = {f"H1.{s.replace('_', '-')}": slope(by_depth(square, s)) for s in JUDGED}
    found |= {f"H1.level-{s.replace('_', '-')}": level(by_depth(square, s)) for s in CRITICAL}
    return (
        found
        | layers(results)
        | residual(results)
        | spread(results)
        | residual_spread(results)
        | bias(results)
    )


def layers(results: Results[Settings]) -> dict[str, Estimate]:
    """H3: mean over layers of log10 E[M_j/M_(j−1)] in the deepest ConvNet, a seed at a time."""
    by_seed = conv_growth(results)
    return {
        f"H3.{s.replace('_', '-')}": (
            claims.mean(by_seed[init.rule(s).label])
            if s in results.settings.schemes
            else claims.unknown()
        )
        for s in JUDGED
        if s != "lecun_normal"
    }


def by_depth(frame: pd.DataFrame, scheme: str) -> dict[int, np.ndarray]:
    """M_d/M_0 of a scheme's networks at each depth, (networks,)."""
    own = frame[frame.init == init.rule(scheme).label]
    return {int(d): g.value.to_numpy() for d, g in own.groupby("model.depth")}


def trend(x: Sequence[float]) -> np.ndarray:
    """Weights w such that w · y is the least-squares slope of y against x."""
    centred = np.asarray(x, dtype=float) - np.mean(x)
    return centred / (centred @ centred)


def slope(points: dict[int, np.ndarray]) -> Estimate:
    """Least-squares slope of log10 of the mean over networks against depth, in decades per layer.

    Args:
        points: a sample of networks at each depth, each drawn by itself.
    """
    if len(points) < 2:
        return claims.unknown()
    weights = trend(list(points))

    def statistic(*samples: np.ndarray) -> np.ndarray:
        return np.stack([np.log10(x.mean(-1)) for x in samples], -1) @ weights

    return claims.bca(statistic, *points.values(), vectorized=True)


def level(points: dict[int, np.ndarray]) -> Estimate:
    """log10 of the mean over networks at the greatest depth, in decades."""
    if not points:
        return claims.unknown()
    return claims.bca(lambda x: np.log10(x.mean(-1)), points[max(points)], vectorized=True)


def residual(results: Results[Settings]) -> dict[str, Estimate]:
    """H4: growth of the mean square along residual networks with modules ReLU(W x)."""
    frame = residual_ratios(results)
    frame = frame[frame.matrices == 1]
    last = max(results.settings.modules)
    rows = {
        b: g.pivot(index="modules", columns="seed", values="value").loc[1:].to_numpy()
        for b, g in frame.groupby("b")
    }  # b → (modules, seeds)
    modules = np.arange(1, last + 1)
    weights = trend(list(modules))

    def growth(x: np.ndarray) -> np.ndarray:
        return np.log10(x.mean(-1)) @ weights

    def straight(x: np.ndarray) -> float:
        return float(np.corrcoef(modules, np.log10(x.mean(-1)))[0, 1] ** 2)

    def change(x: np.ndarray) -> np.ndarray:
        return np.log10(x[..., 1, :].mean(-1) / x[..., 0, :].mean(-1))

    def above(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.log10(x.mean(-1) / y.mean(-1))

    ends = rows[0.9][[max(1, 3 * last // 4) - 1, last - 1]]
    found = {
        "H4a.slope": claims.bca(growth, rows[1.0], vectorized=True),
        "H4a.straight": claims.bca(straight, rows[1.0]),
        "H4b.change": claims.bca(change, ends, vectorized=True),
    }
    for b, smaller in pairwise(DECAYS[1:]):
        found[f"H4c.{b:g}-over-{smaller:g}"] = claims.bca(
            above, rows[b][-1], rows[smaller][-1], pairs=True, vectorized=True
        )
    return found


def spread(results: Results[Settings]) -> dict[str, Estimate]:
    """H7: how much the exponent of a power of Σ 1/n has risen from one doubling to the next.

    Between depths d and 2d of a family Σ 1/n doubles, and E V̂ar grows by 2 to an exponent. That of
    a power is the same everywhere; that of an exponential rises. Each seed gives a value.
    """
    frame = spread_seeds(results)
    frame = frame[frame.statistic == "variance_mean"]
    depths = [d for pair in DOUBLINGS for d in pair]
    found = {}
    for name in FAMILIES:
        own = frame[frame.family == name]
        wide = own.pivot_table(index="seed", columns="model.depth", values="value")
        found[f"H7.{short(name)}"] = (
            claims.mean(rise(*(wide[d].to_numpy() for d in depths)))
            if set(depths) <= set(wide.columns)
            else claims.unknown()
        )
    return found


def rise(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """log2(d/c) − log2(b/a): by how much the later exponent is above the earlier one."""
    return np.log2(d / c) - np.log2(b / a)


def residual_spread(results: Results[Settings]) -> dict[str, Estimate]:
    """H8: E V̂ar/E[M_L]² at the most modules over that at half of them."""
    frame = results.of("residual_spread")
    depths = residual_depths(results.settings)
    most = max(results.settings.modules)
    alike = results.of("even_spread")
    return {
        "H8.growth": growth(frame[frame["model.scales"] == 0.9], depths[0], depths[-1]),
        "H8.even": growth(alike, max(1, most // 2), most),
        "H8.control": unweighted(results),
    }


def growth(frame: pd.DataFrame, few: int, many: int) -> Estimate:
    """E V̂ar/E[M_L]² with many modules over that with few."""
    ends = []
    for d in (few, many):
        own = frame[(frame["model.depth"] == d) & (frame.layer == d)]
        wide = own.pivot_table(index="statistic", columns="seed", values="value")
        ends.append(wide.loc[["variance_mean", "mean"]].to_numpy())

    def relative(x: np.ndarray) -> np.ndarray:
        return x[..., 0, :].mean(-1) / x[..., 1, :].mean(-1) ** 2

    return claims.bca(lambda x, y: relative(y) / relative(x), *ends, vectorized=True)


def unweighted(results: Results[Settings]) -> Estimate:
    """The control of H8: E[M_l²]/E[M_l]² at the last module over that at half of them, η = 1."""
    frame = results.of("residual")
    last = max(results.settings.modules)
    depths = [max(1, last // 2), last]
    frame = frame[(frame["model.matrices"] == 1) & (frame["model.scales"] == 1)]
    frame = frame[frame.layer.isin(depths)]
    wide = frame.pivot_table(index=["layer", "statistic"], columns="seed", values="value")
    moments = np.stack([wide.loc[d].loc[["mean_square", "mean"]].to_numpy() for d in depths])

    def growth(x: np.ndarray) -> np.ndarray:
        relative = x[..., 0, :].mean(-1) / x[..., 1, :].mean(-1) ** 2
        return relative[..., 1] / relative[..., 0]

    return claims.bca(growth, moments, vectorized=True)


def bias(results: Results[Settings]) -> dict[str, Estimate]:
    """H9: what biases have added to the mean square at the last layer, over ½ d ν₂."""
    frame = bias_seeds(results)
    frame = frame[frame.layer == BIASED]
    found = {}
    for nu in NU_2[1:]:
        added = frame[frame.nu == nu].value.to_numpy() - 1 / BIASED
        found[f"H9.{nu:g}"] = claims.mean(added / (BIASED * nu / 2))
    return found
