"""The terms of the sum that makes one output: a convolution's true fan, and two wrong ones.

What is measured is known exactly, so that this is a table and a test, not a claim.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from typing import TypeAlias

import numpy as np
import pandas as pd
import torch
from torch import nn

from initlab import claims, init
from initlab.studies.scaling_and_convergence.settings import Settings

#: Pixels a side of the images that layers are measured on.
IMAGE = 16
#: A layer that one could take for fully connected.
PLAIN = "plain, 3 × 3"
Convolution: TypeAlias = nn.Conv2d | nn.ConvTranspose2d


def layers() -> dict[str, Convolution]:
    """Kinds of convolution."""
    return {
        PLAIN: nn.Conv2d(8, 16, 3),
        "grouped, 4 groups": nn.Conv2d(16, 16, 3, groups=4),
        "depthwise": nn.Conv2d(16, 16, 3, groups=16),
        "stride 2": nn.Conv2d(8, 16, 4, stride=2),
        "dilated": nn.Conv2d(8, 16, 3, dilation=2),
        "transposed, stride 2": nn.ConvTranspose2d(16, 8, 4, stride=2),
        "transposed, grouped": nn.ConvTranspose2d(16, 8, 4, stride=2, groups=4),
    }


def variance_ratios(
    layer: Convolution, fan: float, backward: bool, networks: int, generator: torch.Generator
) -> np.ndarray:
    """Mean square out over mean square in, of values or of gradients.

    Args:
        layer: a convolution.
        fan: one over the variance of its weights.
        backward: whether gradients are followed.
        networks: number of draws of the weights.
        generator: of all draws.

    Returns:
        One ratio per draw, (networks,).
    """
    weights = init.stacked(layer, init.Normal(std=fan**-0.5), generator, networks)
    bias = weights["bias"][0]
    shape = layer(torch.zeros(1, layer.in_channels, IMAGE, IMAGE)).shape
    xs, gs = [], []
    for _ in range(networks):
        xs.append(torch.empty(1, layer.in_channels, IMAGE, IMAGE).normal_(generator=generator))
        if backward:
            gs.append(torch.empty(shape).normal_(generator=generator))

    def out(w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"weight": w, "bias": bias}, (x,))

    def back(w: torch.Tensor, x: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        return torch.func.vjp(lambda x: out(w, x), x)[1](g)[0]

    with torch.no_grad():
        if backward:
            y = torch.vmap(back)(weights["weight"], torch.stack(xs), torch.stack(gs))
        else:
            y = torch.vmap(out)(weights["weight"], torch.stack(xs))
    # Away from the border, where a transposed convolution has fewer terms.
    edge = 4 if backward else min(4, y.shape[-1] // 3)
    inner = y[..., edge:-edge, edge:-edge].flatten(1)
    return inner.square().mean(1).double().numpy()


@lru_cache(maxsize=4)
def frame(s: Settings) -> pd.DataFrame:
    """Every layer, forward and backward, with its true fan, that of its shape, and a dense one.

    Returns:
        Columns `layer`, `direction`, `fan` ("true", "shape" or "dense"), the number of terms
        `used`, the ratio `measured` with `low` and `high`, `predicted`, and `z`, the deviation in
        standard errors.
    """
    rows = []
    generator = torch.Generator().manual_seed(s.seed)
    for name, layer in layers().items():
        true = init.fans(layer)
        shape = nn.init._calculate_fan_in_and_fan_out(layer.weight)
        for backward in (False, True):
            used = {"true": true[backward], "shape": shape[backward]}
            if name == PLAIN and not backward:
                used["dense"] = layer.in_channels * IMAGE**2
            for how, fan in used.items():
                x = variance_ratios(layer, fan, backward, s.networks, generator)
                low, high = claims.mean(x).interval()
                error = x.std(ddof=1) / sqrt(len(x))
                predicted = true[backward] / fan
                rows.append(
                    {
                        "layer": name,
                        "direction": "backward" if backward else "forward",
                        "fan": how,
                        "used": fan,
                        "measured": x.mean(),
                        "low": low,
                        "high": high,
                        "predicted": predicted,
                        "z": abs(x.mean() - predicted) / error,
                    }
                )
    return pd.DataFrame(rows)


def table(s: Settings) -> pd.DataFrame:
    """The wrong fans, each beside the right one, with the names that a reader sees."""
    whole = frame(s)
    right = whole[whole.fan == "true"].set_index(["layer", "direction"])
    shown = whole[whole.fan != "true"].rename(
        columns={"used": "n used", "predicted": "predicted ratio", "measured": "measured ratio"}
    )
    at = list(zip(shown.layer, shown.direction, strict=True))
    shown["n"] = right.used[at].to_numpy()
    shown["measured with n"] = right.measured[at].to_numpy()
    first = ["layer", "direction", "n", "measured with n", "fan", "n used"]
    return shown[[*first, "predicted ratio", "measured ratio", "low", "high"]]
