"""The chapter's sweeps: tuning first, then what is judged, at the trials that were chosen."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import product
from typing import TypeAlias

import pandas as pd

from initlab import sweep
from initlab.measure.condition import Condition
from initlab.reinit import Full, ShrinkPerturb, Stages
from initlab.spec import key
from initlab.studies.contract import Grid
from initlab.studies.when_reinitialization_works.network import (
    AGAIN,
    BATCH,
    BORN,
    LAYERWISE,
    METHODS,
    SETTINGS,
    SHRINK,
    STANDARD,
    Trial,
    data_of,
    network,
    stages_of,
    trials,
)
from initlab.studies.when_reinitialization_works.settings import Settings
from initlab.studies.when_reinitialization_works.warm import online, warm
from initlab.sweep import Run
from initlab.train import Budget, Curves

#: Runs of a sweep by cell: values of its axes, one run per network.
Table: TypeAlias = dict[tuple, list[Run]]
#: Data set, setting, share of wrong labels, method.
Cell: TypeAlias = tuple[str, str, float, str]
Chosen: TypeAlias = Mapping[Cell, Trial]

#: The axes of each sweep, in the order of its cells' values.
AXES: dict[str, tuple[str, ...]] = {
    "tuning": ("data", "setting", "noise", "method", "trial"),
    "surfaces": ("data", "method", "trial"),
    "final": ("data", "setting", "noise", "method"),
    "counted": ("data", "setting", "noise", "method", "stages"),
    "longer": ("data", "setting", "noise", "method", "factor"),
    "controls": ("data", "noise", "control"),
    "watched": ("data", "setting", "method"),
    "born": ("data", "teaching"),
    "warm": ("kind", "start"),
    "online": ("start", "round"),
}
#: Methods whose sensitivity to the trial is compared.
SURFACES = (STANDARD, SHRINK, LAYERWISE)
#: Methods of which the number of stages is varied.
COUNTED = (SHRINK, LAYERWISE, BORN)
#: Methods that are compared at every budget.
INQUIRED = (STANDARD, SHRINK)
#: Born again at full length: what the students learn from.
TEACHINGS = {"teacher alone": "alone", "teacher and labels": "with labels"}


def cells(settings: Settings) -> list[Cell]:
    """Every comparison: data set, setting, share of wrong labels, method."""
    return list(product(settings.datasets, SETTINGS, settings.noises, METHODS))


def ends(settings: Settings) -> list[tuple[str, float]]:
    """The settings and shares of wrong labels that are looked at closely."""
    return [(where, noise) for noise in (0.0, settings.noisiest) for where in ("nothing", "all")]


@lru_cache(maxsize=2)
def tuning(settings: Settings) -> Table:
    """Every method has the same trials, on validation samples."""
    return {
        (*cell, trial): [
            network(settings, cell, trial, seed, validation=True)
            for seed in settings.tuning_seeds(cell[0])
        ]
        for cell in cells(settings)
        for trial in trials(settings, cell[1])
    }


def choose(settings: Settings, accuracy: pd.Series) -> dict[Cell, Trial]:
    """The best trial of each cell, and its mean accuracy on validation samples.

    Args:
        settings: of the chapter.
        accuracy: on validation samples, by the keys of the tuning's runs.
    """
    return {cell: best for cell, (best, _) in validated(settings, accuracy).items()}


def validated(settings: Settings, accuracy: pd.Series) -> dict[Cell, tuple[Trial, float]]:
    """The best trial of each cell and its mean accuracy; see `choose`."""
    found: dict[Cell, tuple[Trial, float]] = {}
    known = accuracy.to_dict()
    for (*cell, trial), group in tuning(settings).items():
        mean = sum(known[key(run)] for run in group) / len(group)
        at = tuple(cell)
        if at not in found or mean > found[at][1]:
            found[at] = trial, mean
    return found


def tuned(settings: Settings) -> dict[Cell, Trial]:
    """The chosen trials; the tuning is computed where it is not known."""
    runs = [run for group in tuning(settings).values() for run in group]
    frame = sweep.run(
        runs, recorded=settings.recorded, device=settings.device, engine=settings.engine
    )
    rows = frame[frame.statistic == "val_accuracy"]
    return choose(settings, rows.set_index("key").value)


def surfaces(settings: Settings) -> Table:
    """The trials of everything together, for three methods, with as many seeds as a point."""
    return {
        (name, method, trial): [
            network(settings, (name, "all", 0.0, method), trial, seed, validation=True)
            for seed in settings.seeds(name)
        ]
        for name, method in product(settings.datasets, SURFACES)
        for trial in trials(settings, "all")
    }


def points(
    settings: Settings, chosen: Chosen, cell: Cell, *, validation: bool = True, **fields
) -> list[Run]:
    """The runs of a cell at its chosen trial, one per seed."""
    return [
        network(settings, cell, chosen[cell], seed, validation=validation, **fields)
        for seed in settings.seeds(cell[0])
    ]


def final(settings: Settings, chosen: Chosen) -> Table:
    """What is judged: one trial of each cell, new seeds, the test set."""
    return {c: points(settings, chosen, c, validation=False) for c in cells(settings)}


def counted(settings: Settings, chosen: Chosen) -> Table:
    """How many stages?"""
    return {
        (*cell, n): points(settings, chosen, cell, stages=stages_of(settings, cell[0], cell[3], n))
        for name, (where, noise), method, n in product(
            settings.datasets, ends(settings), COUNTED, settings.counts
        )
        for cell in [(name, where, noise, method)]
    }


def longer(settings: Settings, chosen: Chosen) -> Table:
    """Is it the budget? Asked after the results were seen."""
    noisy = [end for end in ends(settings) if end[1]]
    asked = [
        *product(settings.datasets, ends(settings), INQUIRED, settings.factors),
        *product(settings.datasets, noisy, AGAIN[1:], [max(settings.factors)]),
    ]
    return {
        (*cell, factor): points(
            settings,
            chosen,
            cell,
            budget=Budget(epochs=factor * settings.epochs_of(name), batch_size=BATCH),
            curves=Curves(("train_accuracy", "wrong_fitted"), 1e9),
        )
        for name, (where, noise), method, factor in asked
        for cell in [(name, where, noise, method)]
    }


def control_stages(settings: Settings) -> dict[str, Stages]:
    """What is changed of Shrink & Perturb."""
    n = settings.stages
    return {
        "as it is": Stages(ShrinkPerturb(), n),
        "one cosine over all stages": Stages(ShrinkPerturb(), n, schedule="whole"),
        "optimizer kept": Stages(ShrinkPerturb(), n, optimizer="kept"),
        "shrink only": Stages(ShrinkPerturb(0.4, 0.0), n),
        "start again": Stages(Full(), n),
    }


def controls(settings: Settings, chosen: Chosen) -> Table:
    """Which part of Shrink & Perturb does the work? With its own trials, everything on."""
    return {
        (name, noise, what): points(settings, chosen, (name, "all", noise, SHRINK), stages=stages)
        for name, noise, (what, stages) in product(
            settings.datasets, (0.0, settings.noisiest), control_stages(settings).items()
        )
    }


def watched(settings: Settings, chosen: Chosen) -> Table:
    """What becomes of networks on the way, at the highest share of wrong labels."""
    products = 2 if settings.preset == "smoke" else 10
    return {
        (name, where, method): points(
            settings,
            chosen,
            (name, where, settings.noisiest, method),
            curves=Curves(("train_accuracy", "val_accuracy", "distance", "wrong_fitted"), 1.0),
            observer=Condition(
                4.0, examples=min(128, data_of(settings, name).train or 128), products=products
            ),
        )
        for name, where, method in product(settings.datasets, ("nothing", "all"), METHODS)
    }


def born(settings: Settings, chosen: Chosen) -> Table:
    """Born again at full length: each generation trains as long as its teacher did."""
    count = settings.generations + 1
    return {
        (name, what): points(
            settings,
            chosen,
            (name, "all", 0.0, STANDARD),
            validation=False,
            stages=Stages(Full(), count, teacher=teacher, total="each"),
            curves=Curves(("test_accuracy",), 1e9),
        )
        for name, (what, teacher) in product(settings.datasets, TEACHINGS.items())
    }


def plan(settings: Settings, chosen: Chosen) -> dict[str, Table]:
    """All sweeps, their runs by cell.

    Args:
        settings: of the chapter.
        chosen: the trial of each cell, as `choose` gives them.
    """
    return {
        "tuning": tuning(settings),
        "surfaces": surfaces(settings),
        "final": final(settings, chosen),
        "counted": counted(settings, chosen),
        "longer": longer(settings, chosen),
        "controls": controls(settings, chosen),
        "watched": watched(settings, chosen),
        "born": born(settings, chosen),
        "warm": warm(settings),
        "online": online(settings),
    }


def grid(settings: Settings) -> Grid:
    """The named sweeps of the chapter.

    What is judged depends on what is chosen, so the tuning is computed here where it is not known.
    """
    named = plan(settings, tuned(settings))
    return {
        name: [run for group in table.values() for run in group] for name, table in named.items()
    }


def count(settings: Settings) -> int:
    """How many networks a preset trains; it hardly depends on the trials that are chosen."""
    first = {cell: trials(settings, cell[1])[0] for cell in cells(settings)}
    runs = (
        r for table in plan(settings, first).values() for group in table.values() for r in group
    )
    return len({key(run) for run in runs})
