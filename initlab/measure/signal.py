"""How long the signal is, layer by layer, in many networks at once.

M_j = ‖act^(j)‖² / n_j is the normalized squared length of layer j (Hanin & Rolnick 2018). For
a convolution the mean runs over channels and positions.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from initlab.models import Model, Params
from initlab.spec import spec


@torch.no_grad()
def lengths(model: Model, params: Params, x: Tensor) -> Tensor:
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

    The quantity of failure mode 2: how unevenly the length is spread over one network's layers.

    >>> empirical_variance(np.array([[9.0, 1.0, 3.0]]))
    array([1.])
    """
    return M[:, 1:].var(axis=1)


@spec
class Lengths:
    """Which lengths a run at initialization reports.

    `image` is the index of a training image; without one each network gets its own random
    vector of unit length, so that M_0 = 1/n_0. `layers` is "last" or "all". With `reduce` the
    run reports moments over its networks instead of one value per network.
    """

    image: int | None = None
    layers: str = "last"
    reduce: bool = False

    def __post_init__(self) -> None:
        """Refuse unknown choices of layers and what is no index."""
        if self.layers not in ("last", "all"):
            raise ValueError(f"layers must be 'last' or 'all', not {self.layers!r}")
        if self.image is not None and (type(self.image) is not int or self.image < 0):
            raise ValueError(
                "image must be the index of a training image, 0 or larger, or None for random "
                f"inputs, not {self.image!r}"
            )


def random_unit_inputs(count: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """One input per network, uniform on the unit sphere: (count, 1, *shape)."""
    x = torch.empty(count, 1, *shape).normal_(generator=generator)
    return x / x.flatten(1).norm(dim=1).view(count, 1, *[1] * len(shape))


def report(measure: Lengths, M: np.ndarray) -> list[tuple[int, int, int, str, float]]:
    """Rows (network, layer, step, statistic, value) of lengths M, (networks, d + 1).

    The statistic of a network is `length`, M_j. Reduced: `mean`, `mean_square` and `median` of
    M_j, `ratio_mean` and `ratio_mean_square` of M_j/M_{j−1} over networks still alive at j − 1,
    `dead` (share with M_j = 0), and `variance_mean` and `variance_median` of V̂ar[M]. Reduced
    rows have network −1. No row is tied to a training step: step −1.
    """
    depth = M.shape[1] - 1
    keep = range(depth + 1) if measure.layers == "all" else (0, depth)
    if not measure.reduce:
        return [(r, j, -1, "length", float(M[r, j])) for j in keep for r in range(len(M))]
    variance = empirical_variance(M)
    reduced = []
    for j in keep:
        reduced += [
            (-1, j, -1, "mean", float(M[:, j].mean())),
            (-1, j, -1, "mean_square", float(np.square(M[:, j]).mean())),
            (-1, j, -1, "median", float(np.median(M[:, j]))),
            (-1, j, -1, "dead", float((M[:, j] == 0).mean())),
        ]
        if j > 0:
            alive = M[:, j - 1] > 0
            if alive.any():
                ratio = M[alive, j] / M[alive, j - 1]
                reduced += [
                    (-1, j, -1, "ratio_mean", float(ratio.mean())),
                    (-1, j, -1, "ratio_mean_square", float(np.square(ratio).mean())),
                ]
    return [
        *reduced,
        (-1, depth, -1, "variance_mean", float(variance.mean())),
        (-1, depth, -1, "variance_median", float(np.median(variance))),
    ]
