"""The scale of all weights, against depth and with BatchNorm: C-1, C-6, C-7."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd

from initlab import claims
from initlab.claims import Estimate
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence import ranges
from initlab.studies.scaling_and_convergence.ends import (
    by_scale,
    ends,
    mean_with_ends,
    summary,
    times_as_long,
)
from initlab.studies.scaling_and_convergence.networks import relu_net, scaled, sgd, trained
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.sweep import Run

#: C-7: a scale works if it takes at most so many times the fewest epochs.
WITHIN = 4.0
#: C-1: scales about He's, as they are named in the registry.
NEAR = {"0.71": 2**-0.5, "0.84": 2**-0.25, "1.19": 2**0.25, "1.41": 2**0.5}


@lru_cache
def by_depth(s: Settings) -> dict[int, list[Run]]:
    """Scale × learning rate × seed, for each depth."""
    return {d: trained(s, relu_net(s, d), map(scaled, s.scales)) for d in s.depths}


@lru_cache
def normed(s: Settings) -> list[Run]:
    """The same with batch normalization at one depth, over more octaves."""
    scales = [1.0, 4.0] if s.smoke else [4.0**k for k in range(-3, 4)]
    rates = s.rates[:1] if s.smoke else [1e-4, 1e-3, 0.01, 0.1, 1.0]
    return trained(
        s, relu_net(s, s.depth, norm="batch"), map(scaled, scales), optimizers=sgd(rates)
    )


def epochs_by_scale(results: Results[Settings]) -> pd.DataFrame:
    """Epochs to the loss at the tuned rate, for each depth and scale."""
    return pd.concat(
        [
            summary(results, by_scale(runs), ["scale"]).assign(depth=f"depth {d}")
            for d, runs in by_depth(results.settings).items()
        ]
    )


def range_by_depth(results: Results[Settings]) -> pd.DataFrame:
    """Octaves of scale that work within the budget, without BatchNorm and with it."""
    s = results.settings
    kinds = [("without normalization", d, runs) for d, runs in by_depth(s).items()]
    kinds.append(("with BatchNorm", s.depth, normed(s)))
    return pd.DataFrame(
        [
            {"kind": kind, "depth": d, **mean_with_ends(ranges.octaves(results, runs))}
            for kind, d, runs in kinds
        ]
    )


def range_by_limit(results: Results[Settings]) -> pd.DataFrame:
    """Octaves that work within a multiple of each seed's fewest epochs, and within the budget."""
    return pd.DataFrame(
        [
            {
                "depth": d,
                "He's epochs": summary(results, {"He": by_scale(runs)[1.0]}, ["rule"])["mean"][0],
                **{
                    f"within {m:g} times the fewest": ranges.octaves(results, runs, within=m).mean()
                    for m in (2.0, WITHIN)
                },
                "within the budget": ranges.octaves(results, runs).mean(),
            }
            for d, runs in by_depth(results.settings).items()
        ]
    )


def estimates(results: Results[Settings]) -> dict[str, Estimate]:
    """Of the criteria of C-1, C-6 and C-7."""
    s = results.settings
    cells = by_scale(by_depth(s)[s.depth])
    found = {
        "C-1a.share": _arrived(results, cells[min(cells)]),
        "C-1b.share": _arrived(results, cells[max(cells)]),
    }
    for name, factor in NEAR.items():
        runs = cells.get(round(factor, 4))
        found[f"C-1c.{name}"] = (
            times_as_long(results, runs, cells[1.0]) if runs else claims.unknown()
        )
    octaves = {d: ranges.octaves(results, runs) for d, runs in by_depth(s).items()}
    with_norm = ranges.octaves(results, normed(s))
    plain = octaves[s.depth]
    found["C-6.ratio"] = (
        claims.ratio(with_norm, plain, pairs=True)
        if min(with_norm.mean(), plain.mean()) > 0
        else claims.unknown()
    )
    relative = {d: ranges.octaves(results, r, within=WITHIN) for d, r in by_depth(s).items()}
    for kind, of, pairs in (
        ("relative", relative, ((5, 10), (10, 20))),
        ("budget", octaves, ((5, 10), (10, 20), (20, 40))),
    ):
        for a, b in pairs:
            known = a in of and b in of
            found[f"C-7.{kind}-{a}-{b}"] = (
                claims.paired(of[a], of[b]) if known else claims.unknown()
            )
    return found


def _arrived(results: Results[Settings], runs: list[Run]) -> Estimate:
    """Share of seeds that get to the loss at one rate or more."""
    return claims.share(ends(results, runs).groupby("seed").reached.max() > 0)
