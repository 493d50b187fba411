"""Few training images, all of them learned, from small and large starts: C-10."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from initlab import claims
from initlab.claims import Estimate
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence.ends import by_scale, ends, mean_with_ends
from initlab.studies.scaling_and_convergence.networks import images, relu_net, scaled, trained
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.sweep import Run
from initlab.train import Adam, Budget

SCALES = (0.3, 1.0, 3.0)
RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
#: By number of images, smaller rates, where the best was the smallest of those.
MORE_RATES = {300: (0.0001,)}
#: Training images in the registry.
REGISTERED = (100, 300, 1000, 3000)


def counts(s: Settings) -> tuple[int, ...]:
    """Training images."""
    return (32, 64) if s.smoke else REGISTERED


def rates(s: Settings, n: int) -> tuple[float, ...]:
    """Learning rates with n images, the same for all scales."""
    return RATES[1:3] if s.smoke else (*MORE_RATES.get(n, ()), *RATES)


@lru_cache
def runs(s: Settings) -> dict[int, list[Run]]:
    """Scale × rate × seed by number of images, trained until 99.5 % of them are learned; the moment
    that is best on validation images is noted on the way.
    """
    return {
        n: trained(
            s,
            relu_net(s, 2, 2 * s.width),
            map(scaled, SCALES),
            on=images(s, n, tests=300 if s.smoke else 10_000, val=30 if s.smoke else 1000),
            optimizers=[Adam(lr=rate) for rate in rates(s, n)],
            budget=Budget(
                epochs=4 * s.epochs,
                batch_size=s.batch_size,
                target_train_accuracy=0.995,
                select="val_accuracy",
            ),
            seeds=s.with_tuning(s.more_seeds),
        )
        for n in counts(s)
    }


@lru_cache(maxsize=8)
def cells(
    results: Results[Settings], learned: bool = True
) -> dict[tuple[int, float], pd.DataFrame]:
    """Trainings by number of images and scale, in the order of their seeds.

    The rate is that of the best accuracy on validation images, over the seeds that choose.

    Args:
        results: of the chapter.
        learned: whether it is chosen among rates at which most of these seeds learn all images.
    """
    found = {}
    for n, group in runs(results.settings).items():
        for scale, cell in zip(SCALES, by_scale(group).values(), strict=True):
            x = ends(results, cell, ["best_val_accuracy", "best_test_accuracy"])
            tunes = x.seed.isin(results.settings.tuning_seeds)
            means = x[tunes].groupby("rate")[["best_val_accuracy", "reached"]].mean()
            most = means.reached > 0.5
            if learned and most.any():
                means = means[most]
            best = means.best_val_accuracy.idxmax()
            found[n, scale] = x[~tunes & (x.rate == best)].sort_values("seed")
    return found


def frame(results: Results[Settings]) -> pd.DataFrame:
    """Test accuracy in percent, with its interval, when all is learned and at the moment that is
    best on validation images (`stopped`), each at a rate of its own, and mean epochs, by `images`
    and `scale`.
    """
    stopped = cells(results, learned=False)
    return pd.DataFrame(
        [
            {"images": n, "scale": f"scale {scale:g}"}
            | mean_with_ends(100 * x.test_accuracy)
            | {"stopped": 100 * stopped[n, scale].best_test_accuracy.mean()}
            | {"epochs": x.epochs.mean(), "learned": x.reached.mean(), "rate": x.rate.iloc[0]}
            for (n, scale), x in cells(results).items()
        ]
    )


def slopes(results: Results[Settings], n: int) -> np.ndarray:
    """Points of test accuracy per decade of scale, one per seed, (seeds,)."""
    found = cells(results)
    accuracy = np.stack([100 * found[n, scale].test_accuracy.to_numpy() for scale in SCALES])
    return np.polyfit(np.log10(SCALES), accuracy, 1)[0]


def estimates(results: Results[Settings]) -> dict[str, Estimate]:
    """Of the criteria of C-10."""
    found = {}
    for claim, column in (("C-10a", "test_accuracy"), ("C-10c", "best_test_accuracy")):
        cell = cells(results, learned=claim == "C-10a")
        for n in REGISTERED:
            small, large = cell.get((n, SCALES[0])), cell.get((n, SCALES[-1]))
            found[f"{claim}.{n}"] = (
                claims.unknown()
                if small is None or large is None
                else claims.paired(100 * small[column], 100 * large[column])
            )
    fewest = min(cells(results).values(), key=lambda x: x.reached.mean())
    found["C-10a.learned"] = claims.share(fewest.reached > 0)
    few, many = counts(results.settings)[0], counts(results.settings)[-1]
    found["C-10b.slope"] = claims.paired(slopes(results, few), slopes(results, many))
    return found
