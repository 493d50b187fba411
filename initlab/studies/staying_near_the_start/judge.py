"""An estimate for every criterion of the registry; here those of the mark and of the control."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from initlab import claims
from initlab.claims import Estimate
from initlab.studies.contract import Results
from initlab.studies.staying_near_the_start import judge_losses, judge_weights
from initlab.studies.staying_near_the_start.fates import fate, fates, jumps
from initlab.studies.staying_near_the_start.followed import accuracy, followed, last
from initlab.studies.staying_near_the_start.grid import of_width
from initlab.studies.staying_near_the_start.seeds import column, mean, pooled, share
from initlab.studies.staying_near_the_start.settings import CLIPPED, UNCLIPPED, Settings
from initlab.sweep import Run

#: The sweeps behind each claim.
BEHIND: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("J1", "J2a", "J2b"), ("marked",)),
    **dict.fromkeys(("J3a", "J3b", "J3c", "J4a", "J4b", "J4c"), (CLIPPED,)),
    **dict.fromkeys(("J5a", "J5b", "J5c", "J5d", "J6a", "J6b"), (CLIPPED,)),
    **dict.fromkeys(("J7a", "J7b", "J8a", "J8b", "J8c", "J9a", "J9b"), (CLIPPED,)),
    **dict.fromkeys(("J10a", "J10b", "J11a", "J11b"), (CLIPPED,)),
    "J12": ("sizes",),
    **dict.fromkeys(("J13a", "J13b", "J13c", "J13d"), ("others",)),
    "J13e": ("other_sizes",),
    "J14a": (CLIPPED, UNCLIPPED),
    "J14b": ("marked", "marked_unclipped"),
}
#: Two jumps are simultaneous within so many epochs, or within this share of their epoch.
EPOCHS, SHARE = 20, 0.06


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
        **_control(results),
    }


def _mark(results: Results[Settings]) -> dict[str, Estimate]:
    """The mark at the end of stable networks; of networks that diverge, before it and after."""
    settings, runs = results.settings, results.grid["marked"]
    stable, fragile = (of_width(runs, w) for w in (settings.stable, settings.unstable))
    told = fate(results, fragile)
    gone = told[told.diverged]
    area = followed(results, fragile, "recovery", 2)
    quarter = [
        area[k].loc[: time / 4].dropna().iloc[-1]
        for k, time in zip(gone.key, gone.divergence, strict=True)
    ]
    return {
        "J1.area": mean(last(results, stable, "recovery", 2)),
        "J1.correlation": mean(last(results, stable, "correlation", 2)),
        "J2a.area": mean(quarter),
        "J2b.erased": share(erased(results, fragile, gone.seed)),
    }


def _jumps(results: Results[Settings]) -> dict[str, Estimate]:
    """Of diverged networks: do displacement and loss jump together, after the least test loss?"""
    rows = jumps(results, CLIPPED)
    near = (rows.loss_jump * SHARE).clip(lower=EPOCHS)
    rows = rows.assign(
        together=(rows.loss_jump - rows.delta_jump).abs() <= near,
        after=rows.delta_jump > rows.t_test,
    )
    by_seed = rows.groupby("seed")
    return {
        "J11a.seeds": share(by_seed.together.all()),
        "J11a.networks": pooled(rows.astype({"together": float}), "together"),
        "J11b.seeds": share(by_seed.after.all()),
    }


def _control(results: Results[Settings]) -> dict[str, Estimate]:
    """Unclipped networks less their clipped twins, at the two widths that diverge."""
    settings, grid = results.settings, results.grid
    found = {}
    for name, width in (("J14a.accuracy", settings.unstable), ("J14a.narrower", settings.below)):
        twins = [of_width(grid[sweep], width) for sweep in (UNCLIPPED, CLIPPED)]
        found[name] = (
            claims.paired(*(accuracy(results, of) for of in twins))
            if all(twins)
            else claims.unknown()
        )
    found["J14a.loss"] = share(column(fates(results, UNCLIPPED), settings.unstable, "above"))
    fragile = of_width(grid["marked"], settings.unstable)
    told = fate(results, fragile)
    free = grid["marked_unclipped"]
    found["J14b.erased"] = share(erased(results, free, told[told.diverged].seed))
    for name, statistic in (("J14b.area", "recovery"), ("J14b.correlation", "correlation")):
        found[name] = claims.paired(*(last(results, of, statistic, 2) for of in (free, fragile)))
    return found


def erased(results: Results[Settings], runs: Sequence[Run], seeds: Iterable[int]) -> list[bool]:
    """Of each marked run of some seeds: is nothing of the mark left at its end?

    Neither as a correlation of first and last weights nor as a letter.
    """
    chosen = set(seeds)
    kept = [run for run in runs if run.seed in chosen]
    if not kept:
        return []
    r, area = (last(results, kept, name, 2) for name in ("correlation", "recovery"))
    return [abs(c) <= 0.05 and 0.4 <= a <= 0.6 for c, a in zip(r, area, strict=True)]
