"""How the signal travels both ways through many networks at once, and how two signals align.

Forward: M_j, the mean square of layer j's activations. Backward: D_j, the mean square of the
gradient with respect to them, of v · output with v ~ N(0, 1). A random direction v instead of
a loss leaves the backward pass independent of how large the outputs are. Both are taken in
float64, because 50 layers of a bad start leave float32's range.
"""

from __future__ import annotations

from math import prod, sqrt
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from initlab.measure.contract import Row, check_image, check_layers
from initlab.measure.signal import kept, moments
from initlab.models import Model, Params
from initlab.spec import spec

#: Numbers of input images that are differentiated at once: what a graph keeps of a convolutional
#: network is many times as much.
AT_ONCE = 2**16


def forward_backward(
    model: Model, params: Params, x: Tensor, direction: Tensor
) -> tuple[Tensor, Tensor]:
    """M_0 … M_d and D_0 … D_d of R networks: two of (R, d + 1), float64, on the CPU.

    `x` is (B, *input) shared by all networks or (R, B, *input); `direction` is v, of the shape of
    the outputs. Both are averaged over units and the batch; D is of the sum over examples of
    v · output, so that an example's share is its own gradient. Layers are those that a tap sees.
    """
    R = next(iter(params.values())).shape[0]
    if x.dim() == len(model.input_shape) + 1:
        x = x.expand(R, *x.shape)
    few = R if len(model.input_shape) == 1 else max(1, AT_ONCE // prod(x.shape[1:]))
    parts = []
    for at in range(0, R, few):
        own = {name: p[at : at + few].detach().double() for name, p in params.items()}
        seen: list[Tensor] = []
        with torch.enable_grad():
            start = x[at : at + few].detach().double().requires_grad_()
            outputs = model.forward(own, start, seen.append)
            v = direction[at : at + few].to(outputs)
            gradients = torch.autograd.grad(outputs, seen, v)
        parts.append([_mean_squares(seen), _mean_squares(gradients)])
    forward, backward = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
    return forward, backward


def _mean_squares(tensors) -> Tensor:
    return torch.stack([t.detach().square().flatten(1).mean(1) for t in tensors], 1)


@torch.no_grad()
def correlations(model: Model, params: Params, x: Tensor) -> Tensor:
    """Cosine of the angle between the activations of two inputs, in layers 0 … d: (R, d + 1).

    `x` is (2, *input) shared by all networks or (R, 2, *input). float64, on the CPU; NaN in a
    layer where an input's activations are all zero.
    """
    R = next(iter(params.values())).shape[0]
    if x.dim() == len(model.input_shape) + 1:
        x = x.expand(R, *x.shape)
    columns: list[Tensor] = []

    def tap(h: Tensor) -> None:
        a, b = h.double().flatten(1, -2).unbind(-1)
        columns.append((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)))

    model.forward(params, x, tap)
    return torch.stack(columns, 1).cpu()


def random_inputs(
    count: int, shape: tuple[int, ...], generator: torch.Generator, examples: int = 1
) -> Tensor:
    """Inputs per network with M_0 = 1, uniform on that sphere: (count, examples, *shape)."""
    x = torch.empty(count, examples, prod(shape)).normal_(generator=generator)
    return (x * sqrt(prod(shape)) / x.norm(dim=-1, keepdim=True)).unflatten(-1, shape)


def random_pairs(
    count: int, shape: tuple[int, ...], generator: torch.Generator, cosine: float
) -> Tensor:
    """Two inputs per network with M_0 = 1 and that `cosine` between them: (count, 2, *shape)."""
    n = prod(shape)
    if n < 2:
        raise ValueError(f"two inputs at an angle need two or more numbers each, not shape {shape}")
    x = torch.empty(count, 2, n, dtype=torch.float64).normal_(generator=generator)
    u, w = x[:, 0] / x[:, 0].norm(dim=-1, keepdim=True), x[:, 1]
    w = w - (w * u).sum(-1, keepdim=True) * u
    w = w / w.norm(dim=-1, keepdim=True)
    pair = torch.stack([u, cosine * u + sqrt(1 - cosine**2) * w], 1)
    return (sqrt(n) * pair).float().unflatten(-1, shape)


