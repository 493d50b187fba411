"""An estimate for every criterion of the registry; here those of mark, jumps and controls."""

from __future__ import annotations

import numpy as np

from initlab import claims
from initlab.claims import Estimate
from initlab.studies.contract import Results
from initlab.studies.staying_near_the_start import judge_losses, judge_weights
from initlab.studies.staying_near_the_start.fates import fate, fates, growth
from initlab.studies.staying_near_the_start.followed import followed, last
from initlab.studies.staying_near_the_start.frames import by_rate, sharpness_at_least
from initlab.studies.staying_near_the_start.grid import of_width
from initlab.studies.staying_near_the_start.seeds import column, mean, share
from initlab.studies.staying_near_the_start.settings import CLIPPED, UNCLIPPED, Settings

#: The sweeps behind each claim.
BEHIND: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("J1a", "J1b", "J2a", "J2b"), ("marked",)),
    "J2c": ("marked", "marked_unclipped"),
    **dict.fromkeys(("J3a", "J3b", "J4a", "J4b", "J5a", "J5b", "J5c"), (CLIPPED,)),
    **dict.fromkeys(("J6a", "J6b", "J7", "J8a", "J8b"), (CLIPPED,)),
    **dict.fromkeys(("J9a", "J9b", "J9c", "J9d", "J10a", "J10b"), (CLIPPED,)),
    "J11": (CLIPPED, UNCLIPPED),
    **dict.fromkeys(("J12a", "J12b", "J12c", "J12d"), ("sizes",)),
    **dict.fromkeys(("J13a", "J13b"), ("others",)),
    **dict.fromkeys(("J14a", "J14b", "J14c"), ("twins",)),
    **dict.fromkeys(("J15a", "J15b", "J15c"), ("rates",)),
}


def judge(results: Results[Settings]) -> dict[str, Estimate]:
    """An estimate for every criterion of the registry.

    Args:
        results: of the chapter's grid.

    Returns:
        Estimates by the criterion's id; unknown where no run tells, such as the mark of networks
        that diverged where none did.
    """
    return {
        **_mark(results),
        **judge_losses.judge(results),
        **judge_weights.judge(results),
        **_jumps(results),
        **_clip(results),
        **_rates(results),
    }


def _mark(results: Results[Settings]) -> dict[str, Estimate]:
    """The mark in stable networks, and in networks that diverge before it and after."""
    p, grid = results.settings, results.grid
    stable, fragile = (of_width(grid["marked"], w) for w in (p.stable, p.unstable))
    told = fate(results, fragile)
    gone = told[told.diverged]
    area = followed(results, fragile, "recovery", 2)
    quarter = [
        area[k].loc[: time / 4].dropna().iloc[-1]
        for k, time in zip(gone.key, gone.divergence, strict=True)
    ]
    wide, narrow = (last(results, runs, "recovery", 2) for runs in (stable, fragile))
    free = last(results, grid["marked_unclipped"], "recovery", 2)
    both = told.diverged.to_numpy()
    return {
        "J1a.area": mean(wide),
        "J1a.correlation": mean(last(results, stable, "correlation", 2)),
        "J1b.difference": claims.difference(wide, free),
        "J2a.area": mean(quarter),
        "J2b.area": mean(narrow[both]),
        "J2c.difference": mean((narrow - free)[both]),
    }


def _jumps(results: Results[Settings]) -> dict[str, Estimate]:
    """Of networks that diverged: does Δ grow faster after the crossing than before?"""
    runs = of_width(results.grid[CLIPPED], results.settings.unstable)
    told = fate(results, runs)
    gone = told[told.diverged]
    before, after = (growth(results, gone, results.grid[CLIPPED], side) for side in (-1, 1))
    twins = fates(results, UNCLIPPED).set_index("seed").key
    free = gone.assign(key=twins.reindex(gone.seed).to_numpy())
    calm = growth(results, free, results.grid[UNCLIPPED], 1)
    return {"J11.growth": mean(after - before), "J11.twins": mean(after - calm)}


def _clip(results: Results[Settings]) -> dict[str, Estimate]:
    """Clipped and unclipped twins: which of them diverge, and what they have right."""
    width = results.settings.unstable
    gone, right, test_right = (
        [column(fates(results, arm), width, what).astype(float) for arm in (CLIPPED, UNCLIPPED)]
        for what in ("diverged", "right", "test_right")
    )
    return {
        "J14a.difference": claims.paired(*gone),
        "J14b.share": share(gone[1] == 1),
        "J14c.training": claims.paired(right[1], right[0]),
        "J14c.test": claims.paired(test_right[1], test_right[0]),
    }


def _rates(results: Results[Settings]) -> dict[str, Estimate]:
    """Do networks diverge at a lower rate, and how sharp is the loss at its least?"""
    low, high = min(results.settings.rates), max(results.settings.rates)
    arms = by_rate(results)
    return {
        "J15a.share": share(fate(results, arms[low]).diverged),
        "J15b.sharpness": geometric(sharpness_at_least(results, arms[high])),
        "J15c.sharpness": geometric(sharpness_at_least(results, arms[low])),
    }


def geometric(values: np.ndarray) -> Estimate:
    """Geometric mean over seeds; unknown unless all are positive."""
    positive = values.size and np.isfinite(values).all() and (values > 0).all()
    return claims.geometric_mean(values) if positive else claims.unknown()
