"""Rules that start every layer as an identity, as far as its shape allows."""

from __future__ import annotations

from math import ceil, log2, prod
from typing import ClassVar

import torch
from torch import Tensor

from initlab.init.contract import Gained, Rule, check_number
from initlab.init.fans import Fans
from initlab.init.structured import Orthogonal
from initlab.spec import spec


def centred(matrix: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Matrices (count, out, in) as kernels (count, *shape): at the centre tap, zero elsewhere."""
    centre = 0
    for k in shape[2:]:
        centre = centre * k + k // 2
    kernel = matrix.new_zeros(len(matrix), *shape[:2], prod(shape[2:]))
    kernel[..., centre] = matrix
    return kernel.reshape(len(matrix), *shape)


def _matrix_shape(what: str, shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) < 2:
        raise ValueError(f"{what} needs a matrix or a kernel, not a weight of shape {shape}")
    return shape[0], shape[1]


@spec
class Dirac(Gained):
    """`gain` times the identity; for a convolution at its centre tap, so that images pass.

    Unit m copies input m, group by group of a convolution; a layer that narrows drops the last
    inputs, and the last units of one that widens are zero, as of `torch.nn.init.dirac_`
    (`PaddedIdentity` copies the inputs again instead).
    """

    name: ClassVar[str] = "Dirac"
    states: ClassVar[str] = "fixed"
    source: ClassVar[str] = "zagoruyko_2017"
    note: ClassVar[str] = (
        "There the identity is part of the parameterization, diag(a) I + W; here it is only the "
        "start, as in PyTorch's `dirac_`."
    )
    formula: ClassVar[str] = r"W_{ij} = g\,\delta_{ij}, \text{ at the centre of a kernel}"
    preserves: ClassVar[str] = "its input, exactly"
    use: ClassVar[str] = "Layers that should do nothing at first."

    def stack(self, fans, shape, generator, count) -> Tensor:
        """See `Rule.stack`; draws nothing. Raises `ValueError` for a shape that is no matrix."""
        out, into = _matrix_shape(self.name, shape)
        eye = self.gain * torch.eye(out, into)
        return centred(eye.expand(count, -1, -1), shape)

    def variance(self, fans: Fans) -> float:
        """gain² times the share of units that copy an input, over fan-in: the mean square."""
        into, out = fans
        return self.gain**2 * min(into, out) / max(into * out, 1)


@spec
class ZerO(Rule):
    """Zhao et al. 2022: identities, and Hadamard's matrix where a layer widens. Nothing is drawn.

    W = 2^(−(m−1)/2) · I* H_m I* with m = ⌈log₂ out⌉ and partial identities I*, where there are more
    outputs than inputs, else the partial identity. Kernels have it at their centre.
    """

    name: ClassVar[str] = "ZerO"
    states: ClassVar[str] = "fixed"
    source: ClassVar[str] = "zhao_2022"
    formula: ClassVar[str] = r"W = 2^{-(m-1)/2}\, I^* H_m I^*,\; m = \lceil \log_2 n_{out} \rceil"
    preserves: ClassVar[str] = "its input, up to a factor, without a random number"
    use: ClassVar[str] = "Networks that must start the same everywhere."

    def stack(self, fans, shape, generator, count) -> Tensor:
        """See `Rule.stack`; draws nothing. Raises `ValueError` for a shape that is no matrix."""
        out, into = _matrix_shape(self.name, shape)
        if out <= into:
            return centred(torch.eye(out, into).expand(count, -1, -1), shape)
        m = ceil(log2(out))
        hadamard = torch.ones(1, 1)
        for _ in range(m):
            hadamard = torch.cat(
                [torch.cat([hadamard] * 2, 1), torch.cat([hadamard, -hadamard], 1)]
            )
        matrix = 2 ** (-(m - 1) / 2) * hadamard[:out, :into]
        return centred(matrix.expand(count, -1, -1), shape)

    def variance(self, fans: Fans) -> float:
        """Mean square of the entries of a dense layer."""
        into, out = fans
        return 1 / into if out <= into else 2 ** (1 - ceil(log2(out)))


@spec
class DeltaOrthogonal(Gained):
    """`gain` times an orthogonal matrix at the centre of a kernel (Xiao et al. 2018).

    With at least as many outputs as inputs the convolution keeps the norm of every image (with
    stride 1, and away from nothing: only the centre tap is not zero).
    """

    name: ClassVar[str] = "Delta-orthogonal"
    states: ClassVar[str] = "isometry"
    source: ClassVar[str] = "xiao_2018"
    formula: ClassVar[str] = r"W_{\text{centre}} = g\,Q,\; Q^\top Q = I"
    preserves: ClassVar[str] = "the norm of every image, exactly, in a linear network"
    use: ClassVar[str] = "Very deep plain convolutional networks."

    def stack(self, fans, shape, generator, count) -> Tensor:
        """See `Rule.stack`; raises `ValueError` for a shape that is no matrix."""
        matrix = _matrix_shape(self.name, shape)
        return centred(Orthogonal(self.gain).stack(fans, matrix, generator, count), shape)

    def variance(self, fans: Fans) -> float:
        """gain²/max(fans): the mean square of the entries of a dense layer or a whole kernel."""
        return self.gain**2 / max(fans)

    def mean_square(self, fans: Fans, shape: tuple[int, ...]) -> float:
        """That of the matrix at the centre, over all taps."""
        return self.gain**2 / max(*shape[:2], 1) / max(prod(shape[2:]), 1)


@spec
class Sparse(Rule):
    """`incoming` normal weights for each unit, and zeros (Martens 2010)."""

    incoming: int = 15
    std: float = 1.0
    name: ClassVar[str] = "Sparse"
    source: ClassVar[str] = "martens_2010"
    formula: ClassVar[str] = (
        r"k \text{ of the } W_{ij} \text{ of each } i \sim \mathcal{N}(0, \sigma^2)"
    )
    preserves: ClassVar[str] = "the second moment at any width, with k σ² as the gain"
    use: ClassVar[str] = "Wide layers whose units should differ."

    def __post_init__(self) -> None:
        """Refuse what is no number of weights and no standard deviation."""
        check_number("std", self.std)
        if self.incoming < 1:
            raise ValueError(f"incoming must be ≥ 1, not {self.incoming}")

    def stack(self, fans, shape, generator, count) -> Tensor:
        """See `Rule.stack`; raises `ValueError` for a shape that is no matrix."""
        _matrix_shape(self.name, shape)
        drawn = torch.empty(count, *shape).normal_(0, self.std, generator=generator)
        flat = drawn.flatten(2)
        order = torch.empty(flat.shape).uniform_(generator=generator).argsort(-1).argsort(-1)
        kept = max(1, round(self._share(fans) * flat.shape[-1]))
        return (flat * (order < kept)).reshape(count, *shape)

    def _share(self, fans: Fans) -> float:
        return min(1.0, self.incoming / fans.fan_in)

    def variance(self, fans: Fans) -> float:
        """std² times the share of weights that are not zero."""
        return self.std**2 * self._share(fans)
