"""Half of the classes to learn from, the other half to adapt to: C-11."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import pandas as pd

from initlab import claims
from initlab.claims import Estimate
from initlab.data import Data
from initlab.init import At, Compose
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence.ends import ends, mean_with_ends
from initlab.studies.scaling_and_convergence.networks import HE, images, relu_net
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.sweep import Pretrained, Run
from initlab.train import SGD, Budget

#: All layers but the head keep their weights and biases.
FROZEN = (At("layer*", rate=0.0), At("layer*.bias", rate=0.0))
HALVES = (0, 1, 2, 3, 4), (5, 6, 7, 8, 9)
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
#: What a body is: where it comes from, and whether it learns.
BODIES = {
    "pretrained": (True, True),
    "random": (False, True),
    "pretrained, frozen": (True, False),
    "random, frozen": (False, False),
}
#: Images to adapt to in the registry.
REGISTERED = (10, 30, 100, 300, 1000)


def tuned(s: Settings) -> dict[int, int]:
    """Images to adapt to, and the budget of each in epochs."""
    return {16: 4} if s.smoke else dict(zip(REGISTERED, (200, 200, 100, 50, 25), strict=True))


def heads(s: Settings) -> tuple[float, ...]:
    """Factors on He's standard deviation in the new head; 0 is a head of zeros."""
    return (0.1, 1.0) if s.smoke else (0.0, 1.0, 10.0)


def sets(s: Settings) -> tuple[str, ...]:
    """Names of the data sets."""
    return tuple(dict.fromkeys((s.dataset, s.other_dataset)))


def pictures(s: Settings, name: str, n: int, classes: tuple[int, ...]) -> Data:
    """Images of some classes."""
    tests = 100 if s.smoke else 1000
    return images(replace(s, dataset=name), n, tests=tests, classes=classes)


def source(s: Settings, name: str, seed: int) -> Run:
    """The training that a body comes from, on the first half of the classes."""
    data = pictures(s, name, 2 * s.samples if s.smoke else 8 * s.samples, HALVES[0])
    return Run(
        relu_net(s, 3, outputs=5),
        HE,
        data=replace(data, subset=seed),
        seed=seed,
        order=seed,
        optimizer=SGD(lr=0.1),
        budget=Budget(epochs=min(20, s.epochs), batch_size=s.batch_size),
    )


@lru_cache
def runs(s: Settings) -> dict[tuple[str, int, str], list[Run]]:
    """Head × rate × seed, by data set, number of images and body."""
    return {
        (name, n, body): [
            Run(
                source(s, name, i).model,
                Compose(HE, (At("head", factor=head), *(() if learns else FROZEN))),
                data=replace(pictures(s, name, n, HALVES[1]), subset=i),
                seed=i,
                order=i,
                optimizer=SGD(lr=rate),
                budget=Budget(epochs=epochs, batch_size=32),
                start=Pretrained(source(s, name, i)) if known else None,
            )
            for head in (heads(s) if learns else heads(s)[:2])
            for rate in (RATES[2:4] if s.smoke else RATES)
            for i in s.with_tuning(s.more_seeds)
        ]
        for name in sets(s)
        for n, epochs in tuned(s).items()
        for body, (known, learns) in BODIES.items()
    }


@lru_cache(maxsize=4)
def table(results: Results[Settings]) -> pd.DataFrame:
    """One row per training: `dataset`, `images`, `body`, `head`, `rate`, `seed`, and `accuracy`
    in percent.
    """
    rows = []
    for (name, n, body), cell in runs(results.settings).items():
        factors = [run.init.exceptions[0].factor for run in cell]  # type: ignore[union-attr]
        rows.append(ends(results, cell).assign(head=factors, dataset=name, images=n, body=body))
    frame = pd.concat(rows, ignore_index=True)
    return frame.assign(accuracy=100 * frame.test_accuracy)


def adapted(
    results: Results[Settings], name: str, n: int, body: str, head: float = 1.0
) -> pd.DataFrame:
    """Test `accuracy` in percent at the `rate` that the choosing seeds found best, by seed."""
    x = table(results)
    x = x[(x.dataset == name) & (x.images == n) & (x.body == body) & (x["head"] == head)]
    tunes = x.seed.isin(results.settings.tuning_seeds)
    best = x[tunes].groupby("rate").accuracy.mean().idxmax()
    return x[~tunes & (x.rate == best)].sort_values("seed")


def frame(results: Results[Settings]) -> pd.DataFrame:
    """Test accuracy after adapting, with its interval, and the tuned rate, by `dataset`, `images`,
    `body` and `head`; `at` is the place of the head's factor on an axis.
    """
    s = results.settings
    rows = []
    for name, n, body in runs(s):
        for head in heads(s) if BODIES[body][1] else heads(s)[:2]:
            x = adapted(results, name, n, body, head)
            rows.append(
                {"dataset": name, "images": n, "body": body, "head": head}
                | {"at": heads(s).index(head), "rate": x.rate.iloc[0]}
                | mean_with_ends(x.accuracy)
            )
    return pd.DataFrame(rows)


def gain(results: Results[Settings], name: str, n: int, suffix: str = "") -> Estimate:
    """Points of accuracy that a pretrained body gives more than a random one."""
    known, random = (
        adapted(results, name, n, f"{body}{suffix}").accuracy for body in ("pretrained", "random")
    )
    return claims.paired(known, random)


def estimates(results: Results[Settings]) -> dict[str, Estimate]:
    """Of the criteria of C-11."""
    s, found = results.settings, {}
    digits, other = s.dataset, s.other_dataset
    for n in REGISTERED:
        known = n in tuned(s)
        found[f"C-11a.{n}"] = gain(results, digits, n) if known else claims.unknown()
        found[f"C-11b.{n}"] = gain(results, digits, n, ", frozen") if known else claims.unknown()
        found[f"C-11d.{n}"] = gain(results, other, n) if known else claims.unknown()
        found[f"C-11c.{n}"] = (
            claims.paired(
                adapted(results, digits, n, "pretrained").accuracy,
                adapted(results, digits, n, "pretrained", heads(s)[-1]).accuracy,
            )
            if known
            else claims.unknown()
        )
    return found
