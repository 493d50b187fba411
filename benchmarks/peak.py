"""What the machine can do at best: one large float32 matrix product, and our share of it.

Taken in the same rounds as the training that it is held against.
"""

from __future__ import annotations

import statistics
from itertools import pairwise
from typing import Any

import torch

from benchmarks.harness import Work
from initlab.models import MLP

#: m, k, n of (m, k) @ (k, n): 64 first layers on one batch, and a square.
SHAPES = ((2048, 784, 128), (1024, 1024, 1024))
LIBRARIES = ("MKL", "oneDNN")
#: Enough that starting the clock does not count.
FLOP = 4e10


def products() -> dict[tuple[str, str], Work]:
    """(library, shape) → work that does products and counts floating-point operations.

    The libraries are those that torch brings for x86 processors; a build without one leaves it
    out, and a build without MKL has another behind `torch.mm`.
    """
    ways = {}
    for m, k, n in SHAPES:
        for library in LIBRARIES:
            if library == "MKL" or hasattr(torch.ops.mkldnn, "_linear_pointwise"):
                ways[library, f"{m}×{k}×{n}"] = _product(library, m, k, n)
    return ways


def _product(library: str, m: int, k: int, n: int) -> Work:
    a, b = torch.randn(m, k), torch.randn(n, k)
    times = round(FLOP / (2 * m * k * n))

    @torch.no_grad()
    def run() -> int:
        for _ in range(times):
            if library == "MKL":
                torch.mm(a, b.T)
            else:
                torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
        return times * 2 * m * k * n

    return run


def flop(model: MLP) -> int:
    """Floating-point operations in the products of one step, per network and sample.

    Forward, and backward to weights and inputs, except to the data.

    >>> flop(MLP((3,), inputs=4, outputs=2))
    84
    """
    sizes = [model.inputs, *model.widths, *([model.outputs] if model.outputs else [])]
    products = [a * b for a, b in pairwise(sizes)]
    return 6 * sum(products) - 2 * products[0]


def share(model: MLP, ours: list[float], peak: list[float]) -> dict[str, Any]:
    """The peak in GFLOP/s, and the share of it that our model-samples per second are."""
    shares = [a * flop(model) / b for a, b in zip(ours, peak, strict=True)]
    return {
        "gflops": statistics.median(peak) / 1e9,
        "share": statistics.median(shares),
        "spread": [min(shares), max(shares)],
    }
