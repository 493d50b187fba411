"""Frames of networks at initialization: mean squares by depth, their spread, dead layers."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pandas as pd
from scipy.ndimage import uniform_filter

from initlab import claims, init
from initlab.measure import theory
from initlab.studies.contract import Results
from initlab.studies.how_to_start_training.drawn import spread_depths
from initlab.studies.how_to_start_training.frames import eta, family_names, log_means
from initlab.studies.how_to_start_training.parts import BIASED, FAMILIES
from initlab.studies.how_to_start_training.settings import Settings

#: The first layer sees the image itself, which is no output of a ReLU.
SECOND = 2


def ratios(frame: pd.DataFrame) -> pd.DataFrame:
    """M_d/M_0 of every network: the mean square of its last layer over that of its input."""
    last = frame[frame.layer > 0].set_index(["key", "network"])
    first = frame[frame.layer == 0].set_index(["key", "network"]).value
    return last.assign(value=last.value / first.reindex(last.index)).reset_index()


def square_ratios(results: Results[Settings]) -> pd.DataFrame:
    """M_d/M_0 of every network of Figure 1a."""
    return ratios(results.of("square_nets", "second_moment"))


def conv_growth(results: Results[Settings]) -> pd.Series:
    """Mean over layers from 2 on of log10 E[M_j/M_(j−1)] of the deepest ConvNets, by `init` and
    `seed`.
    """
    frame = results.of("conv_layers", "ratio_mean")
    frame = frame[frame.layer >= SECOND]
    decades = np.log10(frame.value).rename("value")
    return decades.groupby([frame.init, frame.seed], sort=False).mean()


def decades(label: str, fan: int = 100) -> float:
    """log10 of half of weight variance times fan-in, of the initializer of this label."""
    rule = next(r for r in init.RULES.values() if r.label == label)
    assert isinstance(rule, init.Rule)
    return theory.growth_per_layer(rule.variance(init.Fans(fan, fan)), fan)


def even_padding(side: int, depth: int) -> float:
    """Decades per layer that zero padding takes from an even image, from layer 2 to `depth`.

    With weights of variance 2/fan-in and 3 × 3 kernels the expected square at a position is the
    mean of the nine expected squares around it, of which those outside of the image are zero.

    >>> round(even_padding(32, 100), 4)
    -0.004
    """
    expected = np.ones((side, side))
    means = []
    for _ in range(depth):
        expected = uniform_filter(expected, 3, mode="constant")
        means.append(expected.mean())
    return float(np.log10(means[-1] / means[SECOND - 2]) / (depth - SECOND + 1))


def figure_4_layers(results: Results[Settings]) -> pd.DataFrame:
    """The same over all layers, and what half of weight variance times fan-in says.

    Returns:
        By `initializer`: decades per layer, `mean` over seeds with its interval, `theory`, that of
        a network without padding, and `padding`, their difference.
    """
    found = claims.means(conv_growth(results).reset_index(), ["init"])
    found["theory"] = [decades(label) for label in found.init]
    found["padding"] = found["mean"] - found.theory
    return found.rename(columns={"init": "initializer"})


def _by_depth(frame: pd.DataFrame) -> pd.DataFrame:
    found = log_means(frame, ["init", "model.depth"])
    return found.rename(columns={"init": "initializer", "model.depth": "depth", "n": "networks"})


def figure_1a(results: Results[Settings]) -> pd.DataFrame:
    """Mean and median over networks of M_d/M_0, by initializer and depth."""
    return _by_depth(square_ratios(results))


def figure_4(results: Results[Settings]) -> pd.DataFrame:
    """Mean and median over networks of a ConvNet's M_d, by initializer and depth."""
    lengths = results.of("conv_nets", "second_moment")
    return _by_depth(lengths[lengths.layer > 0])


def residual_ratios(results: Results[Settings]) -> pd.DataFrame:
    """E M_l/M_0 of residual networks, estimated by each seed.

    Returns:
        Columns `matrices` of a module, `b`, `seed`, `modules` and `value`.
    """
    deep = results.of("residual", "mean")
    first = deep[deep.layer == 0].set_index("key").value
    deep = deep.assign(value=deep.value / first.reindex(deep.key).to_numpy())
    names = {"model.matrices": "matrices", "model.scales": "b", "layer": "modules"}
    return deep.rename(columns=names)[["matrices", "b", "seed", "modules", "value"]]


