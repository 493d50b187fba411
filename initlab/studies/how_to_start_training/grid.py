"""The named sweeps of the chapter "How to start training"."""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt
from typing import Any

from initlab import init
from initlab.data import SHAPES, Data
from initlab.init import Rule
from initlab.measure.signal import SecondMoments
from initlab.models import MLP, ConvNet, ResidualMLP
from initlab.parameters import ParameterError
from initlab.studies.contract import Grid
from initlab.studies.how_to_start_training.settings import Settings
from initlab.sweep import Run
from initlab.train import SGD, Budget

STUDY = "how-to-start-training"

#: Weight variance 2/fan-in: the mean square neither grows nor decays with depth.
CRITICAL = ("he_normal", "he_uniform")
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
#: Second moments of the biases, in networks of this depth and width.
NU_2, BIASED = (0.0, 0.01, 0.05, 0.2), 30
#: Widths of narrow networks, in which layers die.
NARROW = (2, 3, 5, 10)


def grid(settings: Settings) -> Grid:
    """The named sweeps of the chapter.

    Args:
        settings: of the chapter.

    Returns:
        Runs by the name of their sweep: `square_nets` (Figure 1a), `square_trained` (1b),
        `residual` (2a), `residual_trained` (2b), `family_trained` (3), `swapped_trained` (its
        control), `conv_nets` (4), `family_nets` and `residual_spread` (failure mode 2),
        `biased`, and `narrow` (dead layers).
    """
    return {
        "square_nets": square_nets(settings),
        "square_trained": square_trained(settings),
        "residual": residual(settings),
        "residual_trained": residual_trained(settings),
        "family_trained": family_trained(settings),
        "swapped_trained": swapped_trained(settings),
        "conv_nets": conv_nets(settings),
        "family_nets": family_nets(settings),
        "residual_spread": residual_spread(settings),
        "biased": biased(settings),
        "narrow": narrow(settings),
    }


def seeds(settings: Settings, count: int) -> range:
    """Seeds of `count` replicates."""
    return range(settings.seed, settings.seed + count)


def bias(scheme: str) -> Rule:
    """The rule of a scheme's biases: PyTorch draws them too, every other leaves them at zero."""
    return init.TorchDefault() if scheme == "torch_default" else init.Zeros()


def features(settings: Settings) -> int:
    """Inputs of the networks that are trained: the pixels of an image."""
    return prod(SHAPES[settings.dataset])


def training(settings: Settings) -> dict[str, Any]:
    """What all trainings have in common: plain SGD until 20 % test accuracy."""
    budget = Budget(
        epochs=settings.epochs, batch_size=settings.batch_size, target_test_accuracy=0.2
    )
    return {"data": Data(settings.dataset), "optimizer": SGD(lr=0.01), "budget": budget}


def square_nets(settings: Settings) -> list[Run]:
    """Figure 1a: width = depth, one random input of norm 1 per network."""
    return [
        Run(
            MLP.constant(d, d, inputs=d, outputs=None),
            init.rule(s),
            bias=bias(s),
            networks=settings.networks,
            measure=SecondMoments(),
            seed=settings.seed,
        )
        for s in settings.schemes
        for d in settings.depths
    ]


def trained_depths(settings: Settings, scheme: str) -> tuple[int, ...]:
    """Depths of Figure 1b.

    A scheme that loses the signal takes the whole budget of epochs, so that it is trained to
    smaller depths only.
    """
    if scheme == "he_truncated_uncorrected":
        return settings.cut_depths
    if scheme in (*CRITICAL, "he_truncated", "he_normal_2x"):
        return settings.depths
    return settings.slow_depths


def square_trained(settings: Settings) -> list[Run]:
    """Figure 1b: width = depth, trained. LeCun is in the paper's text, not in its figure."""
    return [
        Run(
            MLP.constant(d, d, inputs=features(settings)),
            init.rule(s),
            bias=bias(s),
            seed=i,
            **training(settings),
        )
        for s in settings.schemes
        if s != "lecun_normal"
        for d in trained_depths(settings, s)
        for i in seeds(settings, settings.runs)
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
        Run(
            ResidualMLP(depth, RESIDUAL_WIDTH, b, inputs=features(settings), outputs=10),
            init.HeNormal(),
            seed=i,
            **training(settings),
        )
        for b in DECAYS
        for depth in settings.modules
        for i in seeds(settings, settings.many_runs)
    ]


def family_trained(settings: Settings) -> list[Run]:
    """Figure 3: five families of widths, trained."""
    return [
        Run(
            MLP(widths(d), inputs=features(settings)), init.HeNormal(), seed=i, **training(settings)
        )
        for widths in FAMILIES.values()
        for d in settings.family_depths
        for i in seeds(settings, settings.many_runs)
    ]


def swapped_depths(settings: Settings) -> list[int]:
    """Depths of the control for Figure 3."""
    return [d for d in settings.family_depths if d % 8 == 4]


def swapped_trained(settings: Settings) -> list[Run]:
    """A control for Figure 3: family (i) in the other order, trained."""
    return [
        Run(
            MLP(((10, 30) * d)[:d], inputs=features(settings)),
            init.HeNormal(),
            seed=i,
            **training(settings),
        )
        for d in swapped_depths(settings)
        for i in seeds(settings, settings.many_runs)
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
            seed=settings.seed,
        )
        for s in settings.schemes
        if s not in ("lecun_normal", "torch_default")
        for d in settings.depths
    ]


def spread_depths(settings: Settings) -> list[int]:
    """Depths at which the families' spread is measured: where its mean can be estimated."""
    if settings.preset == "smoke":
        return list(settings.family_depths)
    return sorted({d for d in settings.family_depths if d <= 8} | {2, 6, 10, 20})


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
        for i in seeds(settings, settings.draw_seeds)
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
            networks=settings.draws,
            seed=i,
            measure=SecondMoments(reduce=True),
        )
        for b in DECAYS[1:]
        for depth in residual_depths(settings)
        for i in seeds(settings, settings.draw_seeds)
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
