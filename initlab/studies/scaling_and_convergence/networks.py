"""What the experiments are made of: rules, networks, images, and trainings of one cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from initlab import init
from initlab.data import Data
from initlab.init import HeNormal, VarianceScaling
from initlab.init.contract import Rule, Scheme
from initlab.models import MLP
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.sweep import Run
from initlab.train import SGD, Budget

HE = HeNormal()


def scaled(factor: float) -> HeNormal:
    """He's rule with its standard deviation times a factor."""
    return HeNormal(scale=round(2 * factor**2, 6))


def gain(activation: str) -> VarianceScaling:
    """The rule whose variance keeps the mean square of an activation at input variance 1."""
    return VarianceScaling(scale=round(init.gain(activation) ** 2, 9))


def images(s: Settings, samples: int, tests: int | None = None, **fields) -> Data:
    """So many training images, standardized unless told otherwise.

    Args:
        s: of the chapter.
        samples: training images.
        tests: test images; 1,000 if left out, fewer at the smoke preset.
        fields: of `Data`, in place of the chapter's.
    """
    tests = (360 if s.smoke else 1000) if tests is None else tests
    chosen: dict[str, Any] = {"scaling": "standard", "side": s.side}
    return Data(s.dataset, **chosen | {"train": samples, "test": tests} | fields)


def inputs(s: Settings) -> int:
    """Pixels of an image."""
    return images(s, s.samples).shape[-1] ** 2


def relu_net(s: Settings, depth: int, width: int | None = None, **fields) -> MLP:
    """A fully connected network of `depth` hidden layers on the chapter's images."""
    return MLP.constant(depth, s.width if width is None else width, inputs=inputs(s), **fields)


def sgd(rates: Iterable[float]) -> list[SGD]:
    """Plain SGD at each rate."""
    return [SGD(lr=rate) for rate in rates]


def started_at(s: Settings, epochs: int | None = None) -> Budget:
    """The usual goal: a training loss of 1, located to 5 %, in the chapter's epochs or so many."""
    return Budget(
        epochs=s.epochs if epochs is None else epochs,
        batch_size=s.batch_size,
        target_train_loss=1.0,
        resolution=0.05,
    )


def trained(
    s: Settings,
    model,
    rules: Iterable[Rule | Scheme],
    *,
    on: Data | None = None,
    optimizers: Sequence | None = None,
    budget: Budget | None = None,
    seeds: range | None = None,
) -> list[Run]:
    """One model, trained from each rule with each optimizer and seed.

    Args:
        s: of the chapter.
        model: a spec of `initlab.models`.
        rules: where to start.
        on: images; the chapter's if left out.
        optimizers: SGD at the chapter's rates if left out.
        budget: `started_at` if left out.
        seeds: the chapter's, with those that choose a rate, if left out. A seed draws the weights,
            the subset of images and the order of the batches.

    Returns:
        The runs, rule by rule, optimizer by optimizer.
    """
    data = images(s, s.samples) if on is None else on
    return [
        Run(
            model,
            rule,
            data=replace(data, subset=i),
            seed=i,
            order=i,
            optimizer=optimizer,
            budget=started_at(s) if budget is None else budget,
        )
        for rule in rules
        for optimizer in (sgd(s.rates) if optimizers is None else optimizers)
        for i in (s.with_tuning(s.seeds) if seeds is None else seeds)
    ]
