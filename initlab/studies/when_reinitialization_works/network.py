"""One run of the chapter: a data set, a method, a setting, a share of wrong labels, a trial."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from initlab.augment import Augment
from initlab.data import SIZES, Data
from initlab.init import HeNormal
from initlab.models import MLP, Model, PreActResNet18
from initlab.noise import LabelNoise
from initlab.reinit import Full, Head, LaterLayers, LayerWise, ShrinkPerturb, Stages
from initlab.studies.when_reinitialization_works.settings import Settings
from initlab.sweep import Run
from initlab.train import SGD, Budget, ConstantRate, Cosine

#: A learning rate and a weight decay.
Trial = tuple[float, float]

BATCH, MOMENTUM = 128, 0.9
HE = HeNormal()
STANDARD, SHRINK, LAYERWISE, BORN = "Standard", "Shrink & Perturb", "Layer-wise", "Born again"
#: The stages of each method, by whether the network is residual and the number of stages.
METHODS: dict[str, Callable[[bool, int], Stages | None]] = {
    STANDARD: lambda residual, n: None,
    SHRINK: lambda residual, n: Stages(ShrinkPerturb(), n),
    LAYERWISE: lambda residual, n: Stages(LayerWise(), n),
    "Later layers": lambda residual, n: Stages(LaterLayers(4 if residual else 1), n),
    "Head": lambda residual, n: Stages(Head(), n),
    BORN: lambda residual, n: Stages(Full(), n, teacher="alone"),
}
#: The methods of re-initialization.
AGAIN = tuple(m for m in METHODS if m != STANDARD)
#: What regularizes: whether there are augmentation, weight decay, and a cosine.
SETTINGS = {
    "nothing": (False, False, False),
    "augmentation": (True, False, False),
    "weight decay": (False, True, False),
    "cosine": (False, False, True),
    "all": (True, True, True),
}


def trials(settings: Settings, setting: str) -> list[Trial]:
    """The trials of every method in a setting; without weight decay it is 0."""
    decays = settings.decays if SETTINGS[setting][1] else (0.0,)
    return list(product(settings.rates, decays))


def data_of(settings: Settings, name: str, *, validation: bool = False, share: float = 1.0) -> Data:
    """A data set at the chapter's size.

    Args:
        settings: of the chapter.
        name: of the set.
        validation: whether samples of the training set are held back, and the test set not read.
        share: the first part of the training samples that is used.
    """
    whole, most = SIZES[name]
    n = settings.train or whole * 9 // 10
    val = (settings.validation or whole - whole * 9 // 10) if validation else 0
    side = settings.side if name in settings.residual else settings.mlp_side
    return Data(
        name,
        scaling="standard",
        train=round(share * n),
        val=min(val, most),
        test=0 if validation else min(settings.test or most, most),
        side=(side or None) if name != "gaussian" else None,
    )


def residual_network(settings: Settings, data: Data) -> PreActResNet18:
    """The residual network for images."""
    channels, side, _ = data.shape
    return PreActResNet18(settings.width, input_shape=(channels, side, side), outputs=data.outputs)


def model_of(settings: Settings, name: str) -> Model:
    """The network that learns a data set."""
    data = data_of(settings, name)
    if name in settings.residual:
        return residual_network(settings, data)
    return MLP(settings.hidden, inputs=int(np.prod(data.shape)), outputs=data.outputs)


def stages_of(
    settings: Settings, name: str, method: str, count: int | None = None
) -> Stages | None:
    """The stages of a method on a data set; by default as many as the settings say."""
    return METHODS[method](name in settings.residual, settings.stages if count is None else count)


def network(
    settings: Settings,
    cell: tuple[str, str, float, str],
    trial: Trial,
    seed: int,
    *,
    validation: bool,
    **fields: Any,
) -> Run:
    """One run.

    Args:
        settings: of the chapter.
        cell: data set, setting, share of wrong labels, method.
        trial: learning rate and weight decay.
        seed: of the weights; batches and wrong labels are the same for all.
        validation: whether it is judged on validation samples.
        fields: of the run, in place of what the cell says.
    """
    name, setting, noise, method = cell
    augmented, _, cosine = SETTINGS[setting]
    pixels = data_of(settings, name).shape[-1]
    rate, decay = trial
    usual: dict[str, Any] = dict(
        data=data_of(settings, name, validation=validation),
        seed=seed,
        optimizer=SGD(lr=rate, momentum=MOMENTUM, weight_decay=decay),
        budget=Budget(epochs=settings.epochs_of(name), batch_size=BATCH),
        noise=LabelNoise(noise) if noise else None,
        augment=Augment(crop=max(1, pixels // 8), flip=name != "mnist", cutout=pixels // 4)
        if augmented and name != "gaussian"
        else None,
        schedule=Cosine() if cosine else ConstantRate(),
        stages=stages_of(settings, name, method),
    )
    return Run(model_of(settings, name), HE, **usual | fields)
