"""Sweeps of networks that are trained until they start."""

from __future__ import annotations

from math import prod
from typing import Any

from initlab import init
from initlab.data import SHAPES, Data
from initlab.models import MLP, Network, ResidualMLP
from initlab.studies.how_to_start_training.normalized import PLACES, NormalizedResidual
from initlab.studies.how_to_start_training.parts import (
    CLOSE,
    CRITICAL,
    DECAYS,
    DEEP,
    FAMILIES,
    LAST_WIDTHS,
    LOST,
    OVERFLOWS,
    RESIDUAL_WIDTH,
    TUNED,
    bias,
    even,
    seeds,
)
from initlab.studies.how_to_start_training.settings import Settings
from initlab.sweep import Run
from initlab.train import SGD, Budget


def features(settings: Settings) -> int:
    """Inputs of the networks that are trained: the pixels of an image."""
    return prod(SHAPES[settings.dataset])


def training(settings: Settings, epochs: int | None = None, lr: float = 0.01) -> dict[str, Any]:
    """What all trainings have in common: plain SGD until 20 % test accuracy."""
    budget = Budget(
        epochs=epochs or settings.epochs,
        batch_size=settings.batch_size,
        target_test_accuracy=0.2,
    )
    return {
        "data": Data(settings.dataset, test=settings.test),
        "optimizer": SGD(lr=lr),
        "budget": budget,
    }


def square(
    settings: Settings, scheme: str, depth: int, seed: int, epochs: int, lr: float = 0.01
) -> Run:
    """A network as wide as it is deep, trained on batches in an order of its own."""
    return Run(
        MLP.constant(depth, depth, inputs=features(settings)),
        init.rule(scheme),
        bias=bias(scheme),
        seed=seed,
        order=seed,
        **training(settings, epochs, lr),
    )


def square_trained(settings: Settings) -> list[Run]:
    """Figure 1b, of variance 2/fan-in."""
    ends = (min(settings.depths), max(settings.depths))
    return [
        square(settings, s, d, i, settings.epochs)
        for s in CRITICAL
        for d in settings.depths
        for i in seeds(settings, settings.end_runs if d in ends else settings.runs, s)
    ]


def lost(settings: Settings) -> list[Run]:
    """Figure 1b, of other variances, with budgets relative to what He normal needs."""
    return [
        square(settings, s, d, i, epochs)
        for s in LOST
        for d, epochs in zip(settings.lost_depths, settings.lost_epochs, strict=True)
        if s != "torch_default" or d < DEEP
        for i in seeds(settings, settings.runs, s)
    ]


def tuned(settings: Settings) -> list[Run]:
    """The control of Figure 1b: every rate, with seeds that choose and seeds that judge."""
    return [
        square(settings, s, settings.rate_depth, i, settings.rate_epochs, lr)
        for s in TUNED
        for lr in (*(settings.low_rates if s == OVERFLOWS else ()), *settings.rates)
        for i in seeds(
            settings,
            settings.tuning_runs + (settings.close_runs if s in CLOSE else settings.runs),
            s,
        )
    ]


def residual_trained(settings: Settings) -> list[Run]:
    """Figure 2b: residual networks, trained."""
    return [
        _residual(settings, depth, b, i, settings.epochs)
        for b in DECAYS
        for depth in settings.modules
        for i in seeds(settings, settings.residual_runs)
    ]


def _residual(
    settings: Settings,
    modules: int,
    scales: float | tuple[float, ...],
    seed: int,
    epochs: int,
    lr: float = 0.01,
) -> Run:
    return Run(
        ResidualMLP(modules, RESIDUAL_WIDTH, scales, inputs=features(settings), outputs=10),
        init.HeNormal(),
        seed=seed,
        order=seed,
        **training(settings, epochs, lr),
    )


def even_trained(settings: Settings) -> list[Run]:
    """A control for Figure 2b: all modules weighted alike, by 1/L."""
    return [
        _residual(settings, depth, even(depth), i, settings.epochs)
        for depth in settings.modules
        for i in seeds(settings, settings.runs)
    ]


def tiny_rates(settings: Settings) -> list[Run]:
    """A control for Figure 2b: unweighted modules at rates down to very small ones."""
    return [
        _residual(settings, settings.few_modules, 1.0, i, settings.short_epochs, lr)
        for lr in settings.tiny_rates
        for i in seeds(settings, settings.tuning_runs + settings.runs)
    ]


def normalized(settings: Settings) -> list[Run]:
    """Unweighted modules with a layer normalization in each of several places."""
    return [
        Run(
            Network(
                NormalizedResidual,
                place=place,
                modules=modules,
                width=RESIDUAL_WIDTH,
                inputs=features(settings),
            ),
            init.HeNormal(),
            seed=i,
            order=i,
            **training(settings, settings.short_epochs),
        )
        for modules in settings.normalized_modules
        for place in PLACES
        for i in seeds(settings, settings.runs)
    ]


def family_trained(settings: Settings) -> list[Run]:
    """Figure 3: five families of widths, trained."""
    return [
        _plain(settings, widths(d), i)
        for widths in FAMILIES.values()
        for d in settings.family_depths
        for i in family_seeds(settings, d)
    ]


def family_seeds(settings: Settings, depth: int) -> range:
    """Seeds of Figure 3: the more where it is judged."""
    deepest = depth == max(settings.family_depths)
    return seeds(settings, settings.many_runs if deepest else settings.runs)


def _plain(settings: Settings, widths: tuple[int, ...], seed: int, lr: float = 0.01) -> Run:
    return Run(
        MLP(widths, inputs=features(settings)),
        init.HeNormal(),
        seed=seed,
        order=seed,
        **training(settings, lr=lr),
    )


def swapped_trained(settings: Settings) -> list[Run]:
    """A control for Figure 3: family (i) in the other order, trained."""
    return [
        _plain(settings, ((10, 30) * d)[:d], i)
        for d in settings.family_depths
        for i in family_seeds(settings, d)
    ]


def free_widths(depth: int, total: float, last: int) -> tuple[int, ...]:
    """Widths of a network of this depth and last width whose Σ 1/n is `total`, nearly.

    >>> free_widths(4, 0.6, 10)
    (6, 6, 6, 10)
    """
    body = round((depth - 1) / (total - 1 / last))
    return (body,) * (depth - 1) + (last,)


def free(settings: Settings) -> list[Run]:
    """A control for Figure 3: Σ 1/n, depth and last width vary independently, at two rates."""
    return [
        _plain(settings, free_widths(d, total, last), i, lr)
        for lr in settings.free_rates
        for d in settings.free_depths
        for total in settings.free_sums
        for last in LAST_WIDTHS
        for i in seeds(
            settings, settings.more_runs if lr == settings.free_rates[0] else settings.runs
        )
    ]
