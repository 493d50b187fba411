"""What the scale does to the signal of deep networks that are not trained, beside theory: C-2."""

from __future__ import annotations

from functools import lru_cache
from math import sqrt

import numpy as np
import pandas as pd

from initlab import init
from initlab.init.contract import Rule
from initlab.measure import Signal, meanfield
from initlab.models import MLP
from initlab.spec import key
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence.networks import HE, gain
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.sweep import Run

#: Activations of C-2 and of C-12.
ACTIVATIONS = ("relu", "tanh", "sigmoid", "gelu", "silu", "selu")
OTHERS = ("gelu", "silu", "mish", "elu", "selu", "sine", "abs")
RULES: dict[str, Rule] = {
    "He": HE,
    "Glorot": init.GlorotNormal(),
    "LeCun": init.LecunNormal(),
    "PyTorch default": init.TorchDefault(),
}
#: Beyond this spread of M between networks, Var M/(E M)², two orders are not enough.
SPREAD = 0.3

Pair = tuple[str, str]


def width(s: Settings) -> int:
    """Units of a layer."""
    return s.width if s.smoke else 100


def net(s: Settings, activation: str, times: int = 1, depth: int | None = None) -> MLP:
    """A deep network without a head, `times` as wide as usual."""
    n = times * width(s)
    return MLP.constant(depth or s.signal_depth, n, inputs=n, outputs=None, activation=activation)


@lru_cache
def runs(s: Settings) -> dict[Pair, Run]:
    """The networks of every pair of activation and rule; "√2" is He's rule, "gain" its own."""
    named: dict[str, dict[str, Rule]] = {a: RULES | {"gain": gain(a)} for a in ACTIVATIONS}
    named |= {a: named.get(a, {}) | {"√2": HE, "gain": gain(a)} for a in OTHERS}
    pairs = [(a, n, rule) for a, rules in named.items() for n, rule in rules.items()]
    return {
        (a, n): Run(
            net(s, a),
            rule,
            networks=max(2, s.networks // 2),
            measure=Signal(),
            seed=s.seeds.start + i,
        )
        for i, (a, n, rule) in enumerate(pairs)
    }


def expected_ratios(name: str, variance: float, mean: float, mean_square: float) -> np.ndarray:
    """Ratios between neighbouring layers that mean-field theory expects, to second order.

    Args:
        name: of the activation.
        variance: of a weight times the fan-in.
        mean: of M_(j−1), the mean square of a layer's activations, over networks.
        mean_square: of M_(j−1) squared.

    Returns:
        M_j/M_(j−1), and D_(j−1)/D_j of the gradients, (2,).
    """

    def at(M: float) -> np.ndarray:
        q = variance * M
        return np.array(
            [
                float(meanfield.mean_square(name, q)) / M,
                variance * float(meanfield.mean_square_slope(name, q)),
            ]
        )

    spread = max(0.0, mean_square / mean**2 - 1)
    step = 0.02
    middle = at(mean)
    curved = (at(mean * (1 + step)) - 2 * middle + at(mean * (1 - step))) / step**2
    return middle + 0.5 * spread * curved


@lru_cache(maxsize=4)
def _layers(results: Results[Settings]) -> pd.DataFrame:
    """All statistics of all networks by (key, layer)."""
    keys = {key(r) for r in runs(results.settings).values()}
    rows = results.frame[results.frame.key.isin(keys)]
    return rows.pivot(index=["key", "layer"], columns="statistic", values="value")


def layers_of(results: Results[Settings], run: Run) -> pd.DataFrame:
    """The layers of one kind of network: moments over networks of M and D, by `layer`."""
    return _layers(results).loc[key(run)]


def _ratios(results: Results[Settings], pair: Pair, run: Run) -> list[dict]:
    """Measured and expected ratios of one kind of network, forward and backward.

    The standard error takes the ratios of different layers as uncorrelated: for ReLU they are,
    given the layer below.
    """
    at = layers_of(results, run)
    assert isinstance(run.model, MLP)
    n, depth = run.model.widths[0], run.model.depth
    variance = run.init.variance(init.Fans(n, n)) * n  # type: ignore[union-attr]
    spread = at.forward_mean_square / at.forward_mean**2 - 1
    layers = [j for j in range(1, depth + 1) if spread[j - 1] <= SPREAD]
    moments = [(at.forward_mean[j - 1], at.forward_mean_square[j - 1]) for j in layers]
    expected = np.array([expected_ratios(pair[0], variance, *m) for m in moments])
    rows = []
    for way, column, at_layer in (
        ("forward", 0, layers),
        ("backward", 1, [j - 1 for j in layers]),
    ):
        ratio = at[f"{way}_ratio_mean"].loc[at_layer].to_numpy()
        square = at[f"{way}_ratio_mean_square"].loc[at_layer].to_numpy()
        error = np.sqrt(np.clip(square - ratio**2, 0, None) / (run.networks - 1))
        rows.append(
            {
                "activation": pair[0],
                "rule": pair[1],
                "way": way,
                "layers": len(layers),
                "measured": ratio.mean(),
                "expected": expected[:, column].mean(),
                "error": sqrt((error**2).sum()) / len(ratio),
            }
        )
    return rows


@lru_cache(maxsize=4)
def ratios(results: Results[Settings]) -> pd.DataFrame:
    """Every pair of activation and rule, forward and backward.

    Returns:
        Columns `activation`, `rule`, `way`, `layers` that are compared, the ratio of the mean
        square per layer `measured` and `expected`, and the standard `error`.
    """
    named = runs(results.settings)
    return pd.DataFrame([row for pair, run in named.items() for row in _ratios(results, pair, run)])


def forward_curves(results: Results[Settings], activation: str) -> pd.DataFrame:
    """Mean square of the activations at every tenth of the depth, for each rule."""
    found = []
    for rule in (*RULES, "gain"):
        run = runs(results.settings)[activation, rule]
        at = layers_of(results, run).reset_index().assign(rule=rule)
        found.append(at[at.layer % max(1, results.settings.signal_depth // 10) == 0])
    return pd.concat(found)
