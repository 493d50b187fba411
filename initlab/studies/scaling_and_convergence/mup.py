"""The coordinate check of μP: how far the first steps move the activations, against width."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
import torch

from initlab import claims, init
from initlab.data import load
from initlab.init.contract import Rule, Scheme
from initlab.measure.coordinates import coordinate_check
from initlab.studies.scaling_and_convergence.networks import HE, images, relu_net
from initlab.studies.scaling_and_convergence.settings import Settings

STEPS = (1, 2, 5)
RATE = 0.003
LAYERS = {"layer1": "layer 1", "layer2": "layer 2", "layer3": "layer 3", "head": "output"}


def widths(s: Settings) -> tuple[int, ...]:
    """Units of a hidden layer."""
    return (8, 16) if s.smoke else (32, 64, 128, 256, 512)


def rules(s: Settings) -> dict[str, Rule | Scheme]:
    """Rules by the name that a reader sees."""
    return {
        "He": HE,
        "PyTorch default": init.TorchDefault(),
        "μP": init.MuP(base_width=widths(s)[1]),
    }


@lru_cache(maxsize=4)
def frame(s: Settings) -> pd.DataFrame:
    """Mean change of the activations, with interval, by `rule`, `width`, `step` and `layer`.

    Computed now, a few steps of Adam at one rate, `runs` networks of each width.
    """
    few = load(images(s, 128)).train
    rows = pd.concat(
        [
            coordinate_check(
                lambda width: relu_net(s, 3, width).build(),
                rule,
                widths(s),
                (few.x.flatten(1), few.y),
                rate=RATE,
                steps=STEPS,
                optimizer="adam",
                networks=s.runs,
                generator=torch.Generator().manual_seed(s.seed),
            ).assign(rule=name)
            for name, rule in rules(s).items()
        ]
    )
    rows["layer"] = rows.path.map(LAYERS)
    return claims.means(rows.dropna(subset="layer"), ["rule", "width", "step", "layer"])


def exponents(s: Settings) -> pd.DataFrame:
    """Exponent of the width with which the change grows, by rule and step; one column a layer."""

    def growth(rows: pd.DataFrame) -> float:
        return float(np.polyfit(np.log(rows.width), np.log(rows["mean"]), 1)[0])

    groups = frame(s).groupby(["rule", "step", "layer"], sort=False)
    return groups.apply(growth, include_groups=False).unstack("layer")
