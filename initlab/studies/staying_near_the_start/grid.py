"""The runs of the chapter, and how groups of them are picked from its sweeps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from initlab import init
from initlab.init.mark import MarkedLayer
from initlab.measure.displacement import Displacement
from initlab.models import MLP
from initlab.studies.contract import Grid
from initlab.studies.staying_near_the_start.settings import (
    BATCH,
    CLIPPED,
    LOSSES,
    OPTIMIZERS,
    RATE,
    SCALES,
    UNCLIPPED,
    Settings,
)
from initlab.sweep import Run
from initlab.train import SGD, Budget, Curves

_GLOROT = init.GlorotUniform()


def network(settings: Settings, name: str, width: int, **fields: Any) -> Run:
    """One run: input, two hidden layers of equal width, softmax.

    Args:
        settings: of the chapter.
        name: of the data set.
        width: of both hidden layers.
        fields: of the run, in place of Glorot's rule, SGD and the curves of the chapter.
    """
    data = settings.data_of(name)
    curves = Curves(("train_loss", "test_loss", "grad_norm"), settings.looks)
    usual: dict[str, Any] = {"init": _GLOROT, "optimizer": SGD(lr=RATE), "curves": curves}
    model = MLP((width, width), inputs=int(np.prod(data.shape)), outputs=data.outputs)
    return Run(model, data=data, **(usual | fields))


def width_of(run: Run) -> int:
    """Width of both hidden layers."""
    assert isinstance(run.model, MLP)
    return run.model.widths[0]


def data_of(run: Run) -> str:
    """Name of the data set."""
    assert run.data is not None
    return run.data.name


def of_width(runs: Iterable[Run], width: int | None) -> list[Run]:
    """The runs of one width."""
    return [r for r in runs if width_of(r) == width]


def of_data(runs: Iterable[Run], name: str) -> list[Run]:
    """The runs on one data set."""
    return [r for r in runs if data_of(r) == name]


def of_scale(runs: Iterable[Run], scale: float) -> list[Run]:
    """The runs whose first weights have one scale."""
    return [r for r in runs if r.init == init.GlorotUniform(scale=scale * scale)]


def grid(settings: Settings) -> Grid:
    """The named sweeps of the chapter.

    Args:
        settings: of the chapter.

    Returns:
        `clipped` and `unclipped`, the same networks with both losses (Figure 2 and its control);
        `marked` and `marked_unclipped`, with a letter in their first weights (Figure 1);
        `pictured`, single networks that are drawn; `others`, on the other sets; `sizes` and
        `other_sizes`, up to equal training loss; `optimizers` and `scaled`.
    """
    others = settings.other_datasets
    return {
        CLIPPED: _matched(settings, CLIPPED, settings.widths),
        UNCLIPPED: _matched(settings, UNCLIPPED, settings.controls),
        "marked": [
            *_marked(settings, settings.stable, CLIPPED),
            *_marked(settings, settings.unstable, CLIPPED),
        ],
        "marked_unclipped": _marked(settings, settings.unstable, UNCLIPPED),
        "pictured": _pictured(settings),
        "others": [r for name in others for r in _other(settings, name)],
        "sizes": _sizes(settings, settings.dataset),
        "other_sizes": [r for name in others for r in _sizes(settings, name)],
        "optimizers": [
            *of_width(_matched(settings, CLIPPED, settings.widths), settings.unstable),
            *_optimizers(settings),
        ],
        "scaled": _scaled(settings),
    }


def _budget(settings: Settings, width: int, epochs: int) -> Budget:
    return Budget(epochs=settings.epochs_of(width, epochs), batch_size=BATCH)


def _watch(settings: Settings, detailed: bool) -> Displacement:
    """The displacement between the hidden layers, in detail at its end or not."""
    return Displacement(settings.looks, layers=(2,), bins=settings.bins if detailed else 0)


def _matched(settings: Settings, loss: str, widths: Iterable[int]) -> list[Run]:
    return [
        network(
            settings,
            settings.dataset,
            w,
            seed=i,
            loss=LOSSES[loss],
            budget=_budget(settings, w, settings.epochs),
            observer=_watch(settings, w == settings.stable),
        )
        for w in widths
        for i in settings.seeds
    ]


def _marked(settings: Settings, width: int, loss: str) -> list[Run]:
    # The mark is looked for in boxes 9 links wide at width 512, as wide a share elsewhere.
    box = max(1, round(9 * width / 512))
    return [
        network(
            settings,
            settings.dataset,
            width,
            seed=i,
            init=MarkedLayer(),
            loss=LOSSES[loss],
            budget=_budget(settings, width, settings.marked_epochs),
            observer=Displacement(settings.looks, layers=(2,), mark=True, box=box),
        )
        for i in settings.seeds
    ]


def _pictured(settings: Settings) -> list[Run]:
    """A marked network of each kind, seldom looked at but with its picture; and the plane."""
    usual: dict[str, Any] = {"seed": settings.seed, "loss": LOSSES[CLIPPED], "curves": None}
    letters = [
        network(
            settings,
            settings.dataset,
            w,
            init=MarkedLayer(),
            budget=_budget(settings, w, settings.marked_epochs),
            observer=Displacement(1.0, layers=(2,), side=24),
            **usual,
        )
        for w in (settings.stable, settings.unstable)
    ]
    plane = network(
        settings,
        settings.dataset,
        settings.stable,
        budget=_budget(settings, settings.stable, settings.epochs),
        observer=Displacement(4.0, layers=(2,), cells=40),
        **usual,
    )
    return [*letters, plane]


def _other(settings: Settings, name: str) -> list[Run]:
    return [
        network(
            settings,
            name,
            w,
            seed=i,
            loss=LOSSES[CLIPPED],
            budget=_budget(settings, w, settings.other_epochs),
            observer=_watch(settings, w == max(settings.other_widths)),
        )
        for w in settings.other_widths
        for i in settings.seeds
    ]


def _sizes(settings: Settings, name: str) -> list[Run]:
    """Networks that are done at the lowest of the losses at which widths are compared.

    Whether they are there is asked at the same steps at which they are looked at.
    """
    looks = 2 * settings.looks
    until = Budget(
        epochs=settings.sized_epochs,
        batch_size=BATCH,
        target_train_loss=min(settings.levels),
        resolution=looks,
    )
    return [
        network(
            settings,
            name,
            w,
            seed=i,
            loss=LOSSES[CLIPPED],
            budget=until,
            curves=Curves(("train_loss",), looks),
            observer=Displacement(looks),
        )
        for w in settings.sized
        for i in settings.seeds
    ]


def _optimizers(settings: Settings) -> list[Run]:
    return [
        network(
            settings,
            settings.dataset,
            settings.unstable,
            seed=i,
            optimizer=optimizer,
            loss=LOSSES[CLIPPED],
            budget=Budget(epochs=settings.optimizer_epochs, batch_size=BATCH),
            observer=_watch(settings, False),
        )
        for optimizer in OPTIMIZERS.values()
        for i in settings.seeds
    ]


def _scaled(settings: Settings) -> list[Run]:
    return [
        network(
            settings,
            settings.dataset,
            settings.stable,
            seed=i,
            init=init.GlorotUniform(scale=s * s),
            budget=Budget(epochs=settings.scaled_epochs, batch_size=BATCH),
            observer=Displacement(settings.looks, layers=(2,), singular=32),
        )
        for s in SCALES
        for i in settings.seeds
    ]