def figure_2a(results: Results[Settings]) -> pd.DataFrame:
    """Mean over seeds of E M_l/M_0, every twentieth of the depth."""
    step = max(1, max(results.settings.modules) // 20)
    shown = residual_ratios(results)
    shown = shown[shown.modules % step == 0]
    shown = shown.assign(eta=shown.b.map(eta))
    return log_means(shown, ["matrices", "b", "eta", "modules"]).sort_values(
        ["matrices", "b", "modules"], ascending=[True, False, True]
    )


def spread_seeds(results: Results[Settings]) -> pd.DataFrame:
    """E V̂ar[M]/M_0² of the families' networks, estimated by each seed; M_0 = 1/n_0."""
    frame = results.of("family_nets")
    frame = frame[frame.statistic.isin(["variance_mean", "variance_median"])]
    texts = frame["model.widths"]
    first = texts.str.split("-").str[0].astype(int)
    return frame.assign(
        family=texts.map(family_names(results.settings)), value=frame.value * first**2
    )


def spread(results: Results[Settings]) -> pd.DataFrame:
    """Failure mode 2, measured and exact.

    Returns:
        For each family and depth the mean over seeds of E V̂ar[M]/M_0² with its interval, `exact`,
        `reciprocal`, which is Σ 1/n, and `typical`, V̂ar of the median network.
    """
    by = ["family", "model.depth", "model.widths"]
    frame = spread_seeds(results)
    found = log_means(frame[frame.statistic == "variance_mean"], by)
    typical = frame[frame.statistic == "variance_median"].groupby(by).value.mean()
    widths = [tuple(map(int, text.split("-"))) for text in found["model.widths"]]
    found["exact"] = [theory.expected_empirical_variance(w) for w in widths]
    found["reciprocal"] = [sum(1 / n for n in w) for w in widths]
    found["typical"] = typical.reindex(pd.MultiIndex.from_frame(found[by])).to_numpy()
    return found.sort_values(["family", "model.depth"])


def exact_spread(settings: Settings) -> pd.DataFrame:
    """E V̂ar[M]/M_0² of the families at every even depth, exactly."""
    return pd.DataFrame(
        [
            {"family": name, "depth": d, "exact": theory.expected_empirical_variance(widths(d))}
            for name, widths in FAMILIES.items()
            for d in range(2, max(spread_depths(settings)) + 1, 2)
        ]
    )


def ratio_variances(results: Results[Settings]) -> pd.DataFrame:
    """Variance of M_j/M_(j−1) in each layer of the families' networks, and `relative` to 5/n_j."""
    frame = results.of("family_nets")
    frame = frame.assign(family=frame["model.widths"].map(family_names(results.settings)))
    moments = (
        frame.groupby(["family", "model.widths", "model.depth", "layer", "statistic"], sort=False)
        .value.mean()
        .unstack()
    )
    found = moments.dropna(subset="ratio_mean").reset_index()
    found["width"] = [
        int(text.split("-")[j - 1])
        for text, j in zip(found["model.widths"], found.layer, strict=True)
    ]
    found["variance"] = found.ratio_mean_square - found.ratio_mean**2
    found["relative"] = found.variance / found.width.map(theory.ratio_variance)
    return found


def square_spread() -> pd.DataFrame:
    """E V̂ar[M]/M_0² by depth, exactly: width = depth, and two constant widths."""
    shapes = {"width = depth": lambda d: d, "width 20": lambda d: 20, "width 50": lambda d: 50}
    return pd.DataFrame(
        [
            {"shape": name, "depth": d, "exact": theory.expected_empirical_variance((w(d),) * d)}
            for name, w in shapes.items()
            for d in range(4, 101, 4)
        ]
    )


def bias_seeds(results: Results[Settings]) -> pd.DataFrame:
    """E M_j in networks with random biases, by `nu`, `layer` and `seed`."""
    frame = results.of("biased", "mean")
    frame = frame[frame.layer > 0]
    return frame.assign(nu=(frame["bias.std"].fillna(0.0) ** 2).round(12))


def biases(results: Results[Settings]) -> pd.DataFrame:
    """E M_j with biases of second moment ν₂, and M_0 + ½ j ν₂, which is expected.

    Returns:
        Columns `nu`, `layer`, `mean`, `expected`, standard `error` over seeds, and `z`, the
        deviation in standard errors.
    """
    found = bias_seeds(results).groupby(["nu", "layer"]).value
    found = found.agg(mean="mean", error=lambda x: x.std(ddof=1) / sqrt(len(x))).reset_index()
    found.insert(3, "expected", 1 / BIASED + found.layer * found.nu / 2)
    return found.assign(z=(found["mean"] - found.expected) / found.error)


def dead(results: Results[Settings]) -> pd.DataFrame:
    """Share of networks in which some layer up to this one is zero, measured and exact."""
    frame = results.of("narrow", "dead")
    frame = frame[frame.layer > 0]
    widths = frame["model.widths"].str.split("-").str[0].astype(int)
    found = claims.means(frame.assign(width=widths), ["width", "layer"])
    found["exact"] = [
        theory.dead_layer_probability(np.full(layer, width))
        for width, layer in zip(found.width, found.layer, strict=True)
    ]
    return found
