"""Which rules keep the mean square of the activations level, judged network by network: C-2."""

from __future__ import annotations

from functools import lru_cache
from math import sqrt

import numpy as np
import pandas as pd

from initlab import claims, init
from initlab.claims import Estimate
from initlab.init import At, Compose
from initlab.init.contract import Rule, Scheme
from initlab.measure import SecondMoments, Signal
from initlab.models import MLP
from initlab.spec import key
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence.networks import HE, gain
from initlab.studies.scaling_and_convergence.pooled import from_moments
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.studies.scaling_and_convergence.signal import net, width
from initlab.sweep import Run

#: Activations whose mean square theory has pulled back to a fixed point, and pushed away from it.
HELD, PUSHED = ("tanh", "sigmoid", "selu"), ("gelu", "silu")
#: Layers in which tanh is followed, and the first few in which Xavier's rule is judged.
FOLLOWED, FEW = (50, 100, 200), 10
#: Networks of ReLU as a multiple of the usual: their mean is that of rare large ones.
MORE = 5
#: A mean square within this factor counts as kept: two percent a layer over fifty layers.
KEPT = float(np.e)


def _seed(s: Settings, kind: int) -> int:
    """Of the networks of a kind: no two kinds share theirs."""
    return s.seeds.start + 100 * kind


def _ends(s: Settings, kind: int, model: MLP, rule: Rule | Scheme, times: int = 1) -> Run:
    """Networks of one kind, of which the last layer is looked at, one by one."""
    measure = Signal(layers="last", reduce=False)
    return Run(model, rule, networks=times * s.networks, measure=measure, seed=_seed(s, kind))


def level(activation: str) -> Compose:
    """The gain of an activation, and a first layer with pre-activations of variance 1, for which
    the gain is made, from inputs of mean square 1.
    """
    return Compose(gain(activation), (At("first", factor=round(1 / init.gain(activation), 9)),))


@lru_cache
def kept(s: Settings) -> dict[str, Run]:
    """Networks from the gain of their activation; for ReLU that is He's rule."""
    found = {"relu": _ends(s, 1, net(s, "relu"), HE, MORE)}
    others = enumerate((*HELD, *PUSHED), 2)
    return found | {a: _ends(s, kind, net(s, a), level(a)) for kind, a in others}


@lru_cache
def xavier(s: Settings) -> Run:
    """The first few layers of tanh from Xavier's rule."""
    few = net(s, "tanh", depth=min(FEW, s.signal_depth))
    return _ends(s, 8, few, init.GlorotNormal())


def followed(s: Settings) -> tuple[int, ...]:
    """The layers at which the decay of tanh is looked at."""
    return tuple(s.signal_depth * layer // FOLLOWED[0] for layer in FOLLOWED)


@lru_cache
def decaying(s: Settings) -> Run:
    """Many layers of tanh from Xavier's rule, four times as wide as usual.

    Its inputs have norm 1; the factor on the first layer makes that a mean square of 1.
    """
    model = net(s, "tanh", 4, followed(s)[-1])
    rule = Compose(init.GlorotNormal(), (At("first", factor=round(sqrt(4 * width(s)), 9)),))
    measure = SecondMoments(layers="all", reduce=True)
    return Run(model, rule, networks=max(2, s.networks // 2), measure=measure, seed=_seed(s, 9))


def runs(s: Settings) -> list[Run]:
    """All networks of this module."""
    return [*kept(s).values(), xavier(s), decaying(s)]


def last(results: Results[Settings], run: Run) -> np.ndarray:
    """Mean square of the last layer's activations, that of the inputs being 1: (networks,)."""
    frame = results.frame
    rows = frame[(frame.key == key(run)) & (frame.statistic == "forward") & (frame.layer > 0)]
    return rows.sort_values("network").value.to_numpy(float)


def relative(results: Results[Settings], activation: str) -> np.ndarray:
    """The last layer's mean square over the one that is expected of the first, (networks,)."""
    at_first = 1.0 if activation == "relu" else 1 / init.gain(activation) ** 2
    return last(results, kept(results.settings)[activation]) / at_first


def stays(x: np.ndarray) -> np.ndarray:
    """Which of these ratios of mean squares are kept, to a factor of e."""
    return (x >= 1 / KEPT) & (x <= KEPT)


def spread(results: Results[Settings]) -> pd.DataFrame:
    """Where the mean square of single networks ends, by `activation`.

    Returns:
        The share that `stays` within a factor of e of the first layer's with its interval, and the
        `median`, the `tenth` and the `ninetieth` percentile of the last layer's over the first's.
    """
    rows = []
    for a in kept(results.settings):
        x = relative(results, a)
        share = claims.share(stays(x))
        low, high = share.interval()
        tenth, median, ninetieth = np.quantile(x, [0.1, 0.5, 0.9])
        rows.append(
            {"activation": a, "networks": len(x), "stays": share.value, "low": low, "high": high}
            | {"tenth": tenth, "median": median, "ninetieth": ninetieth}
        )
    return pd.DataFrame(rows)


def ends(results: Results[Settings]) -> pd.DataFrame:
    """The last layer's mean square over the first's of every network, by `activation`, as `value`,
    and its `rank` among them from 0 to 1.
    """
    found = []
    for a in kept(results.settings):
        x = np.sort(relative(results, a))
        rank = (np.arange(len(x)) + 0.5) / len(x)
        found.append(pd.DataFrame({"activation": a, "rank": rank, "value": x}))
    return pd.concat(found, ignore_index=True)


def decay(results: Results[Settings]) -> pd.DataFrame:
    """Mean over networks of tanh's mean square M_l in each layer l, and 2 l M_l.

    Returns:
        Columns `layer`, `mean`, `error`, and the product as `times` with its interval.
    """
    run = decaying(results.settings)
    rows = results.frame[results.frame.key == key(run)]
    at = rows.pivot(index="layer", columns="statistic", values="value").loc[1:].reset_index()
    at["error"] = np.sqrt((at.mean_square - at["mean"] ** 2).clip(lower=0) / (run.networks - 1))
    products = [
        from_moments(2 * row.layer * row["mean"], 2 * row.layer * row.error, run.networks)
        for _, row in at.iterrows()
    ]
    ends = np.array([e.interval() for e in products])
    return at[["layer", "mean", "error"]].assign(
        times=[e.value for e in products], low=ends[:, 0], high=ends[:, 1]
    )


def per_layer(M: np.ndarray, depth: int) -> Estimate:
    """Mean over networks of the last layer's mean square over the first's, to the power 1/depth."""
    return claims.bca(lambda x: x.mean(-1) ** (1 / depth), M, vectorized=True)


def estimates(results: Results[Settings]) -> dict[str, Estimate]:
    """Of the criteria of C-2 about levels."""
    s = results.settings
    few = xavier(s)
    found = {
        "C-2a.relu-he": per_layer(relative(results, "relu"), s.signal_depth),
        "C-2b.tanh-xavier": per_layer(last(results, few), few.model.depth),  # type: ignore[union-attr]
    }
    n = decaying(s).networks
    at = decay(results).set_index("layer")
    for name, layer in zip(FOLLOWED, followed(s), strict=True):
        times = 2 * layer * at.loc[layer]
        found[f"C-2c.{name}"] = from_moments(times["mean"], times["error"], n)
    for claim, some in (("C-2d", HELD), ("C-2e", PUSHED)):
        for a in some:
            found[f"{claim}.{a}"] = claims.share(stays(relative(results, a)))
    return found
