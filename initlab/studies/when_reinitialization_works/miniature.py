"""The chapter in small: two networks that learn digits with wrong labels, one begins again."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import torch

from initlab import init
from initlab.data import Data, load
from initlab.models import MLP
from initlab.noise import LabelNoise
from initlab.reinit import ShrinkPerturb, Stages
from initlab.studies.when_reinitialization_works.network import HE, MOMENTUM, SHRINK, STANDARD
from initlab.train import SGD, Budget, Curves, fit

STATISTICS = ("wrong_fitted", "test_accuracy")


def miniature(times: int, wrong: float, seed: int) -> pd.DataFrame:
    """Train an MLP on digits, with Shrink & Perturb and without, from the same weights.

    Args:
        times: how often one of them is shrunk and perturbed.
        wrong: share of wrong labels.
        seed: of the weights and the batches.

    Returns:
        Columns `method`, `step`, `statistic` (of `STATISTICS`) and `value`.
    """
    digits = load(Data("digits", train=400, test=360, scaling="standard"))
    reader = MLP((48, 48), inputs=digits.features)
    draws = torch.Generator().manual_seed(seed)
    begin, *fresh = (init.stacked(reader.build("meta"), HE, draws, 1) for _ in range(times + 1))

    def again(rows: torch.Tensor, stage: int) -> dict[str, torch.Tensor]:
        return {name: tensor[rows] for name, tensor in fresh[stage - 1].items()}

    frames = []
    ways: dict[str, tuple[list[Stages] | None, Callable | None]] = {
        STANDARD: (None, None),
        SHRINK: ([Stages(ShrinkPerturb(), times + 1)], again),
    }
    for method, (stages, draw) in ways.items():
        [outcome] = fit(
            reader,
            begin,
            digits,
            targets=LabelNoise(wrong)(digits.train.y, 10),
            optimizer=SGD(lr=0.05, momentum=MOMENTUM),
            budget=Budget(epochs=8 * (times + 1), batch_size=50),
            order=torch.Generator().manual_seed(seed),
            curves=Curves(STATISTICS, 0.15),
            stages=stages,
            fresh=draw,
        )
        seen = pd.DataFrame(outcome.curves, columns=["step", "statistic", "value"])
        frames.append(
            seen.drop_duplicates(["step", "statistic"], keep="last").assign(method=method)
        )
    return pd.concat(frames, ignore_index=True)[["method", "step", "statistic", "value"]]
