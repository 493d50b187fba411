"""The first weights of a group of networks under the package's rules, from counted numbers.

What a rule says of a layer (the variance that it declares) is asked of the rule itself; only the
numbers are drawn otherwise than in `initlab.init`, so that a browser can draw the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import erf, sqrt
from typing import cast

import torch
from torch import Tensor

from initlab.init import RULES, Fans, Normal, Orthogonal, Rule, VarianceScaling, gain
from initlab.init.random import truncation_variance
from initlab.live.counter import erfinv, normals, uniforms

#: Rules that a group may start under, by name: all that scale a variance, a fixed standard
#: deviation, and orthogonal matrices.
NAMES = tuple(
    name for name, rule in RULES.items() if isinstance(rule, VarianceScaling | Normal | Orthogonal)
)
#: Rules whose draws are computed; those of the others are multiples of one of these.
DRAWN = {
    ("normal", "fan_in"): "lecun_normal",
    ("uniform", "fan_in"): "lecun_uniform",
    ("truncated", "fan_in"): "lecun_truncated",
    ("normal", "fan_avg"): "glorot_normal",
    ("uniform", "fan_avg"): "glorot_uniform",
    ("truncated", "fan_avg"): "glorot_truncated_corrected",
}


def drawn(name: str) -> str:
    """The rule of which `name` is a multiple, by the shape of the distribution and the fan.

    >>> drawn("he_normal"), drawn("he_truncated_uncorrected"), drawn("orthogonal")
    ('lecun_normal', 'lecun_truncated', 'orthogonal')
    """
    rule = _rule(name)
    if not isinstance(rule, VarianceScaling):
        return name
    return DRAWN[rule.distribution.removesuffix("-uncorrected"), rule.mode]


def factor(name: str, activation: str) -> float:
    """By what a draw of `drawn(name)` is multiplied before hidden layers of that activation.

    Orthogonal matrices get the gain that keeps the length through the activation; the others are
    as the rule declares them, whatever the activation.

    >>> round(factor("he_normal", "relu") ** 2, 9)
    2.0
    """
    rule = _rule(name)
    if isinstance(rule, Orthogonal):
        return gain(activation)
    return sqrt(rule.variance(_ANY) / RULES[drawn(name)].variance(_ANY))


#: Fans that differ, so that a multiple which depended on them would show.
_ANY = Fans(3, 5)


def _rule(name: str) -> Rule:
    if name not in NAMES:
        raise ValueError(f"unknown rule {name!r}; known: {', '.join(NAMES)}")
    return RULES[name]


def initialize(
    name: str, like: Sequence[Tensor], seeds: Tensor, scales: Tensor, factor: Tensor
) -> tuple[Tensor, ...]:
    """First parameters of R networks in the shapes of `like` (see `initlab.live.network`).

    `name` is one of the rules that are `drawn`. Weights are what the rule draws times `scales`,
    (R,), and `factor`; biases are zero. `seeds` is (R,) int64: a network depends on its own alone,
    and with another depth its first layers stay the same.
    """
    rule = _rule(name)
    out = []
    for stream, t in enumerate(like):
        if stream % 2:  # a bias
            out.append(t * 0.0)
            continue
        # Networks first, as they have their own seeds; then the layers, if there is such an axis.
        layered = t.dim() == 4
        shape = (t.transpose(0, 1) if layered else t).shape
        count = t[0].numel() if not layered else t.shape[0] * t.shape[2] * t.shape[3]
        drawn = _draw(rule, seeds, stream, count, shape)
        times = (factor * scales).view(-1, *[1] * (len(shape) - 1))
        drawn = drawn * times
        out.append(drawn.transpose(0, 1).contiguous() if layered else drawn)
    return tuple(out)


def _draw(rule: Rule, seeds: Tensor, stream: int, count: int, shape: Sequence[int]) -> Tensor:
    rows, columns = shape[-2], shape[-1]
    if isinstance(rule, Orthogonal):
        return orthogonal(normals(seeds, stream, count).view(shape))
    # Sizes are symbols while a graph is made; as tensors a rule's arithmetic is traced with them.
    into, out = (torch.scalar_tensor(size) for size in (columns, rows))
    variance = cast(float | Tensor, rule.variance(Fans(cast(float, into), cast(float, out))))
    std = variance.sqrt() if isinstance(variance, Tensor) else sqrt(variance)
    distribution = rule.distribution if isinstance(rule, VarianceScaling) else "normal"
    if distribution == "normal":
        return normals(seeds, stream, count).view(shape) * std
    x = 2 * uniforms(seeds, stream, count)[0].view(shape) - 1
    if distribution == "uniform":
        return x * sqrt(3) * std
    inside = erf(2 / sqrt(2))  # within two standard deviations of the normal before the cut
    return erfinv(inside * x) * (std * sqrt(2 / truncation_variance(2.0)))


def orthogonal(z: Tensor) -> Tensor:
    """The orthogonal factor of Gaussian matrices (…, m, n): uniform over the group, like Q of QR.

    By Newton and Schulz's iteration, because ONNX has products but no QR. Its first steps push
    every singular value near 1 (K. Jordan's coefficients, 2024), the last ones onto it.
    """
    m, n = z.shape[-2], z.shape[-1]
    x = z * (0.95 / (torch.scalar_tensor(m).sqrt() + torch.scalar_tensor(n).sqrt()))
    for _ in range(9):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    for _ in range(6):
        x = 1.5 * x - 0.5 * (x @ x.mT) @ x
    return x
