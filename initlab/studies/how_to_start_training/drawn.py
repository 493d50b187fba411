"""Sweeps of networks at initialization: drawn by the thousand and looked at."""

from __future__ import annotations

from math import sqrt

from initlab import init
from initlab.data import SHAPES, Data
from initlab.measure.signal import SecondMoments
from initlab.models import MLP, ConvNet, ResidualMLP
from initlab.parameters import ParameterError
from initlab.studies.how_to_start_training.parts import (
    BIASED,
    DECAYS,
    FAMILIES,
    NARROW,
    NU_2,
    RESIDUAL_WIDTH,
    bias,
    even,
    seeds,
)
from initlab.studies.how_to_start_training.settings import Settings
from initlab.sweep import Run


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
