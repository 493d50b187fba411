"""Every kind of interval holds the true number about as often as it says, at the n in use."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log

import numpy as np
import pytest
from scipy import stats

from initlab import claims
from initlab.claims import Estimate
from initlab.claims.estimates import FEWEST

Make = Callable[[np.random.Generator, int], Estimate]


def covered(make: Make, n: int, truth: float, repetitions: int) -> float:
    """Share of simulated intervals that hold the true number."""
    rng = np.random.default_rng(n)
    held = 0
    for _ in range(repetitions):
        low, high = make(rng, n).interval()
        held += low <= truth <= high
    return held / repetitions


def skewed(rng: np.random.Generator, n: int, mean: float = 1.0, sigma: float = 0.3) -> np.ndarray:
    """Lognormal times, as epochs to a target are, of this mean."""
    return mean * np.exp(sigma * rng.standard_normal(n) - sigma**2 / 2)


def pairs(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    common = rng.normal(0, 3, n)
    return common + rng.normal(1, 1, n), common + rng.normal(0, 1, n)


CLOSED: dict[str, tuple[Make, float]] = {
    "mean": (lambda g, n: claims.mean(g.normal(3, 2, n)), 3.0),
    "paired": (lambda g, n: claims.paired(*pairs(g, n)), 1.0),
    "difference": (
        lambda g, n: claims.difference(g.normal(1, 1, n), g.normal(0, 3, 2 * n)),
        1.0,
    ),
    "ratio": (lambda g, n: claims.ratio(skewed(g, n, 2.0), skewed(g, n)), 2.0),
    "paired ratio": (
        lambda g, n: claims.ratio(2 * (x := skewed(g, n)) * skewed(g, n, sigma=0.1), x, pairs=True),
        2.0,
    ),
    "geometric mean": (
        lambda g, n: claims.geometric_mean(np.exp(g.normal(log(2), 1, n))),
        2.0,
    ),
    "restricted mean": (
        lambda g, n: claims.restricted_mean(g.uniform(0, 2, n), horizon=1.5),
        float(np.minimum(np.linspace(0, 2, 200_001), 1.5).mean()),
    ),
    "restricted difference": (
        lambda g, n: claims.restricted_difference(g.uniform(0, 2, n), g.uniform(0, 1, n), 1.5),
        float(np.minimum(np.linspace(0, 2, 200_001), 1.5).mean()) - 0.5,
    ),
}


@pytest.mark.parametrize("n", [5, 10, 20, 100])
@pytest.mark.parametrize("kind", CLOSED)
def test_intervals_by_formula_cover(kind, n):
    if kind.startswith("restricted") and n < FEWEST:
        pytest.skip("censored times have no interval with so few replicates")
    make, truth = CLOSED[kind]
    assert 0.93 <= covered(make, n, truth, 4000) <= 0.97


def correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = (a - a.mean(-1, keepdims=True) for a in (x, y))
    return (x * y).sum(-1) / np.sqrt((x**2).sum(-1) * (y**2).sum(-1))


def related(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    x = rng.normal(size=n)
    return x, 0.6 * x + 0.8 * rng.normal(size=n)


def slopes(rng: np.random.Generator, n: int) -> np.ndarray:
    """Four depths that share the draws of a replicate, (4, n), with a slope of one per depth."""
    return np.arange(4)[:, None] + rng.normal(size=n) + 0.5 * rng.normal(size=(4, n))


def slope(y: np.ndarray) -> np.ndarray:
    x = np.arange(4) - 1.5
    return (y.mean(-1) * x).sum(-1) / (x**2).sum()


RESAMPLED: dict[str, tuple[Make, float]] = {
    "mean": (
        lambda g, n: claims.bca(
            lambda x: x.mean(-1), g.normal(size=n), vectorized=True, resamples=399
        ),
        0.0,
    ),
    "ratio of two samples": (
        lambda g, n: claims.bca(
            lambda x, y: x.mean(-1) / y.mean(-1),
            skewed(g, n, 2.0),
            skewed(g, n),
            vectorized=True,
            resamples=399,
        ),
        2.0,
    ),
    "correlation": (
        lambda g, n: claims.bca(
            correlation, *related(g, n), pairs=True, vectorized=True, resamples=399
        ),
        0.6,
    ),
    "slope over clusters": (
        lambda g, n: claims.bca(slope, slopes(g, n), vectorized=True, resamples=399),
        1.0,
    ),
}


@pytest.mark.parametrize("n", [10, 20])
@pytest.mark.parametrize("kind", RESAMPLED)
def test_resampled_intervals_cover(kind, n):
    make, truth = RESAMPLED[kind]
    assert 0.93 <= covered(make, n, truth, 1000) <= 0.97


@pytest.mark.parametrize("n", [8, 10, 20])
def test_sign_flips_cover(n):
    def make(g: np.random.Generator, n: int) -> Estimate:
        return claims.sign_flips(1 + g.standard_t(3, n))

    assert 0.93 <= covered(make, n, 1.0, 1000) <= 0.97


@pytest.mark.parametrize("n", [10, 20, 100])
def test_shares_cover_on_average(n):
    """Over all rates; at a single one Wilson's interval swings with the grid of k/n."""
    rates = np.linspace(0.02, 0.98, 97)
    ends = np.array([claims.share([True] * k + [False] * (n - k)).interval() for k in range(n + 1)])
    inside = (ends[:, :1] <= rates) & (rates <= ends[:, 1:])
    chances = stats.binom.pmf(np.arange(n + 1)[:, None], n, rates)
    assert 0.93 <= (inside * chances).sum(0).mean() <= 0.97


