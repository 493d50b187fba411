"""How the best learning rate moves with the width, with μP and without: C-16."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from initlab import claims
from initlab.claims import Estimate
from initlab.init import MuP
from initlab.init.contract import Rule, Scheme
from initlab.spec import key
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence.mup import widths
from initlab.studies.scaling_and_convergence.networks import HE, relu_net, trained
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.sweep import Run
from initlab.train import Adam, Budget

#: Hidden layers, and epochs of every training.
DEPTH, EPOCHS = 3, 3


def rates(s: Settings) -> tuple[float, ...]:
    """Two in a decade."""
    if s.smoke:
        return (1e-3, 1e-2)
    return (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)


def rules(s: Settings) -> dict[str, Rule | Scheme]:
    """What is compared; in the narrowest networks the two are one."""
    return {"He": HE, "μP": MuP(base_width=widths(s)[0])}


@lru_cache
def runs(s: Settings) -> dict[tuple[str, int], list[Run]]:
    """Every rate and seed, by rule and width."""
    budget = Budget(epochs=min(EPOCHS, s.epochs), batch_size=s.batch_size)
    optimizers = [Adam(lr=rate) for rate in rates(s)]
    return {
        (name, n): trained(
            s,
            relu_net(s, DEPTH, n),
            [rule],
            optimizers=optimizers,
            budget=budget,
            seeds=s.more_seeds,
        )
        for name, rule in rules(s).items()
        for n in widths(s)
    }


@lru_cache(maxsize=4)
def losses(results: Results[Settings]) -> dict[tuple[str, int], np.ndarray]:
    """Training loss at the end, (rates, seeds), by rule and width."""
    s = results.settings
    loss = results.frame[results.frame.statistic == "train_loss"].set_index("key").value
    loss = loss.where(np.isfinite(loss), np.inf)
    return {
        cell: loss.loc[[key(r) for r in some]].to_numpy(float).reshape(len(rates(s)), -1)
        for cell, some in runs(s).items()
    }


def lowest(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where y is least, by the parabola through its least value and the two beside it.

    Args:
        x: rising, (k,).
        y: (…, k).

    Returns:
        One number for each row of y; an end of x where y is least there.
    """
    at = np.asarray(y.argmin(-1))
    middle = at.clip(1, len(x) - 2)
    left, centre, right = (
        np.take_along_axis(y, (middle + d)[..., None], -1)[..., 0] for d in (-1, 0, 1)
    )
    before, after = x[middle] - x[middle - 1], x[middle + 1] - x[middle]
    falls, rises = (centre - left) / before, (right - centre) / after
    with np.errstate(divide="ignore", invalid="ignore"):
        # The slopes in the middle of both stretches are known: it is zero between the two.
        top = x[middle] - before / 2 - falls * (before + after) / 2 / (rises - falls)
    return np.where(at == middle, top, x[at])


def _best(results: Results[Settings], losses: np.ndarray) -> np.ndarray:
    """log2 of the rate with the least mean over seeds of the log loss; (…, rates, seeds)."""
    return lowest(np.log2(rates(results.settings)), np.log(losses).mean(-1))


def best(results: Results[Settings], rule: str, n: int) -> Estimate:
    """The best rate of one rule and width."""

    def rate(y: np.ndarray) -> np.ndarray:
        return 2.0 ** _best(results, y)

    return claims.bca(rate, losses(results)[rule, n], vectorized=True)


def frame(results: Results[Settings]) -> pd.DataFrame:
    """Best rate by `rule` and `width`, as `mean` with its interval."""
    rows = []
    for rule, n in losses(results):
        found = best(results, rule, n)
        low, high = found.interval()
        rows.append({"rule": rule, "width": n, "mean": found.value, "low": low, "high": high})
    return pd.DataFrame(rows)


def by_rate(results: Results[Settings]) -> pd.DataFrame:
    """Training loss by `rule`, `width` and `rate`: geometric mean over seeds, with its interval."""
    rows = []
    for (rule, n), y in losses(results).items():
        for rate, x in zip(rates(results.settings), y, strict=True):
            found = claims.geometric_mean(x)
            low, high = found.interval()
            where = {"rule": rule, "width": n, "rate": rate}
            rows.append(where | {"mean": found.value, "low": low, "high": high})
    return pd.DataFrame(rows)


def moved(results: Results[Settings], rule: str) -> Estimate:
    """The best rate of the widest networks over that of the narrowest."""
    narrow, *_, wide = widths(results.settings)

    def factor(y: np.ndarray, z: np.ndarray) -> np.ndarray:
        return 2.0 ** (_best(results, z) - _best(results, y))

    found = losses(results)
    return claims.bca(factor, found[rule, narrow], found[rule, wide], vectorized=True)


def cost(results: Results[Settings], rule: str) -> Estimate:
    """The widest networks' loss at the rate that is best for the narrowest, over that at their own.

    Both are rates of the grid, those of the least mean log loss over seeds.
    """
    narrow, *_, wide = widths(results.settings)
    y, z = losses(results)[rule, narrow], losses(results)[rule, wide]
    borrowed, own = (int(np.log(x).mean(1).argmin()) for x in (y, z))
    return claims.geometric_mean(z[borrowed] / z[own])


def estimates(results: Results[Settings]) -> dict[str, Estimate]:
    """Of the criteria of C-16."""
    return {
        "C-16a.he": moved(results, "He"),
        "C-16b.mup": moved(results, "μP"),
        "C-16c.mup": cost(results, "μP"),
        "C-16d.he": cost(results, "He"),
    }
