"""Can a criterion decide? Simulated repetitions of its estimate."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from scipy import stats

from initlab.claims.estimates import ERROR, share
from initlab.claims.registry import Criterion

#: Repetitions of a simulation.
REPETITIONS = 4000
#: Met as often as this if the claim is true, and at most so often if it is false.
ENOUGH, TOO_OFTEN = 0.8, 0.05


@dataclass(frozen=True)
class Chances:
    """How often a criterion comes out in one way: shares of simulated repetitions."""

    met_if_true: float
    met_if_wrong: float
    refuted_if_wrong: float


def chances(criterion: Criterion, members: int = 1) -> Chances:
    """Simulate a criterion's outcomes as its `power` describes its estimate.

    Args:
        criterion: with `power`.
        members: of its family; the interval is Bonferroni's, which is at most as narrow as Holm's.

    Raises:
        ValueError: for a criterion without `power`.
    """
    if criterion.power is None:
        raise ValueError(f"{criterion.id} has no power entry, so that nothing can be simulated")
    low, high = _intervals(criterion, criterion.power.truth, ERROR / members)
    met = _within(criterion, low, high)
    low, high = _intervals(criterion, criterion.power.wrong, ERROR / members)
    out = (high < criterion.low) | (low > criterion.high)
    return Chances(
        float(met.mean()), float(_within(criterion, low, high).mean()), float(out.mean())
    )


def _within(criterion: Criterion, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return (criterion.low <= low) & (high <= criterion.high)


def _intervals(criterion: Criterion, at: float, error: float) -> tuple[np.ndarray, np.ndarray]:
    """Intervals of simulated replicates with the true value `at`: two arrays (REPETITIONS,)."""
    power = criterion.power
    assert power is not None
    rng = np.random.default_rng(0)
    if power.kind == "share":
        counts = rng.binomial(power.n, at, REPETITIONS)
        known = {
            k: share([True] * k + [False] * (power.n - k)).interval(error) for k in set(counts)
        }
        ends = np.array([known[k] for k in counts])
        return ends[:, 0], ends[:, 1]
    centre = log(at) if power.kind == "log" else at
    values = centre + power.sd * rng.standard_normal((REPETITIONS, power.n))
    reach = stats.t.ppf(1 - error / 2, power.n - 1) * values.std(1, ddof=1) / sqrt(power.n)
    low, high = values.mean(1) - reach, values.mean(1) + reach
    return (np.exp(low), np.exp(high)) if power.kind == "log" else (low, high)


def smallest_n(criterion: Criterion, most: int = 1000) -> int | None:
    """The fewest replicates with which the criterion would have enough power; None above `most`.

    >>> from initlab.claims.registry import Power
    >>> power = Power(kind="mean", n=5, truth=0.0, wrong=1.0, sd=1.0)
    >>> k = Criterion(id="x", what="x", bound_by="ours", part="necessary", high=0.5, power=power)
    >>> smallest_n(k)
    34
    """
    from dataclasses import replace

    n = 2
    while n <= most:
        assert criterion.power is not None
        tried = replace(criterion, power=replace(criterion.power, n=n))
        if chances(tried).met_if_true >= ENOUGH:
            return n
        n = max(n + 1, int(n * exp(0.05)))
    return None
