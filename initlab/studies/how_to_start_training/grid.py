"""The named sweeps of the chapter "How to start training"."""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt
from typing import Any

from initlab import init
from initlab.data import SHAPES, Data
from initlab.init import Rule
from initlab.measure.signal import SecondMoments
from initlab.models import MLP, ConvNet, Network, ResidualMLP
from initlab.parameters import ParameterError
from initlab.studies.contract import Grid
from initlab.studies.how_to_start_training.normalized import PLACES, NormalizedResidual
from initlab.studies.how_to_start_training.settings import Settings
from initlab.sweep import Run
from initlab.train import SGD, Budget

STUDY = "how-to-start-training"

#: Seeds below were used in the first edition, from which its criteria were learned.
FRESH = 1000
#: Weight variance 2/fan-in: the mean square neither grows nor decays with depth.
CRITICAL = ("he_normal", "he_uniform")
#: Schemes of other variances that are trained.
LOST = (
    "he_normal_2x",
    "he_truncated_uncorrected",
    "glorot_uniform",
    "glorot_truncated",
    "torch_default",
)
#: Of these, two that are compared closely.
CLOSE = ("he_normal", "he_truncated_uncorrected")
#: PyTorch's default, which starts at none of these depths, is not trained at this or a greater one.
DEEP = 100
#: Schemes whose rate is tuned.
TUNED = ("he_normal", "he_normal_2x", "he_truncated_uncorrected", "glorot_uniform")
#: Residual modules are weighted by η_l = b^l, l = 1 … L.
DECAYS = (1.0, 0.9, 0.75, 0.5)
#: Units per layer of the residual networks.
RESIDUAL_WIDTH = 5
#: Hidden widths of a network of depth d; the first four share the sum of 1/width.
FAMILIES: dict[str, Callable[[int], tuple[int, ...]]] = {
    "(i) 30, 10, 30, 10 …": lambda d: ((30, 10) * d)[:d],
    "(ii) 30 first, then 10": lambda d: (30,) * (d // 2) + (10,) * (d // 2),
    "(iii) 10 first, then 30": lambda d: (10,) * (d // 2) + (30,) * (d // 2),
    "(iv) 15 throughout": lambda d: (15,) * d,
    "(v) 20 throughout": lambda d: (20,) * d,
}
#: The layers of (i) in the other order, so that the last one is wide.
SWAPPED = "(i) swapped: 10, 30, 10, 30 …"
#: Widths of the last hidden layer of networks whose Σ 1/n, depth and last width are free.
LAST_WIDTHS = (10, 80)
#: Second moments of the biases, in networks of this depth and width.
NU_2, BIASED = (0.0, 0.01, 0.05, 0.2), 30
#: Widths of narrow networks, in which layers die.
NARROW = (2, 3, 5, 10)


def grid(settings: Settings) -> Grid:
    """The named sweeps of the chapter.

    Args:
        settings: of the chapter.

    Returns:
        Runs by the name of their sweep: `square_nets` (Figure 1a), `square_trained` and `lost`
        (1b), `tuned` (its control of the rate), `residual` (2a), `residual_trained` (2b),
        `even_trained`, `tiny_rates` and `normalized` (its controls), `family_trained` (3),
        `swapped_trained` and `free` (its controls), `conv_nets` (4), `conv_layers` (the same layer
        by layer), `family_nets`, `residual_spread` and `even_spread` (failure mode 2), `biased`,
        and `narrow` (dead layers).
    """
    return {
        "square_nets": square_nets(settings),
        "square_trained": square_trained(settings),
        "lost": lost(settings),
        "tuned": tuned(settings),
        "residual": residual(settings),
        "residual_trained": residual_trained(settings),
        "even_trained": even_trained(settings),
        "tiny_rates": tiny_rates(settings),
        "normalized": normalized(settings),
        "family_trained": family_trained(settings),
        "swapped_trained": swapped_trained(settings),
        "free": free(settings),
        "conv_nets": conv_nets(settings),
        "conv_layers": conv_layers(settings),
        "family_nets": family_nets(settings),
        "residual_spread": residual_spread(settings),
        "even_spread": even_spread(settings),
        "biased": biased(settings),
        "narrow": narrow(settings),
    }


def seeds(settings: Settings, count: int, scheme: str = "") -> range:
    """Seeds of `count` replicates, which those of another initializer do not share."""
    own = 1 + Settings.schemes.index(scheme) if scheme else 0
    first = settings.seed + FRESH * (1 + own)
    return range(first, first + count)


def bias(scheme: str) -> Rule:
    """The rule of a scheme's biases: PyTorch draws them too, every other leaves them at zero."""
    return init.TorchDefault() if scheme == "torch_default" else init.Zeros()


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


def square_nets(settings: Settings) -> list[Run]:
    """Figure 1a: width = depth, one random input of norm 1 per network."""
    return [
        Run(
            MLP.constant(d, d, inputs=d, outputs=None),
            init.rule(s),
            bias=bias(s),
            networks=settings.networks,
            measure=SecondMoments(),
            seed=seeds(settings, 1, s)[0],
        )
        for s in settings.schemes
        for d in settings.depths
    ]


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
        for lr in settings.rates
        for i in seeds(
            settings,
            settings.tuning_runs + (settings.close_runs if s in CLOSE else settings.runs),
            s,
        )
    ]


def residual(settings: Settings) -> list[Run]:
    """Figure 2a: every layer of the deepest residual network is a shorter network's last."""
    return [
        Run(
            ResidualMLP(max(settings.modules), RESIDUAL_WIDTH, b, matrices=m),
            init.HeNormal(),
            networks=settings.draws,
            seed=i,
            measure=SecondMoments(layers="all", reduce=True),
        )
        for m in (1, 2)
        for b in DECAYS
        for i in seeds(settings, settings.draw_seeds)
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


def even(modules: int) -> tuple[float, ...]:
    """Weights 1/L of L modules: their sum is 1, and none of them vanishes before the others."""
    return (1 / modules,) * modules


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


def conv_nets(settings: Settings) -> list[Run]:
    """Figure 4: a tenth of the depth in channels, one image with pixels from 0 to 255."""
    shape = SHAPES[settings.image_dataset]
    if len(shape) != 3:
        raise ParameterError(f"image_dataset must be of images, not {settings.image_dataset!r}")
    return [
        Run(
            ConvNet((max(1, d // 10),) * d, input_shape=(shape[0], shape[1], shape[2])),
            init.rule(s),
            bias=bias(s),
            data=Data(settings.image_dataset, scaling="raw"),
            networks=settings.networks,
            measure=SecondMoments(image=0),
            seed=seeds(settings, 1, s)[0],
        )
        for s in drawn_in_figure_4(settings)
        for d in settings.depths
    ]


def drawn_in_figure_4(settings: Settings) -> list[str]:
    """Initializers of Figure 4."""
    return [s for s in settings.schemes if s not in ("lecun_normal", "torch_default")]


def conv_layers(settings: Settings) -> list[Run]:
    """The deepest networks of Figure 4, followed layer by layer."""
    deepest = max(settings.depths)
    shape = SHAPES[settings.image_dataset]
    return [
        Run(
            ConvNet((max(1, deepest // 10),) * deepest, input_shape=(shape[0], shape[1], shape[2])),
            init.rule(s),
            bias=bias(s),
            data=Data(settings.image_dataset, scaling="raw"),
            networks=settings.layer_networks,
            measure=SecondMoments(image=0, layers="all", reduce=True),
            seed=i,
        )
        for s in drawn_in_figure_4(settings)
        for i in seeds(settings, settings.draw_seeds, s)
    ]


def spread_depths(settings: Settings) -> list[int]:
    """Depths at which the families' spread is measured: where its mean can be estimated."""
    if settings.preset == "smoke":
        return list(settings.family_depths)
    return [2, 4, 6, 8, 10, 20]


def family_nets(settings: Settings) -> list[Run]:
    """Failure mode 2 at initialization: the families of Figure 3, many more networks."""
    return [
        Run(
            MLP(widths(d), inputs=widths(d)[0], outputs=None),
            init.HeNormal(),
            networks=10 * settings.draws,
            seed=i,
            measure=SecondMoments(layers="all", reduce=True),
        )
        for widths in FAMILIES.values()
        for d in spread_depths(settings)
        for i in seeds(settings, 2 * settings.draw_seeds)
    ]


def residual_depths(settings: Settings) -> list[int]:
    """Numbers of modules at which the residual networks' spread is measured."""
    return sorted({max(1, max(settings.modules) * k // 10) for k in (5, 6, 7, 8, 9, 10)})


def residual_spread(settings: Settings) -> list[Run]:
    """Does a residual network avoid failure mode 2?"""
    return [
        Run(
            ResidualMLP(depth, RESIDUAL_WIDTH, b),
            init.HeNormal(),
            networks=10 * settings.draws,
            seed=i,
            measure=SecondMoments(reduce=True),
        )
        for b in DECAYS[1:]
        for depth in residual_depths(settings)
        for i in seeds(settings, 2 * settings.draw_seeds)
    ]


def even_spread(settings: Settings) -> list[Run]:
    """A control for `residual_spread`: modules weighted alike, which leave the stream moving."""
    most = max(settings.modules)
    return [
        Run(
            ResidualMLP(depth, RESIDUAL_WIDTH, even(depth)),
            init.HeNormal(),
            networks=10 * settings.draws,
            seed=i,
            measure=SecondMoments(reduce=True),
        )
        for depth in (max(1, most // 2), most)
        for i in seeds(settings, 2 * settings.draw_seeds)
    ]


def biased(settings: Settings) -> list[Run]:
    """Biases of second moment ν₂, in a network as wide as it is deep."""
    return [
        Run(
            MLP.constant(BIASED, BIASED, inputs=BIASED, outputs=None),
            init.HeNormal(),
            bias=init.Normal(std=sqrt(nu)),
            networks=settings.draws,
            seed=i,
            measure=SecondMoments(layers="all", reduce=True),
        )
        for nu in NU_2
        for i in seeds(settings, settings.draw_seeds)
    ]


def narrow(settings: Settings) -> list[Run]:
    """Narrow networks, in which whole layers are zero."""
    return [
        Run(
            MLP.constant(30, w, inputs=w, outputs=None),
            init.HeNormal(),
            networks=10 * settings.draws,
            seed=i,
            measure=SecondMoments(layers="all", reduce=True),
        )
        for w in NARROW
        for i in seeds(settings, settings.draw_seeds)
    ]
