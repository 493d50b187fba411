"""The runs: ways of training, each from several scales and several seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeAlias

from initlab import init
from initlab.augment import Augment
from initlab.data import SIZES, Data
from initlab.init.wrappers import Scaled
from initlab.measure import memory
from initlab.measure.invariance import accumulated
from initlab.models import ResNet9
from initlab.studies.contract import Grid
from initlab.studies.initialization_memory.settings import Settings
from initlab.sweep import Run
from initlab.train import LARS, SGD, Adam, AdamW, Budget, Curves, Optimizer

#: Runs of one way of training: by scale, one for each seed.
Group: TypeAlias = dict[float, list[Run]]

HE = init.HeNormal()
LOW, LARGER, DECAYED = "SGD, low rate", "SGD, larger rate", "SGD, larger rate, L2"
#: The two ways of training that the source contrasts.
CHOSEN = (LOW, DECAYED)
#: Those that are trained from all scales; the others from a few.
ALL_SCALES = (*CHOSEN, "Adam", "AdamW")
#: Statistics of a run on its way.
CURVES = ("train_accuracy", "val_accuracy", "test_accuracy")
#: Moments are looked at that are later by this share than the one before.
RESOLUTION = 0.3

#: Which tensors the scale a multiplies, as fields of a run. The first is that of the whole chapter.
TENSORS: dict[str, Callable[[float], dict[str, Any]]] = {
    "all weights": lambda a: {"init": replace(HE, scale=a**2 * HE.scale)},
    "convolutions": lambda a: {"init": init.Compose(HE, (init.At("conv", factor=a),))},
    "all, and the head's bias": lambda a: {
        "init": replace(HE, scale=a**2 * HE.scale),
        "bias": Scaled(init.TorchDefault(), a),
    },
}
#: The convolutions' learning rate undoes the scale, or comes in its place.
TURNED: dict[str, Callable[[float], dict[str, Any]]] = {
    "scaled, at a² times the rate": lambda a: {
        "init": init.Compose(HE, (init.At("conv", factor=a, rate=a * a),))
    },
    "not scaled, at 1/a² of the rate": lambda a: {
        "init": init.Compose(HE, (init.At("conv", rate=1 / (a * a)),))
    },
}


def data(settings: Settings) -> Data:
    """The samples that all networks of the chapter see."""
    return Data(
        settings.dataset,
        scaling="standard",
        train=settings.train,
        test=settings.test or SIZES[settings.dataset][1],
        side=settings.side or None,
        val=settings.val,
    )


def network(settings: Settings) -> ResNet9:
    """The network of the chapter, with batch normalization."""
    images = data(settings)
    channels, rows, columns = images.shape
    return ResNet9(settings.width, input_shape=(channels, rows, columns), outputs=images.outputs)


def optimizers(settings: Settings) -> dict[str, Optimizer]:
    """The eight ways of training of the first figure, by name."""
    low, larger, decay = settings.low, settings.larger, settings.decay
    return {
        LOW: SGD(lr=low),
        LARGER: SGD(lr=larger),
        "Momentum, low rate": SGD(lr=low, momentum=0.9),
        DECAYED: SGD(lr=larger, weight_decay=decay),
        "Momentum, decoupled decay": SGD(lr=low, momentum=0.9, weight_decay=decay, decoupled=True),
        "Adam": Adam(lr=settings.adam),
        "AdamW": AdamW(lr=settings.adam, weight_decay=0.1),
        "LARS": LARS(lr=low, trust=settings.lars),
    }


def group(
    settings: Settings,
    optimizer: Optimizer,
    scales: Iterable[float],
    *,
    tensors: str = "all weights",
    epochs: int | None = None,
    batch: int | None = None,
    **fields: Any,
) -> Group:
    """Runs of one way of training that differ in scale and seed and in nothing else.

    Args:
        settings: of the chapter.
        optimizer: with its rate.
        scales: factors on the first weights.
        tensors: what the scale acts on, a name of `TENSORS` or `TURNED`.
        epochs: by default the settings'.
        batch: the same.
        fields: further fields of every run.
    """
    base = Run(
        network(settings),
        HE,
        data=data(settings),
        optimizer=optimizer,
        budget=Budget(epochs=epochs or settings.epochs, batch_size=batch or settings.batch),
        curves=Curves(CURVES, RESOLUTION),
        observer=memory.Memory(RESOLUTION),
    )
    starts = (TENSORS | TURNED)[tensors]
    seeds = range(settings.seed, settings.seed + settings.runs)
    return {a: [replace(base, seed=i, **starts(a), **fields) for i in seeds] for a in scales}


@lru_cache(maxsize=8)
def groups(settings: Settings) -> dict[str, dict[str, Group]]:
    """All groups of the chapter, by sweep and name.

    Sweeps are: `main`, the eight ways of training; `which`, choices of the scaled tensors; `long`,
    the extreme scales for more epochs; `faster`, Adam at ten times the rate; `turned`, rates that
    undo or replace the scale; `swept`, rates, decays, batches and epochs of SGD; `augmented`; and
    `plain`, networks without normalization.
    """
    s, how = settings, optimizers(settings)
    main = {
        name: group(s, o, s.scales if name in ALL_SCALES else s.few_scales)
        for name, o in how.items()
    }
    which = {
        f"{name}, {tensors}": main[name]
        if tensors == "all weights"
        else group(s, how[name], s.few_scales, tensors=tensors)
        for tensors in TENSORS
        for name in CHOSEN
    }
    pixels = data(s).shape[-1]
    moved = Augment(crop=max(1, pixels // 8), flip=s.dataset not in ("mnist", "digits"))
    return {
        "main": main,
        "which": which,
        "long": {n: group(s, how[n], s.ends, epochs=s.long_epochs) for n in (LOW, "Adam")},
        "faster": {
            "Adam, ten times the rate": group(s, Adam(lr=10 * s.adam), s.few_scales),
            "AdamW, ten times the rate": group(
                s, AdamW(lr=10 * s.adam, weight_decay=0.1), s.few_scales
            ),
        },
        "turned": {"scaled": which[f"{LOW}, convolutions"]}
        | {n: group(s, how[LOW], s.few_scales, tensors=n) for n in TURNED},
        "swept": _swept(s),
        "augmented": {n: group(s, how[n], s.few_scales, augment=moved) for n in CHOSEN},
        "plain": {LOW: group(s, how[LOW], s.plain_scales, model=replace(network(s), norm="none"))},
    }


def _swept(s: Settings) -> dict[str, Group]:
    """SGD of other rates, decays, batches and epochs, on few scales.

    The first accumulates as much η²T/b as the low rate's long run.
    """
    how = optimizers(s)
    matched = SGD(lr=s.low * (s.long_epochs / s.epochs) ** 0.5)
    cells: Mapping[str, tuple[Optimizer, int, int]] = {
        "rate matched to the long run": (matched, s.epochs, s.batch),
        "low rate, L2": (SGD(lr=s.low, weight_decay=s.decay), s.epochs, s.batch),
        "larger rate, a fifth of L2": (
            SGD(lr=s.larger, weight_decay=s.decay / 5),
            s.epochs,
            s.batch,
        ),
        "low rate, small batches": (how[LOW], s.epochs, s.small_batch),
        "larger rate, large batches": (how[LARGER], s.epochs, s.large_batch),
        "larger rate, short, small batches": (how[LARGER], s.short_epochs, s.small_batch),
        "larger rate, short": (how[LARGER], s.short_epochs, s.batch),
        "larger rate, short, L2": (how[DECAYED], s.short_epochs, s.batch),
    }
    return {
        name: group(s, o, s.few_scales, epochs=epochs, batch=batch)
        for name, (o, epochs, batch) in cells.items()
    }


def grid(settings: Settings) -> Grid:
    """The runs of the chapter: named sweeps; see `groups`.

    Args:
        settings: of the chapter.
    """
    return {
        sweep: [run for one in named.values() for runs in one.values() for run in runs]
        for sweep, named in groups(settings).items()
    }


def steps(run: Run) -> int:
    """Steps of a run's budget."""
    assert run.budget is not None and run.data is not None and run.data.train is not None
    return -(-run.data.train // run.budget.batch_size) * run.budget.epochs


def tau(run: Run) -> float:
    """Regularization that a run of SGD accumulates, τ = η²T/b + ηλT."""
    how, budget = run.optimizer, run.budget
    assert budget is not None
    decay = getattr(how, "weight_decay", 0.0)
    return float(accumulated(how.lr, budget.batch_size, steps(run), decay))
