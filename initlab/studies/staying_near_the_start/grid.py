"""The runs of the chapter, and how groups of them are picked from its sweeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from initlab import init
from initlab.init.mark import MarkedLayer
from initlab.measure.condition import Condition
from initlab.measure.departure import Departure
from initlab.measure.displacement import Displacement
from initlab.models import MLP
from initlab.studies.contract import Grid
from initlab.studies.staying_near_the_start.settings import (
    BATCH,
    CLIPPED,
    LOSSES,
    SCALES,
    UNCLIPPED,
    Settings,
)
from initlab.sweep import Run
from initlab.train import SGD, Budget, Curves

#: Losses of both sets, and the shares that are right, which the clip does not touch.
FOLLOWED = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "grad_norm")


def network(settings: Settings, name: str, width: int, seed: int, **fields: Any) -> Run:
    """One run: input, two hidden layers of equal width, softmax.

    Args:
        settings: of the chapter.
        name: of the data set.
        width: of both hidden layers.
        seed: draws the first weights and the order of the batches.
        fields: of the run, in place of Glorot's rule, SGD and the curves of the chapter.
    """
    data = settings.data_of(name)
    usual: dict[str, Any] = {
        "init": init.GlorotUniform(),
        "optimizer": SGD(lr=settings.rate),
        "curves": Curves(FOLLOWED, settings.looks),
        "budget": Budget(epochs=settings.epochs, batch_size=BATCH),
    }
    model = MLP((width, width), inputs=int(np.prod(data.shape)), outputs=data.outputs)
    return Run(model, data=data, seed=seed, order=seed, **(usual | fields))


def width_of(run: Run) -> int:
    """Width of both hidden layers."""
    assert isinstance(run.model, MLP)
    return run.model.widths[0]


def data_of(run: Run) -> str:
    """Name of the data set."""
    assert run.data is not None
    return run.data.name


def rate_of(run: Run) -> float:
    """Learning rate of SGD."""
    assert isinstance(run.optimizer, SGD)
    return run.optimizer.lr


def of_width(runs: Iterable[Run], width: int) -> list[Run]:
    """The runs of one width."""
    return [r for r in runs if width_of(r) == width]


def of_data(runs: Iterable[Run], name: str) -> list[Run]:
    """The runs on one data set."""
    return [r for r in runs if data_of(r) == name]


def of_rate(runs: Iterable[Run], rate: float) -> list[Run]:
    """The runs at one learning rate."""
    return [r for r in runs if rate_of(r) == rate]


def of_scale(runs: Iterable[Run], scale: float) -> list[Run]:
    """The runs whose first weights have one scale."""
    return [r for r in runs if r.init == init.GlorotUniform(scale=scale * scale)]


def grid(settings: Settings) -> Grid:
    """The named sweeps of the chapter.

    Args:
        settings: of the chapter.

    Returns:
        `clipped`, all widths with Keras' loss, and `unclipped`, twins of the unstable width
        without the clip; `twins`, both of that width; `marked` and `marked_unclipped`, with a
        letter in their first weights;
        `pictured`, a network of each kind whose letter is drawn; `rates`, at other learning rates;
        `others`, on the other sets; `sizes` and `scaled`, up to equal training loss.
    """
    p = settings
    return {
        CLIPPED: _matched(p, CLIPPED, p.widths),
        UNCLIPPED: _matched(p, UNCLIPPED, (p.unstable,)),
        "twins": [r for loss in (CLIPPED, UNCLIPPED) for r in _matched(p, loss, (p.unstable,))],
        "marked": [*_marked(p, p.stable, CLIPPED), *_marked(p, p.unstable, CLIPPED)],
        "marked_unclipped": _marked(p, p.unstable, UNCLIPPED),
        "pictured": _pictured(p),
        "rates": _rates(p),
        "others": _others(p),
        "sizes": [r for name in (p.dataset, *p.other_datasets) for r in _sizes(p, name)],
        "scaled": _scaled(p),
    }


def _matched(settings: Settings, loss: str, widths: Sequence[int]) -> list[Run]:
    """Twins of both losses share seeds; widths share none."""
    return [
        network(
            settings,
            settings.dataset,
            w,
            seed,
            loss=LOSSES[loss],
            observer=_watch(settings, detailed=w == settings.stable),
        )
        for w in widths
        for seed in settings.seeds(_block(settings, w), settings.count(w))
    ]


def _block(settings: Settings, width: int) -> int:
    """The block of a width's seeds; the first one of the unstable width was used for pilots."""
    return 15 if width == settings.unstable else settings.widths.index(width)


