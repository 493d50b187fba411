"""The second moment of the signal, layer by layer, in many networks at once.

M_j = ‖act^(j)‖² / n_j is the second moment (mean square) of layer j (Hanin & Rolnick 2018). For
a convolution the mean runs over channels and positions.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from initlab.measure.contract import Row, check_image, check_layers
from initlab.models import Model, Params
from initlab.spec import spec


@torch.no_grad()
def second_moments(model: Model, params: Params, x: Tensor) -> Tensor:
    """M_0 … M_d of R networks, averaged over the batch: (R, d + 1), float64, on the CPU.

    `x` is (B, *input) shared by all networks or (R, B, *input). Squares are taken in float64,
    because M leaves float32's range long before the activations do.
    """
    R = next(iter(params.values())).shape[0]
    columns: list[Tensor] = []

    def tap(h: Tensor) -> None:
        per_network = h.double().square().flatten(1 if h.dim() > 2 else 0).mean(-1)
        columns.append(per_network.expand(R) if per_network.dim() == 0 else per_network)

    model.forward(params, x, tap)
    return torch.stack(columns, 1).cpu()


def empirical_variance(M: np.ndarray) -> np.ndarray:
    """V̂ar[M] = (1/d) Σ_j M_j² − ((1/d) Σ_j M_j)², j = 1 … d, of each network: (R, d + 1) → (R,).

    The quantity of failure mode 2: how unevenly M is spread over one network's layers.

    >>> empirical_variance(np.array([[9.0, 1.0, 3.0]]))
    array([1.])
    """
    return M[:, 1:].var(axis=1)


def random_unit_inputs(count: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """One input per network, uniform on the unit sphere: (count, 1, *shape)."""
    x = torch.empty(count, 1, *shape).normal_(generator=generator)
    return x / x.flatten(1).norm(dim=1).view(count, 1, *[1] * len(shape))


def kept(layers: str, depth: int) -> list[int]:
    """Indices of the layers that are reported: all of 0 … depth, or the ends."""
    return list(range(depth + 1)) if layers == "all" else [0, depth]


def moments(now: np.ndarray, before: np.ndarray | None) -> dict[str, float]:
    """Moments over networks of a layer's M, (R,), and of its ratio to the layer before.

    `mean`, `mean_square` and `median`; `dead`, the share that is zero; `ratio_mean` and
    `ratio_mean_square` over the networks that were still alive in the layer before.
    """
    found = {
        "mean": float(now.mean()),
        "mean_square": float(np.square(now).mean()),
        "median": float(np.median(now)),
        "dead": float((now == 0).mean()),
    }
    if before is not None and (alive := before > 0).any():
        ratio = now[alive] / before[alive]
        found["ratio_mean"] = float(ratio.mean())
        found["ratio_mean_square"] = float(np.square(ratio).mean())
    return found


@spec
class SecondMoments:
    """Which second moments a run at initialization reports.

    `image` is the index of a training image; without one each network gets its own random
    vector of unit norm, so that M_0 = 1/n_0. `layers` is "last" or "all". With `reduce` the
    run reports moments over its networks instead of one value per network.
    """

    image: int | None = None
    layers: str = "last"
    reduce: bool = False

    examples: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Refuse unknown choices of layers and what is no index."""
        check_layers(self.layers)
        check_image(self.image)

    def inputs(self, count: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """See `random_unit_inputs`."""
        return random_unit_inputs(count, shape, generator)

    def values(
        self, model: Model, params: Params, x: Tensor, generator: torch.Generator
    ) -> np.ndarray:
        """See `second_moments`; draws nothing."""
        return second_moments(model, params, x).numpy()

    def report(self, values: np.ndarray) -> list[Row]:
        """Rows (network, layer, step, statistic, value) of second moments M, (networks, d + 1).

        The statistic of a network is `second_moment`, M_j. Reduced: the `moments` of M_j and of
        M_j/M_{j−1}, and `variance_mean` and `variance_median` of V̂ar[M]. Reduced rows have
        network −1. No row is tied to a training step: step −1.
        """
        depth = values.shape[1] - 1
        keep = kept(self.layers, depth)
        if not self.reduce:
            return [
                (r, j, -1, "second_moment", float(values[r, j]))
                for j in keep
                for r in range(len(values))
            ]
        variance = empirical_variance(values)
        rows: list[Row] = []
        for j in keep:
            found = moments(values[:, j], values[:, j - 1] if j > 0 else None)
            rows += [(-1, j, -1, name, value) for name, value in found.items()]
        return [
            *rows,
            (-1, depth, -1, "variance_mean", float(variance.mean())),
            (-1, depth, -1, "variance_median", float(np.median(variance))),
        ]
