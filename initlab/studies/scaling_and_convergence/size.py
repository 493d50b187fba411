"""Width and depth from a good start and from a bad one: C-14."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd

from initlab import claims
from initlab.claims import Estimate
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence.ends import summary, times, times_as_long
from initlab.studies.scaling_and_convergence.networks import relu_net, scaled, trained
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.sweep import Run

#: Half of He's variance.
BAD = 2.0**-0.5
#: Widths and depths in the registry: the ends of C-14a and C-14b, and those of C-14c.
WIDTHS, ENDS, DEPTHS = (16, 32, 64), (6, 24), (3, 6)


@lru_cache
def runs(s: Settings) -> dict[tuple[int, int], list[Run]]:
    """Trainings from both starts by width and depth."""
    return {
        (w, d): trained(s, relu_net(s, d, w), [scaled(BAD), scaled(1.0)])
        for w in s.widths
        for d in s.depths
    }


def cells(s: Settings) -> dict[tuple[int, int, bool], list[Run]]:
    """Trainings by width, depth and whether they start well."""
    good = scaled(1.0)
    return {
        (w, d, well): [r for r in group if (r.init == good) == well]
        for (w, d), group in runs(s).items()
        for well in (True, False)
    }


def frame(results: Results[Settings]) -> pd.DataFrame:
    """Epochs at the tuned rate by `width`, `depth` and `good` start."""
    return summary(results, cells(results.settings), ["width", "depth", "good"])


def estimates(results: Results[Settings]) -> dict[str, Estimate]:
    """Of the criteria of C-14."""
    s = results.settings
    cell = cells(s)
    shallow, deep = ENDS
    found = {}
    for w in WIDTHS:
        known = w in s.widths and {shallow, deep} <= set(s.depths)
        found[f"C-14a.{w}"] = (
            claims.restricted_difference(
                times(results, cell[w, deep, False]),
                times(results, cell[w, shallow, False]),
                s.epochs,
                pairs=True,
            )
            if known
            else claims.unknown()
        )
        found[f"C-14b.{w}"] = (
            times_as_long(results, cell[w, deep, True], cell[w, shallow, True])
            if known
            else claims.unknown()
        )
    for d in DEPTHS:
        found[f"C-14c.{d}"] = (
            times_as_long(results, cell[s.widths[-1], d, True], cell[s.widths[0], d, True])
            if d in s.depths
            else claims.unknown()
        )
    return found
