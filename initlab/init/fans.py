"""How many terms a layer really sums: fans from the module, and gains of any activation.

The shape of a weight does not tell its fans. `torch.nn.init` reads them off the shape all the
same, and is wrong for grouped convolutions when fan-out is asked for, for every transposed
convolution, and for strides. Here the module is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import exp, inf, pi, prod, sqrt
from typing import NamedTuple, TypeAlias

import scipy
import torch
from torch import nn

from initlab.models import activation

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
#: Modules whose `weight` an initialization rule draws.
WEIGHTED = (nn.Linear, *CONVS, *TRANSPOSED)
#: Modules that normalize, then scale by `weight` and shift by `bias`: at first by one and zero.
NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.LayerNorm, nn.GroupNorm),
    *(nn.RMSNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)


class Fans(NamedTuple):
    """Terms summed in one output unit, and outputs that one input unit enters (averages)."""

    fan_in: float
    fan_out: float


def fans(module: nn.Module) -> Fans:
    """True fans of a linear layer or a convolution, away from the image's border.

    A strided convolution sends each input to only 1/stride of the windows in every direction;
    a transposed convolution receives only 1/stride of its kernel's taps. Dilation changes
    neither.

    Raises `TypeError` for a module that has none.

    >>> fans(nn.Conv2d(64, 128, 3, groups=32, device="meta"))
    Fans(fan_in=18, fan_out=36)
    >>> fans(nn.ConvTranspose2d(16, 8, 4, stride=2, device="meta"))
    Fans(fan_in=64, fan_out=128)
    """
    if isinstance(module, nn.Linear):
        return Fans(module.in_features, module.out_features)
    if isinstance(module, (*CONVS, *TRANSPOSED)):
        taps, stride = prod(module.kernel_size), prod(module.stride)
        into = module.in_channels // module.groups * taps
        out = module.out_channels // module.groups * taps
        if isinstance(module, TRANSPOSED):
            return Fans(_whole(into / stride), out)
        return Fans(into, _whole(out / stride))
    raise TypeError(
        f"{type(module).__name__} has no fans; known: {', '.join(c.__name__ for c in WEIGHTED)}"
    )


def _whole(x: float) -> float:
    return int(x) if x == int(x) else x


def gaussian_mean(f: Callable[[float], float]) -> float:
    """E f(z) for z ~ N(0, 1), by adaptive quadrature split at zero, where activations kink."""

    def weighted(z: float) -> float:
        return f(z) * exp(-z * z / 2) / sqrt(2 * pi)

    options = {"epsabs": 1e-13, "epsrel": 1e-12, "limit": 200}
    halves = ((-inf, 0), (0, inf))
    return sum(scipy.integrate.quad(weighted, *half, **options)[0] for half in halves)


Phi: TypeAlias = str | Callable[[torch.Tensor], torch.Tensor]


@lru_cache
def gain(phi: Phi) -> float:
    """1/√E[φ(z)²], z ~ N(0, 1): the factor on 1/√fan-in that keeps the mean square of φ.

    `phi` is a name that models know, or any elementwise function of tensors (its derivative may
    jump at 0). For ReLU this is √2 (He et al. 2015). `torch.nn.init.calculate_gain` knows ReLU's,
    but its 5/3 for tanh is a rule of thumb, and it has no entry for GELU, SiLU or ELU.

    >>> round(gain("relu") ** 2, 12)
    2.0
    """
    f = activation(phi) if isinstance(phi, str) else phi
    return 1 / sqrt(gaussian_mean(lambda z: f(_number(z)).item() ** 2))


@lru_cache
def derivative_gain(phi: Phi) -> float:
    """1/√E[φ′(z)²], z ~ N(0, 1): the factor that keeps the mean square of gradients.

    >>> round(derivative_gain("relu") ** 2, 12)
    2.0
    """
    f = activation(phi) if isinstance(phi, str) else phi

    def square(z: float) -> float:
        x = _number(z).requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(f(x), x)
        return slope.item() ** 2

    return 1 / sqrt(gaussian_mean(square))


def _number(z: float) -> torch.Tensor:
    return torch.tensor(z, dtype=torch.float64)
