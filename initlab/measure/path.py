"""The straight line between two sets of weights: is there a barrier on it?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.func import functional_call

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@torch.no_grad()
def linear_path(
    module: nn.Module,
    start: Mapping[str, Tensor],
    end: Mapping[str, Tensor],
    x: Tensor,
    y: Tensor,
    *,
    points: int = 21,
    reference: Tensor | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    batch_size: int = 1024,
) -> dict[str, np.ndarray]:
    """Loss and accuracy of (1 − t) · start + t · end for t from 0 to 1: `t`, `loss`, `accuracy`.

    `start` and `end` are parameters by name; `x`, (B, …), and `y`, (B,), are what is measured on;
    each result is (points,). Running statistics of batch normalization mean nothing between two
    networks: they are estimated anew at each point, on `reference` (x if it is not given). `loss`
    takes outputs and targets and averages over samples. The module is not changed.

    Raises `ValueError` for fewer than 2 points and for parameters that do not fit each other.
    """
    if points < 2:
        raise ValueError(f"a path has 2 points or more, not {points}")
    names = {name for name, _ in module.named_parameters()}
    for what, given in (("start", start), ("end", end)):
        if missing := sorted(names - set(given)):
            raise ValueError(f"{what} lacks {len(missing)} parameters, such as {missing[0]!r}")
    module = deepcopy(module)
    norms = [m for m in module.modules() if isinstance(m, _NORMS) and m.track_running_stats]
    found: dict[str, list[float]] = {"t": [], "loss": [], "accuracy": []}
    for t in np.linspace(0, 1, points):
        params = {n: torch.lerp(start[n], end[n], float(t)) for n in names}
        if norms:
            for norm in norms:
                norm.reset_running_stats()
                norm.momentum = None  # the plain average of all batches
            module.train()
            for batch in (x if reference is None else reference).split(batch_size):
                functional_call(module, params, (batch,))
        module.eval()
        total = right = 0.0
        for a, b in zip(x.split(batch_size), y.split(batch_size), strict=True):
            out = functional_call(module, params, (a,))
            total += float(loss(out, b)) * len(a)
            right += float((out.argmax(-1) == b).sum()) if not b.is_floating_point() else 0.0
        for name, value in (("t", t), ("loss", total / len(x)), ("accuracy", right / len(x))):
            found[name].append(float(value))
    return {name: np.array(values) for name, values in found.items()}


def barrier(t: ArrayLike, loss: ArrayLike) -> float:
    """How far the loss on a path rises above the straight line between its ends, at most.

    Frankle et al. 2020 call two networks linearly connected where that is about 0.

    >>> barrier([0, 0.5, 1], [1.0, 4.0, 2.0])
    2.5
    """
    t, loss = np.asarray(t, dtype=float), np.asarray(loss, dtype=float)
    chord = (1 - t) * loss[0] + t * loss[-1]
    return float(np.max(loss - chord))