@spec
class Signal:
    """Mean squares forward and backward, layer by layer, of a run at initialization.

    `image` is the index of the first of `examples` training images that follow each other;
    without one each network gets that many random inputs of its own, with M_0 = 1. Networks
    with batch normalization need two examples or more. `layers` is "last" (the ends) or "all".
    With `reduce` the run reports moments over its networks instead of values of each.
    """

    image: int | None = None
    examples: int = 1
    layers: str = "all"
    reduce: bool = True

    def __post_init__(self) -> None:
        """Refuse unknown choices of layers, what is no index and what is no number of inputs."""
        check_layers(self.layers)
        check_image(self.image)
        if self.examples < 1:
            raise ValueError(f"examples must be a whole number ≥ 1, not {self.examples!r}")

    def inputs(self, count: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """See `random_inputs`."""
        return random_inputs(count, shape, generator, self.examples)

    def values(
        self, model: Model, params: Params, x: Tensor, generator: torch.Generator
    ) -> np.ndarray:
        """See `forward_backward`: (R, d + 1, 2); the directions v are drawn from `generator`."""
        R = next(iter(params.values())).shape[0]
        outputs = _output_shape(model, params, x)
        v = torch.empty(R, *outputs).normal_(generator=generator)
        return torch.stack(forward_backward(model, params, x, v), -1).numpy()

    def report(self, values: np.ndarray) -> list[Row]:
        """Rows of M and D, (networks, d + 1, 2).

        The statistics of a network are `forward`, M_j, and `backward`, D_j. Reduced: the
        `moments` of both as `forward_mean`, `backward_ratio_mean` and so on. Ratios are to the
        layer from which the signal comes: M_j/M_{j−1} and D_j/D_{j+1}. Reduced rows have network
        −1. No row is tied to a training step: step −1.
        """
        depth = values.shape[1] - 1
        rows: list[Row] = []
        for way, (name, step) in enumerate((("forward", -1), ("backward", 1))):
            for j in kept(self.layers, depth):
                now, before = values[:, j, way], None
                if 0 <= j + step <= depth:
                    before = values[:, j + step, way]
                if self.reduce:
                    found = moments(now, before)
                    rows += [(-1, j, -1, f"{name}_{what}", value) for what, value in found.items()]
                else:
                    rows += [(r, j, -1, name, float(value)) for r, value in enumerate(now)]
        return rows


@torch.no_grad()
def _output_shape(model: Model, params: Params, x: Tensor) -> tuple[int, ...]:
    """(B, …): the shape of the outputs of one network."""
    first = {name: p[:1] for name, p in params.items()}
    own = x if x.dim() == len(model.input_shape) + 1 else x[:1]
    return tuple(model.forward(first, own).shape[1:])


@spec
class Correlation:
    """Cosine between the activations of two inputs, layer by layer, of a run at initialization.

    `image` is the index of the first of two training images that follow each other; without
    one each network gets two random inputs of its own, with M_0 = 1 and the cosine `start`.
    """

    start: float = 0.5
    image: int | None = None
    layers: str = "all"
    reduce: bool = True

    examples: ClassVar[int] = 2

    def __post_init__(self) -> None:
        """Refuse unknown choices of layers, what is no index and what is no cosine."""
        check_layers(self.layers)
        check_image(self.image)
        if not -1 <= self.start <= 1:
            raise ValueError(f"start must be a cosine, from -1 to 1, not {self.start!r}")

    def inputs(self, count: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """See `random_pairs`."""
        return random_pairs(count, shape, generator, self.start)

    def values(
        self, model: Model, params: Params, x: Tensor, generator: torch.Generator
    ) -> np.ndarray:
        """See `correlations`; draws nothing."""
        return correlations(model, params, x).numpy()

    def report(self, values: np.ndarray) -> list[Row]:
        """Rows of cosines, (networks, d + 1).

        The statistic of a network is `correlation`. Reduced: `mean` and `mean_square` over the
        networks in which neither input is dead, with network −1, and `dead`, the share of the
        others. No row is tied to a training step: step −1.
        """
        rows: list[Row] = []
        for j in kept(self.layers, values.shape[1] - 1):
            now = values[:, j]
            alive = now[np.isfinite(now)]
            if not self.reduce:
                rows += [(r, j, -1, "correlation", float(c)) for r, c in enumerate(now)]
                continue
            rows.append((-1, j, -1, "dead", 1 - len(alive) / len(now)))
            if len(alive):
                rows += [
                    (-1, j, -1, "mean", float(alive.mean())),
                    (-1, j, -1, "mean_square", float(np.square(alive).mean())),
                ]
        return rows
