"""Rules whose entries depend on each other."""

from __future__ import annotations

from math import prod
from typing import ClassVar

import torch
from torch import Tensor

from initlab.init.contract import Gained
from initlab.init.fans import Fans
from initlab.spec import spec


@spec
class Orthogonal(Gained):
    """`gain` times a (semi-)orthogonal matrix, uniform over the group (Saxe et al. 2014).

    The weight is read as a matrix (outputs, inputs · kernel). Rows are orthonormal where there
    are fewer of them than columns, else columns. √2 is the critical gain of a square ReLU layer.
    """

    name: ClassVar[str] = "Orthogonal"
    states: ClassVar[str] = "isometry"
    source: ClassVar[str] = "saxe_2014"
    formula: ClassVar[str] = r"W = g\,Q,\; Q^\top Q = I \text{ or } QQ^\top = I"
    preserves: ClassVar[str] = "every norm, exactly, in a linear network"
    use: ClassVar[str] = "Deep linear and tanh networks, recurrent matrices."

    def stack(self, fans, shape, generator, count) -> Tensor:
        """See `Rule.stack`; raises `ValueError` for a shape that is no matrix."""
        if len(shape) < 2:
            raise ValueError(f"an orthogonal weight needs two or more dimensions, not {shape}")
        rows, columns = shape[0], prod(shape[1:])
        tall = torch.empty(count, max(rows, columns), min(rows, columns))
        q, r = torch.linalg.qr(tall.normal_(generator=generator))
        # The signs of R's diagonal make Q uniform (Mezzadri 2007).
        q = q * torch.sign(torch.diagonal(r, dim1=-2, dim2=-1)).unsqueeze(-2)
        matrix = q if rows >= columns else q.transpose(-1, -2)
        return (self.gain * matrix).reshape(count, *shape)

    def variance(self, fans: Fans) -> float:
        """gain²/max(fan-in, fan-out) per entry of a dense layer."""
        return self.gain**2 / max(fans)

    def mean_square(self, fans: Fans, shape: tuple[int, ...]) -> float:
        """gain² over the longer side of the matrix (outputs, inputs · kernel)."""
        return self.gain**2 / max(shape[0], prod(shape[1:]), 1)