@pytest.mark.parametrize("n", [10, 20])
def test_differences_of_shares_cover_on_average(n):
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(2000):
        p, q = rng.uniform(0.05, 0.95, 2)
        low, high = claims.share_difference(rng.random(n) < p, rng.random(n) < q).interval()
        held += low <= p - q <= high
    assert 0.93 <= held / 2000 <= 0.97


@pytest.mark.parametrize(
    "estimate",
    [
        claims.mean([0.3, 1.2, -0.5, 2.0]),
        claims.ratio([1.0, 2.0, 1.5], [0.5, 0.7, 0.9]),
        claims.geometric_mean([1.0, 2.0, 4.0]),
        claims.share([True, False, True, True]),
        claims.share_difference([True] * 7 + [False], [False] * 5),
        claims.bca(np.median, np.arange(20.0)),
        claims.sign_flips(np.arange(-3.0, 9.0)),
    ],
)
def test_a_smaller_error_gives_a_wider_interval_around_the_value(estimate):
    ends = [estimate.interval(error) for error in (0.2, 0.05, 0.01)]
    assert all(low <= estimate.value <= high for low, high in ends)
    assert ends[2][0] <= ends[1][0] <= ends[0][0] < ends[0][1] <= ends[1][1] <= ends[2][1]


def test_intervals_on_the_logarithmic_scale_stay_positive():
    low, high = claims.ratio([1.0, 100.0], [1.0, 90.0]).interval()
    assert 0 < low < 1 < high
    assert claims.geometric_mean([1.0, exp(1)]).interval(0.001)[0] > 0


@pytest.mark.parametrize(
    "estimate",
    [
        claims.mean([1.0]),
        claims.difference([1.0], [1.0, 2.0]),
        claims.bca(np.mean, [1.0, 2.0, 3.0, 4.0, 5.0]),
        claims.sign_flips([1.0, 2.0, 3.0]),
        claims.restricted_mean([5.0, 5.0, 9.0], horizon=5.0),
        claims.restricted_mean([1.0, 2.0, 9.0], horizon=5.0),
        claims.restricted_difference([1.0, 9.0], [2.0, 3.0], horizon=5.0),
        claims.restricted_difference([5.0, 5.0], [9.0, 7.0], horizon=5.0),
        claims.restricted_difference([5.0, 5.0], [9.0, 7.0], horizon=5.0, pairs=True),
        claims.unknown(1.0),
    ],
)
def test_too_little_gives_no_interval(estimate):
    assert estimate.interval() == (-np.inf, np.inf)
    assert not estimate.exact


def test_a_tie_at_the_horizon_does_not_count_as_equal():
    x, y = np.array([1.0, 2.0, *[9.0] * 8]), np.array([2.0, 4.0, *[9.0] * 8])
    tied = claims.restricted_difference(x, y, 9.0, pairs=True)
    assert (tied.value, tied.n) == (-1.5, 2)


@pytest.mark.parametrize("pairs", [True, False])
def test_one_that_always_arrives_is_earlier_than_one_that_never_does(pairs):
    """Of few replicates, too: what is not known of the other makes the difference larger."""
    times = [2.0, 3.0, 2.5, 4.0, 3.5]
    found = claims.restricted_difference(times, [99.0] * 5, 10.0, pairs=pairs)
    low, high = found.interval()
    assert found.value == -7.0 and low < -7 < high < 0


def test_resamples_are_the_same_looped_and_vectorized():
    x, y = np.arange(12.0), np.sqrt(np.arange(12.0))
    fast = claims.bca(correlation, x, y, pairs=True, vectorized=True, resamples=200)
    slow = claims.bca(correlation, x, y, pairs=True, resamples=200)
    assert fast.interval() == pytest.approx(slow.interval(), abs=0.02)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: claims.mean([]), "one number per replicate"),
        (lambda: claims.mean([[1.0, 2.0]]), r"not of shape \(1, 2\)"),
        (lambda: claims.paired([1.0], [1.0, 2.0]), "pairs need"),
        (lambda: claims.ratio([1.0, -3.0], [1.0, 2.0]), "positive means"),
        (lambda: claims.geometric_mean([0.0, 1.0]), "positive numbers"),
        (lambda: claims.share([]), "one value or more"),
        (lambda: claims.bca(np.mean), "samples of one replicate or more"),
        (lambda: claims.restricted_mean([1.0], 0.0), "a horizon is a time > 0"),
    ],
)
def test_what_has_no_interval_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
