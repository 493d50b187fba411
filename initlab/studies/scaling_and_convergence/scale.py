"""The scale of all weights, against depth and with BatchNorm: C-1, C-6, C-7."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import pandas as pd

from initlab import claims
from initlab.claims import Estimate
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence import ranges
from initlab.studies.scaling_and_convergence.ends import (
    by_scale,
    ends,
    mean_with_ends,
    quickest,
    summary,
    times_as_long,
)
from initlab.studies.scaling_and_convergence.networks import (
    relu_net,
    scaled,
    sgd,
    started_at,
    trained,
)
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.sweep import Run
from initlab.train import Budget

#: C-7: a scale works if it takes at most so many times the fewest epochs.
WITHIN = 3.0
#: Depths in the registry, and the two of C-7b.
DEPTHS, COMPARED = (3, 6, 12, 24), (6, 24)
#: C-1: factors on He's standard deviation that are far from it.
FAR = {"C-1a": 1 / 8, "C-1b": 8.0}


@lru_cache
def by_depth(s: Settings) -> dict[int, list[Run]]:
    """Scale × learning rate × seed, for each depth."""
    return {
        d: trained(s, relu_net(s, d), map(scaled, s.scales(d)), budget=budget(s, d))
        for d in s.depths
    }


def budget(s: Settings, depth: int) -> Budget:
    """The usual goal in about four times the epochs that He's rule needs at that depth."""
    return started_at(s, dict(zip(s.depths, s.depth_epochs, strict=True))[depth])


@lru_cache
def far(s: Settings) -> dict[str, list[Run]]:
    """Two scales far from He's, by the claim that they are of."""
    return {
        name: trained(
            s,
            relu_net(s, s.depth),
            [scaled(factor)],
            budget=budget(s, s.depth),
            seeds=s.more_seeds,
        )
        for name, factor in FAR.items()
    }


@lru_cache
def normed(s: Settings) -> list[Run]:
    """The deepest network with batch normalization, over more octaves and rates."""
    scales = [1.0, 4.0] if s.smoke else [4.0**k for k in range(-3, 4)]
    rates = s.rates[:1] if s.smoke else [10.0**k for k in range(-4, 4)]
    return trained(
        s,
        relu_net(s, s.depth, norm="batch"),
        map(scaled, scales),
        optimizers=sgd(rates),
        budget=budget(s, s.depth),
    )


def epochs_by_scale(results: Results[Settings]) -> pd.DataFrame:
    """Epochs to the loss at the tuned rate, for each `depth` and `scale`, and the `output`'s scale
    in octaves.
    """
    found = [
        summary(results, by_scale(runs), ["scale"]).assign(
            depth=f"depth {d}", output=results.settings.outputs
        )
        for d, runs in by_depth(results.settings).items()
    ]
    return pd.concat(found)


def table(results: Results[Settings]) -> pd.DataFrame:
    """Each depth in a row: He's epochs and rate, and the octaves of scale that work."""
    s = results.settings
    rows = []
    for d, runs in by_depth(s).items():
        he = summary(results, {"He": by_scale(runs)[1.0]}, ["rule"]).iloc[0]
        found = mean_with_ends(ranges.octaves(results, runs, within=WITHIN))
        rows.append(
            {
                "depth": d,
                "He's epochs": he["mean"],
                "reached": he.reached,
                "rate": he.rate,
                "octaves of scale": found["mean"],
                "low": found["low"],
                "high": found["high"],
                "of the output": found["mean"] * (d + 1),
            }
        )
    return pd.DataFrame(rows)


def with_norm(results: Results[Settings]) -> pd.DataFrame:
    """Octaves of scale that train within the budget at the greatest depth, by `kind`."""
    s = results.settings
    kinds = {"without": by_depth(s)[s.depth], "with BatchNorm": normed(s)}
    return pd.DataFrame(
        {"normalization": kind, **mean_with_ends(ranges.octaves(results, runs))}
        for kind, runs in kinds.items()
    )


def estimates(results: Results[Settings]) -> dict[str, Estimate]:
    """Of the criteria of C-1, C-6 and C-7."""
    s = results.settings
    found = {f"{name}.share": _arrived(results, runs) for name, runs in far(s).items()}
    cells = {d: by_scale(runs) for d, runs in by_depth(s).items()}
    for d in DEPTHS:
        found[f"C-1c.{d}"] = (
            times_as_long(results, cells[d][1.0], quickest(results, cells[d].values()))
            if d in cells
            else claims.unknown()
        )
    plain = ranges.octaves(results, by_depth(s)[s.depth])
    normal = ranges.octaves(results, normed(s))
    found["C-6.ratio"] = (
        claims.ratio(normal, plain, pairs=True)
        if min(normal.mean(), plain.mean()) > 0
        else claims.unknown()
    )
    octaves = {d: ranges.octaves(results, r, within=WITHIN) for d, r in by_depth(s).items()}
    for a, b in pairwise(DEPTHS):
        known = a in octaves and b in octaves
        found[f"C-7a.{a}-{b}"] = (
            claims.paired(octaves[a], octaves[b]) if known else claims.unknown()
        )
    few, many = COMPARED
    known = few in octaves and many in octaves and octaves[many].mean() > 0
    found["C-7b.ratio"] = (
        claims.ratio((many + 1) * octaves[many], (few + 1) * octaves[few], pairs=True)
        if known
        else claims.unknown()
    )
    return found


def _arrived(results: Results[Settings], runs: list[Run]) -> Estimate:
    """Share of seeds that get to the loss at one rate or more."""
    return claims.share(ends(results, runs).groupby("seed").reached.max() > 0)
