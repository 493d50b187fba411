"""How far a whole network has gone from its start: its matrices, features and tangent kernel.

Single weights may move little while the function changes much. A matrix acts by its spectral norm;
what a network has learnt shows in the features that enter its head and in its neural tangent
kernel, which stays where it is in one limit of large width (Chizat, Oyallon & Bach 2019).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import nan

import torch
from torch import Tensor, nn

from initlab.measure.condition import features
from initlab.measure.jacobian import ntk, random_directions
from initlab.spec import spec


def relative_change(start: Tensor, now: Tensor) -> float:
    """‖now − start‖ / ‖start‖, by the Frobenius norm (not a number if the start is zero).

    >>> relative_change(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 9.0]))
    1.0
    """
    norm = torch.linalg.vector_norm(start.double())
    return float(torch.linalg.vector_norm(now.double() - start.double()) / norm)


def misalignment(start: Tensor, now: Tensor) -> float:
    """1 − the cosine of two kernels: 0 if one is the other times a number (Cortes et al. 2012).

    >>> misalignment(torch.eye(2), 3 * torch.eye(2))
    0.0
    """
    a, b = start.double().flatten(), now.double().flatten()
    return float(1 - (a @ b) / (torch.linalg.vector_norm(a) * torch.linalg.vector_norm(b)))


def _spectral_norm(matrix: Tensor) -> float:
    """The largest singular value; not a number for a matrix that overflows."""
    if not bool(torch.isfinite(matrix).all()):
        return nan
    return float(torch.linalg.matrix_norm(matrix, 2))


@spec
class Departure:
    """How far a network is from its start when its training ends.

    Of each weight matrix, as its layer from 1: `rms`, the root mean square of the entries of Δ;
    `spectral` = ‖Δ‖₂/‖W₀‖₂, by the largest singular values. Of the whole network, on the first
    `examples` training samples: `features`, the relative change by the Frobenius norm of what
    enters the head, and `features_turned`, one minus the cosine of the Gram matrices of the
    features, which growth by one factor does not change. On the first `kernel` of them `kernel` and
    `kernel_turned`, the same of the tangent kernel by all parameters, of `directions` random
    orthonormal combinations of the outputs, the same for all networks.
    """

    examples: int = 128
    kernel: int = 16
    directions: int = 4
    #: Nothing is said before the end, and so there are few looks.
    resolution: float = 1000.0

    def __post_init__(self) -> None:
        """Refuse impossible numbers."""
        counts = (self.examples, self.kernel, self.directions)
        if min(counts) < 1 or not self.resolution > 0:
            raise ValueError(
                "examples, kernel, directions and resolution must be positive, not "
                f"{self.examples}, {self.kernel}, {self.directions} and {self.resolution}"
            )

    def see(
        self,
        start: Mapping[str, Tensor],
        now: Mapping[str, Tensor],
        last: bool,
        network: Callable[[int, str], tuple[nn.Module, Tensor, Tensor]] | None = None,
    ) -> list[tuple[int, str, float]]:
        """(layer, statistic, value) of one network, which is asked for by `network`."""
        if not last:
            return []
        assert network is not None
        rows: list[tuple[int, str, float]] = []
        matrices = [name for name, w in start.items() if w.dim() > 1]
        for layer, name in enumerate(matrices, 1):
            w, v = (p[name].detach().double().flatten(1) for p in (start, now))
            rows.append((layer, "rms", float((v - w).square().mean().sqrt())))
            norms = [_spectral_norm(m) for m in (v - w, w)]
            rows.append((layer, "spectral", norms[0] / norms[1] if norms[1] else nan))
        module, x, _ = network(self.examples, "train")
        return rows + [(-1, name, value) for name, value in self._function(module, start, now, x)]

    def _function(
        self, module: nn.Module, start: Mapping[str, Tensor], now: Mapping[str, Tensor], x: Tensor
    ) -> list[tuple[str, float]]:
        """Changes of features and kernel."""
        h = [features(module, p, x).flatten(1) for p in (start, now)]
        outputs = module(x).shape[-1]
        generator = torch.Generator().manual_seed(0)
        v = random_directions(outputs, min(self.directions, outputs), generator)
        kernels = [ntk(module, p, x[: self.kernel], directions=v) for p in (start, now)]
        return [
            ("features", relative_change(*h)),
            ("features_turned", misalignment(*(f @ f.T for f in h))),
            ("kernel", relative_change(*kernels)),
            ("kernel_turned", misalignment(*kernels)),
        ]
