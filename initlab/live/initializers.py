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
from initlab.live.network import scanned
from initlab.live.prng import erfinv, normals, uniforms

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

    Orthogonal matrices get the gain that keeps the second moment through the activation; the others
    are as the rule declares them, whatever the activation.

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
    and with another depth its first layers and its output stay the same.
    """
    rule = _rule(name)
    (R, n, i), (D, *_), o = like[0].shape, like[2].shape, like[4].shape[1]
    # All weights of a network are one sequence, because a graph's time goes into its operators;
    # the layers, whose number varies, come last.
    shapes = (R, n, i), (R, o, n), (R, D, n, n)
    sizes = [n * i, o * n, D * n * n]
    numbers = _standard(rule, seeds, sum(sizes)).split(sizes, -1)
    times = factor * scales
    first, output, layers = (
        _scaled(rule, z.view(shape)) * times.view(-1, *[1] * (len(shape) - 1))
        for z, shape in zip(numbers, shapes, strict=True)
    )
    weights = first, layers.transpose(0, 1).contiguous(), output
    biases = (t * 0.0 for t in like[1::2])
    return tuple(t for pair in zip(weights, biases, strict=True) for t in pair)


def _standard(rule: Rule, seeds: Tensor, count: int) -> Tensor:
    """Numbers (R, count) of the rule's distribution, with mean 0 and variance 1."""
    distribution = rule.distribution if isinstance(rule, VarianceScaling) else "normal"
    if distribution == "normal":
        z = normals(seeds, 0, count)
        # The orthogonal factor amplifies what is rounded, so it is taken first.
        return z if isinstance(rule, Orthogonal) else z.float()
    x = 2 * uniforms(seeds, 0, count)[0] - 1
    if distribution == "uniform":
        return x * sqrt(3)
    inside = erf(2 / sqrt(2))  # within two standard deviations of the normal before the cut
    return erfinv(inside * x) * sqrt(2 / truncation_variance(2.0))


def _scaled(rule: Rule, z: Tensor) -> Tensor:
    """Matrices (…, m, n) of standard numbers → those of the rule."""
    if isinstance(rule, Orthogonal):
        return orthogonal(z).float()
    # Sizes are symbols while a graph is made; as tensors a rule's arithmetic is traced with them.
    out, into = (torch.scalar_tensor(size) for size in z.shape[-2:])
    variance = cast(float | Tensor, rule.variance(Fans(cast(float, into), cast(float, out))))
    return z * (variance.sqrt() if isinstance(variance, Tensor) else sqrt(variance))


#: Coefficients of Newton and Schulz's iteration: the first push every singular value near 1
#: (K. Jordan's, 2024), the last ones onto it.
_PUSH = [(3.4445, -4.7750, 2.0315)] * 9 + [(1.5, -0.5, 0.0)] * 6


def orthogonal(z: Tensor) -> Tensor:
    """The orthogonal factor of Gaussian matrices (…, m, n): uniform over the group, like Q of QR.

    By an iteration of products, because ONNX has no QR.
    """
    m, n = (torch.scalar_tensor(size, dtype=z.dtype) for size in z.shape[-2:])
    x = z * (0.95 / (m.sqrt() + n.sqrt()))

    def body(x: Tensor, by: Tensor) -> list[Tensor]:
        a = x @ x.mT
        return [by[0] * x + (by[1] * a + by[2] * (a @ a)) @ x]

    return scanned(body, x, [torch.tensor(_PUSH, dtype=z.dtype)], ())[0]
