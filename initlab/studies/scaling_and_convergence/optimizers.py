"""Four optimizers against the scale of the weights, with small and large batches: C-5."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import pandas as pd

from initlab import claims
from initlab.claims import Estimate
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence.ends import (
    by_scale,
    factor_of,
    quickest,
    summary,
    times,
    times_as_long,
)
from initlab.studies.scaling_and_convergence.networks import images, relu_net, scaled, trained
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.sweep import Run
from initlab.train import LARS, SGD, Adam, Budget

#: Sizes of a batch in the registry.
REGISTERED = {"C-5a": 128, "C-5b": 2048}


def batches(s: Settings) -> dict[int, int]:
    """Sizes of a batch, and the budget of each in epochs."""
    return {32: 1, 128: 2} if s.smoke else {128: 12, 2048: 40}


def optimizers(s: Settings) -> dict[str, list]:
    """Nine half decades of learning rate for each optimizer."""
    decades = [-1.0, 0.0] if s.smoke else [k / 2 for k in range(-7, 2)]
    return {
        "SGD": [SGD(lr=round(10.0**k, 7)) for k in decades],
        "momentum": [SGD(lr=round(10.0 ** (k - 1), 7), momentum=0.9) for k in decades],
        "Adam": [Adam(lr=round(10.0 ** (k - 1), 7)) for k in decades],
        "LARS": [LARS(lr=round(10.0 ** (k + 2), 7)) for k in decades],
    }


@lru_cache
def runs(s: Settings) -> dict[tuple[str, int], list[Run]]:
    """Scale × rate × seed, by name of the optimizer and size of the batch."""
    scales = [1.0, 2.0] if s.smoke else [2.0**k for k in (-1, -0.5, 0, 0.5, 1)]
    return {
        (name, batch): trained(
            s,
            relu_net(s, 2 if s.smoke else 10, s.widths[-2]),
            map(scaled, scales),
            on=images(s, s.samples if s.smoke else 4 * s.samples),
            optimizers=rates,
            budget=Budget(epochs=epochs, batch_size=batch, target_train_loss=1.0, resolution=0.05),
        )
        for batch, epochs in batches(s).items()
        for name, rates in optimizers(s).items()
    }


def epochs(results: Results[Settings]) -> pd.DataFrame:
    """Epochs at the tuned rate by `optimizer`, `batch` and `scale`."""
    cells = {
        (name, batch, scale): cell
        for (name, batch), group in runs(results.settings).items()
        for scale, cell in by_scale(group).items()
    }
    return summary(results, cells, ["optimizer", "batch", "scale"])


def best(results: Results[Settings], name: str, batch: int) -> Sequence[Run]:
    """The runs at the scale from which an optimizer needs the fewest epochs."""
    return quickest(results, by_scale(runs(results.settings)[name, batch]).values())


def best_case(results: Results[Settings]) -> pd.DataFrame:
    """Each optimizer at its best scale, and its speed-up over SGD with momentum at that one's best.

    Returns:
        Columns `batch`, `optimizer`, the best `scale`, `epochs`, `speedup`
        with its 95 % interval `low` and `high`.
    """
    s = results.settings
    rows = []
    for batch in batches(s):
        base = best(results, "momentum", batch)
        for name in optimizers(s):
            cell = best(results, name, batch)
            speedup = times_as_long(results, base, cell)
            low, high = speedup.interval()
            rows.append(
                {
                    "batch": batch,
                    "optimizer": name,
                    "scale": factor_of(cell[0]),
                    "epochs": times(results, cell).mean(),
                    "speedup": speedup.value,
                    "low": low,
                    "high": high,
                }
            )
    return pd.DataFrame(rows)


def estimates(results: Results[Settings]) -> dict[str, Estimate]:
    """Of the criteria of C-5."""
    found = {}
    for name, batch in REGISTERED.items():
        for part, other in (("momentum", "momentum"), ("sgd", "SGD")):
            found[f"{name}.{part}"] = (
                times_as_long(results, best(results, "LARS", batch), best(results, other, batch))
                if batch in batches(results.settings)
                else claims.unknown()
            )
    return found
