"""Two classics: five layers of tanh (C-3), and deep plain ReLU convolutions (C-4)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import pandas as pd

from initlab import claims, init
from initlab.claims import Estimate
from initlab.data import Data
from initlab.init.contract import Rule
from initlab.models import ConvNet
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence.ends import (
    by_rule,
    ends,
    fewer,
    summary,
    tuned,
)
from initlab.studies.scaling_and_convergence.networks import HE, images, relu_net, trained
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.sweep import Run
from initlab.train import SGD, Budget

TANH_RULES: dict[str, Rule] = {
    "Glorot": init.GlorotUniform(),
    "U(±1/√n)": init.TorchDefault(),
    "N(0, 0.01²)": init.Normal(std=0.01),
}
GLOROT = init.GlorotNormal()
#: Learning rates of the convolutional networks, and the one at which most of three networks start,
#: of these that of the fewest epochs; from Xavier's rule none starts at any, and it is He's.
CONV_RATES = (0.0003, 0.001, 0.003, 0.0055, 0.01, 0.03)
CHOSEN = 0.003
CONV_EPOCHS = 15


@lru_cache
def tanh(s: Settings) -> list[Run]:
    """Five layers of tanh from three rules."""
    return trained(
        s,
        relu_net(s, 5, activation="tanh"),
        TANH_RULES.values(),
        on=images(s, 2 * s.samples),
        budget=Budget(
            epochs=min(40, s.epochs),
            batch_size=s.batch_size,
            target_train_loss=0.5,
            resolution=0.03,
        ),
        seeds=s.with_tuning(s.more_seeds),
    )


def tanh_by_rule(s: Settings) -> dict[str, list[Run]]:
    """The same by the name of the rule."""
    groups = by_rule(tanh(s))
    return {name: groups[rule] for name, rule in TANH_RULES.items()}


def depths(s: Settings) -> tuple[int, int]:
    """Layers of the convolutional networks."""
    return (2, 3) if s.smoke else (22, 30)


def small(s: Settings) -> Data:
    """Images that these are quick on."""
    return images(s, s.samples, tests=360 if s.smoke else 500, side=4 if s.smoke else 7)


def _plain(s: Settings, d: int, rule: Rule, rates: Sequence[float], seeds: range) -> list[Run]:
    """Plain convolutional networks, without shortcut or normalization."""
    data = small(s)
    return trained(
        s,
        ConvNet((4 if s.smoke else 16,) * d, input_shape=data.shape, outputs=10),  # type: ignore[arg-type]
        [rule],
        on=data,
        optimizers=[SGD(lr=rate, momentum=0.9) for rate in rates],
        budget=Budget(epochs=min(CONV_EPOCHS, s.epochs), batch_size=32, target_test_accuracy=0.2),
        seeds=seeds,
    )


@lru_cache
def convolutions_tuned(s: Settings) -> dict[tuple[int, str], list[Run]]:
    """By depth and rule, the trainings by which a rate is chosen."""
    return {
        (d, rule.label): _plain(s, d, rule, CONV_RATES, s.tuning_seeds)
        for d in depths(s)
        for rule in (HE, GLOROT)
    }


@lru_cache
def convolutions(s: Settings) -> dict[tuple[int, str], list[Run]]:
    """By depth and rule, the trainings that are judged, at the rate that was chosen."""
    return {
        (d, rule.label): _plain(s, d, rule, [CHOSEN], s.more_seeds)
        for d in depths(s)
        for rule in (HE, GLOROT)
    }


def convolutions_rates(results: Results[Settings]) -> pd.DataFrame:
    """Of the choosing seeds, by `depth`, `rule` and `rate`: mean epochs to the start, and the share
    that `reached` it.
    """
    rows = []
    for (d, rule), cell in convolutions_tuned(results.settings).items():
        by_rate = ends(results, cell).groupby("rate")[["epochs", "reached"]].mean()
        rows.append(by_rate.reset_index().assign(depth=d, rule=rule))
    return pd.concat(rows)


def tanh_summary(results: Results[Settings]) -> pd.DataFrame:
    """Epochs of the tanh networks from each rule; `at` is its place on the axis."""
    return summary(results, tanh_by_rule(results.settings), ["rule"]).assign(at=range(3))


def convolutions_summary(results: Results[Settings]) -> pd.DataFrame:
    """Epochs of the convolutional networks by depth and rule."""
    return summary(results, convolutions(results.settings), ["depth", "rule"])


def estimates(results: Results[Settings]) -> dict[str, Estimate]:
    """Of the criteria of C-3 and C-4."""
    s = results.settings
    xavier, uniform, normal = tanh_by_rule(s).values()
    cells = convolutions(s)
    shallow, deep = depths(s)

    def started(depth: int, rule: Rule) -> Estimate:
        return claims.share(tuned(results, cells[depth, rule.label]).reached > 0)

    return {
        "C-3a.epochs": fewer(results, xavier, uniform),
        "C-3b.epochs": fewer(results, xavier, normal),
        "C-4a.started": started(shallow, HE),
        "C-4b.started": started(shallow, GLOROT),
        "C-4c.epochs": fewer(results, cells[shallow, HE.label], cells[shallow, GLOROT.label]),
        "C-4d.started": started(deep, HE),
        "C-4e.started": started(deep, GLOROT),
    }