def _watch(settings: Settings, *, detailed: bool) -> Displacement:
    """The displacement between the hidden layers, link by link at its end or not."""
    if not detailed:
        return Displacement(settings.looks, layers=(2,))
    return Displacement(settings.looks, layers=(2,), bins=settings.bins, cells=40)


def _marked(settings: Settings, width: int, loss: str) -> list[Run]:
    """The mark is looked for link by link, at all widths alike."""
    wide = width == settings.stable
    return [
        _with_mark(settings, width, loss, seed, Displacement(0.1, layers=(2,), mark=True, box=1))
        for seed in settings.seeds(20 + wide, settings.few_runs if wide else settings.runs)
    ]


def _pictured(settings: Settings) -> list[Run]:
    """The matrix of one marked network of each kind is drawn."""
    kinds = ((settings.stable, CLIPPED), (settings.unstable, CLIPPED))
    observer = Displacement(1.0, layers=(2,), side=24)
    [seed] = settings.seeds(22, 1)
    return [_with_mark(settings, w, loss, seed, observer) for w, loss in kinds]


def _with_mark(settings: Settings, width: int, loss: str, seed: int, observer: Displacement) -> Run:
    return network(
        settings,
        settings.dataset,
        width,
        seed,
        init=MarkedLayer(),
        loss=LOSSES[loss],
        curves=Curves(FOLLOWED, 0.1),
        observer=observer,
    )


def _rates(settings: Settings) -> list[Run]:
    """The unstable width at other rates, for as many epochs and as long a way: rate × epochs."""
    return [
        network(
            settings,
            settings.dataset,
            settings.unstable,
            seed,
            optimizer=SGD(lr=rate),
            loss=LOSSES[CLIPPED],
            budget=Budget(epochs=round(settings.epochs * settings.rate / rate), batch_size=BATCH),
            observer=Condition(0.25),
        )
        for i, rate in enumerate(settings.rates)
        for seed in settings.seeds(30 + i, settings.runs)
    ]


def _others(settings: Settings) -> list[Run]:
    return [
        network(
            settings,
            name,
            settings.stable,
            seed,
            optimizer=SGD(lr=settings.sized_rate),
            loss=LOSSES[CLIPPED],
            budget=Budget(epochs=settings.other_epochs, batch_size=BATCH),
            curves=Curves(FOLLOWED, 0.1),
            observer=Displacement(1.0, layers=(2,), bins=settings.bins),
        )
        for i, name in enumerate(settings.other_datasets)
        for seed in settings.seeds(140 + i, settings.few_runs)
    ]


def _until(settings: Settings) -> dict[str, Any]:
    """What networks have in common that are done at the loss at which they are compared."""
    budget = Budget(
        epochs=settings.sized_epochs,
        batch_size=BATCH,
        target_train_loss=settings.level,
        resolution=0.1,
    )
    curves = Curves(("train_loss", "train_accuracy", "test_accuracy"), 0.1)
    return {
        "optimizer": SGD(lr=settings.sized_rate),
        "budget": budget,
        "curves": curves,
        "observer": Departure(),
        "loss": LOSSES[UNCLIPPED],
    }


def _sizes(settings: Settings, name: str) -> list[Run]:
    block = 150 + 10 * (settings.dataset, *settings.other_datasets).index(name)
    return [
        network(settings, name, w, seed, **_until(settings))
        for i, w in enumerate(settings.sized)
        for seed in settings.seeds(block + i, settings.few_runs)
    ]


def _scaled(settings: Settings) -> list[Run]:
    return [
        network(
            settings,
            settings.dataset,
            settings.scaled_width,
            seed,
            init=init.GlorotUniform(scale=s * s),
            **_until(settings),
        )
        for i, s in enumerate(SCALES)
        for seed in settings.seeds(180 + i, settings.few_runs)
    ]
