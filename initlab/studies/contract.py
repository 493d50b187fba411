"""What the studies have in common: results with their grid, and a scorecard made of estimates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Protocol, TypeVar

import pandas as pd

from initlab import claims, sweep
from initlab.claims import Estimate, Scorecard
from initlab.parameters import Settings
from initlab.sweep import Run

S = TypeVar("S", bound=Settings)
#: Named sweeps: what a chapter runs.
Grid = dict[str, list[Run]]


@dataclass(frozen=True, eq=False)
class Results(Generic[S]):
    """Results of a chapter's grid.

    Args:
        settings: of the chapter.
        grid: its named sweeps.
        frame: tidy, as `initlab.sweep.run` gives it, of all runs of the grid.
    """

    settings: S
    grid: Grid
    frame: pd.DataFrame

    def of(self, name: str, statistic: str | None = None) -> pd.DataFrame:
        """The rows of one sweep, and of one statistic if it is named."""
        return sweep.select(self.frame, self.grid[name], statistic)

    def cost(self, *names: str) -> tuple[int, float]:
        """Networks in some sweeps, and the core-seconds that they took."""
        runs = {sweep.key(run): run for name in names for run in self.grid[name]}
        seconds = self._seconds[self._seconds.index.isin(runs)]
        return sum(run.networks for run in runs.values()), float(seconds.sum())

    @cached_property
    def _seconds(self) -> pd.Series:
        """Core-seconds that each run took, by its key."""
        return self.frame.drop_duplicates("key").set_index("key").seconds


class StudyModule(Protocol[S]):
    """What a module of `initlab.studies` has."""

    #: Its name, that of its registry.
    STUDY: str
    #: The sweeps behind each claim, by the claim's id.
    BEHIND: Mapping[str, tuple[str, ...]]

    def grid(self, settings: S) -> Grid:
        """The named sweeps of the chapter."""

    def judge(self, results: Results[S]) -> dict[str, Estimate]:
        """An estimate for every criterion of the registry."""


def compute(study: StudyModule[S], settings: S) -> Results[S]:
    """The results of a study's grid: recorded, stored or computed now.

    Args:
        study: a module of `initlab.studies`.
        settings: of its chapter.
    """
    grid = study.grid(settings)
    runs = [run for sweep_ in grid.values() for run in sweep_]
    frame = sweep.run(
        runs, recorded=settings.recorded, device=settings.device, engine=settings.engine
    )
    return Results(settings, grid, frame)


def scorecard(study: StudyModule[S], results: Results[S]) -> Scorecard:
    """A study's claims, judged by its estimates.

    Args:
        study: a module of `initlab.studies`.
        results: of its grid.
    """
    judged = claims.judged(
        claims.study(study.STUDY),
        study.judge(results),
        preset=results.settings.preset,
        costs={name: results.cost(*sweeps) for name, sweeps in study.BEHIND.items()},
    )
    return Scorecard(judged)
