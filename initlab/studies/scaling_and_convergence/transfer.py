"""Half of the classes to learn from, the other half to adapt to: C-11."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd

from initlab import claims
from initlab.claims import Estimate
from initlab.init import At, Compose
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence.ends import ends, mean_with_ends
from initlab.studies.scaling_and_convergence.networks import HE, images, relu_net
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.sweep import Pretrained, Run
from initlab.train import SGD, Budget

HALVES = (0, 1, 2, 3, 4), (5, 6, 7, 8, 9)
RATES = {"small": 0.003, "large": 0.1}
#: Images to adapt to in the registry.
REGISTERED = (10, 30, 100, 300, 1000)


def tuned(s: Settings) -> dict[int, int]:
    """Images to adapt to, and the budget of each in epochs."""
    return {16: 4} if s.smoke else dict(zip(REGISTERED, (200, 200, 100, 50, 25), strict=True))


def heads(s: Settings) -> tuple[float, ...]:
    """Factors on He's standard deviation in the new head; 0 is a head of zeros."""
    return (0.1, 1.0) if s.smoke else (0.0, 0.1, 1.0, 3.0, 10.0)


def source(s: Settings) -> Run:
    """The training that a body comes from, on the first half of the classes."""
    return Run(
        relu_net(s, 3, outputs=5),
        HE,
        data=images(
            s,
            2 * s.samples if s.smoke else min(4 * s.samples, 20_000),
            tests=100 if s.smoke else 1000,
            classes=HALVES[0],
        ),
        optimizer=SGD(lr=0.1),
        budget=Budget(epochs=min(10, s.epochs), batch_size=s.batch_size),
    )


@lru_cache
def runs(s: Settings) -> dict[tuple[int, bool], list[Run]]:
    """Head × rate × seed, by number of images and whether the body is pretrained."""
    before = source(s)
    return {
        (n, known): [
            Run(
                before.model,
                Compose(HE, (At("head", factor=head),)),
                data=images(s, n, tests=100 if s.smoke else 1000, classes=HALVES[1]),
                seed=i,
                optimizer=SGD(lr=rate),
                budget=Budget(epochs=epochs, batch_size=32),
                start=Pretrained(replace(before, seed=i)) if known else None,
            )
            for head in heads(s)
            for rate in RATES.values()
            for i in s.seeds
        ]
        for n, epochs in tuned(s).items()
        for known in (True, False)
    }


@lru_cache(maxsize=4)
def table(results: Results[Settings]) -> pd.DataFrame:
    """One row per training: `images`, `known` body, `head`, `rate`, `seed`, `accuracy` in %."""
    rows = []
    for (n, known), cell in runs(results.settings).items():
        factors = [run.init.exceptions[0].factor for run in cell]  # type: ignore[union-attr]
        rows.append(ends(results, cell).assign(head=factors, images=n, known=known))
    frame = pd.concat(rows, ignore_index=True)
    return frame.assign(accuracy=100 * frame.test_accuracy)


def accuracy(results: Results[Settings], n: int, known: bool, head: float = 1.0) -> np.ndarray:
    """Test accuracy in percent at the better of the two rates, one per seed."""
    x = table(results)
    x = x[(x.images == n) & (x.known == known) & (x["head"] == head)]
    best = x.groupby("rate").accuracy.mean().idxmax()
    return x[x.rate == best].sort_values("seed").accuracy.to_numpy()


def effect_of_head(results: Results[Settings], known: bool, rate: float) -> np.ndarray:
    """Range of accuracy over the scales of the head, mean over numbers of images, one per seed."""
    x = table(results)
    x = x[(x.known == known) & (x.rate == rate)]
    spread = x.groupby(["seed", "images"]).accuracy.agg(np.ptp)
    return spread.groupby("seed").mean().to_numpy()


def frame(results: Results[Settings]) -> pd.DataFrame:
    """Test accuracy after adapting, with its interval, by `images` and `body`."""
    bodies = {True: "pretrained body", False: "random body"}
    return pd.DataFrame(
        [
            {"images": n, "body": name} | mean_with_ends(accuracy(results, n, known))
            for n in tuned(results.settings)
            for known, name in bodies.items()
        ]
    )


def by_head(results: Results[Settings], rate: float) -> pd.DataFrame:
    """Accuracy by `kind` of body and `head` at one rate, for the fewest and the most images.

    `at` is the place of the head's factor on the axis.
    """
    s = results.settings
    x = table(results)
    x = x[(x.rate == rate) & x.images.isin([min(tuned(s)), max(tuned(s))])]
    body = np.where(x.known, "pretrained", "random")
    x = x.assign(kind=pd.Series(body, x.index) + ", " + x.images.astype(str) + " images")
    means = claims.means(x, ["kind", "head"], "accuracy")
    return means.assign(at=[heads(s).index(h) for h in means["head"]])


def estimates(results: Results[Settings]) -> dict[str, Estimate]:
    """Of the criteria of C-11."""
    known = tuned(results.settings)
    found = {
        f"C-11a.{n}": claims.paired(accuracy(results, n, True), accuracy(results, n, False))
        if n in known
        else claims.unknown()
        for n in REGISTERED
    }
    found["C-11b.range"] = claims.paired(
        *(effect_of_head(results, body, RATES["small"]) for body in (True, False))
    )
    return found
