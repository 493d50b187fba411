"""Random numbers that are a function of (seed, stream, index), the same in PyTorch and a browser.

ONNX's own generator has a fixed seed and another sequence in every runtime. An integer hash of a
counter needs only products and bit operations, which are exact everywhere.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
#: 2³² divided by the golden ratio: neighbours of a counter end up far from each other.
_GOLDEN = 0x9E3779B1


def _right(x: Tensor, bits: int) -> Tensor:
    # The exporter makes of int64 `//` a division of floats. With the low bits masked, at most 24
    # bits are left of x < 2³², and then that division is exact.
    return (x & ~(2**bits - 1)) // 2**bits


def _mixed(x: Tensor) -> Tensor:
    """A permutation of 0 … 2³² − 1 without visible pattern ("lowbias32", C. Wellons 2018)."""
    x = (x ^ _right(x, 16)) * 0x7FEB352D & _MASK
    x = (x ^ _right(x, 15)) * 0x846CA68B & _MASK
    return x ^ _right(x, 16)


def uniforms(seeds: Tensor, stream: int, count: int) -> tuple[Tensor, Tensor]:
    """Two independent arrays (R, `count`) of uniform numbers in (0, 1), multiples of 2⁻²⁵.

    `seeds` is (R,) int64. A network's numbers depend on its own seed alone, and the first of them
    do not depend on `count`.
    """
    key = _mixed((_mixed(seeds & _MASK) + stream * _GOLDEN) & _MASK).unsqueeze(-1)
    i = torch.arange(count, dtype=torch.int64, device=seeds.device)
    a, b = (_mixed(_mixed((2 * i + odd) & _MASK) ^ key) for odd in (0, 1))
    # 24 bits: what float32 holds exactly. The half keeps the logarithm of a zero away.
    return (_right(a, 8) + 0.5) / 2**24, (_right(b, 8) + 0.5) / 2**24


def normals(seeds: Tensor, stream: int, count: int) -> Tensor:
    """Standard normal numbers (R, `count`) in float64, by Box and Muller's transform.

    See `uniforms`. None lies further out than 5.9. Logarithms and sines differ in their last digit
    from one library to the next; what is made of float64 does not differ once it is float32.
    """
    u, v = (t.double() for t in uniforms(seeds, stream, count))
    # A tensor, because the exporter rounds plain numbers to float32; a sine, because the runtime
    # has no cosine of float64.
    turn = torch.tensor(math.tau, dtype=torch.float64)
    return (-2 * u.log()).sqrt() * (turn * (v + 0.25)).sin()


#: Coefficients of w = −log(1 − x²), shifted, for small and for large w; highest power first.
_NEAR = (
    *(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087),
    *(-0.00125372503, -0.00417768164, 0.246640727, 1.50140941),
)
_FAR = (
    *(-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773),
    *(-0.0076224613, 0.00943887047, 1.00167406, 2.83297682),
)


def erfinv(x: Tensor) -> Tensor:
    """The inverse error function in float32, to about 3e-7 (M. Giles 2012): ONNX has none."""
    w = -((1 - x) * (1 + x)).log()
    near, far = w - 2.5, w.sqrt() - 3

    def polynomial(coefficients: tuple[float, ...], at: Tensor) -> Tensor:
        total = at * coefficients[0] + coefficients[1]
        for c in coefficients[2:]:
            total = total * at + c
        return total

    return torch.where(w < 5, polynomial(_NEAR, near), polynomial(_FAR, far)) * x
