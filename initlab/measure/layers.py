"""Layer by layer through any network: second moments both ways, angles, dead and saturated units.

The network is a module that is only read and the values of its parameters, by name; those that
are not given are the module's own. It computes in the mode (training or evaluation) that the
module is in, so that a new network normalizes by its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from initlab.init.functional import (
    FunctionalModule,
    batch_loss,
    check_batch,
    of_parameters,
    seeded,
)
from initlab.measure.layer_hooks import Seen, watching
from initlab.tree import apply, first, leaves, part

#: Columns of what is measured of a layer; layer 0 is the input.
COLUMNS = ("layer", "path", "kind", "statistic", "value")
#: A unit is saturated where its mean slope is below this share of the activation's largest.
SATURATED = 0.05

Rows = list[tuple[int, str, str, str, float]]


def _mean_square(t: Tensor) -> float:
    return float(t.detach().double().square().mean())


def _neighbours(t: Tensor) -> float | None:
    """Mean cosine between each example and the next; None where there is no axis of examples."""
    if len(t) < 2:
        return None
    flat = t.detach().double().flatten(1)
    length = flat.norm(dim=1)
    both = length[1:] * length[:-1]
    cosine = (flat[1:] * flat[:-1]).sum(1)[both > 0] / both[both > 0]
    return float(cosine.mean()) if len(cosine) else None


def layers(
    module: nn.Module,
    params: Mapping[str, Tensor],
    batch: tuple[Tensor, Tensor],
    generator: torch.Generator | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> pd.DataFrame:
    """Second moments both ways and angles, layer by layer, on a batch of inputs and targets.

    `forward` is the mean square of a layer's outputs; `backward` that of the gradient with respect
    to them of the sum of the examples' losses (cross-entropy for classes, else squared error);
    `correlation` the mean cosine between an example's outputs and the next one's. Columns
    `layer` (in the order of calls; 0 is the input), `path` (of the module), `kind`,
    `statistic`, `value`. `generator` is for dropout, and `loss` a mean over examples, where targets
    are of no usual kind (see `initlab.init.functional.batch_loss`).

    >>> net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU())
    >>> x, y = torch.eye(2), torch.zeros(2, 2)
    >>> frame = layers(net, {"0.weight": 2 * torch.eye(2)}, (x, y))
    >>> frame[frame.statistic == "forward"].value.tolist()
    [0.5, 2.0, 2.0]
    """
    x, y = check_batch(batch)
    rows: Rows = []

    def look(layer: int, path: str, kind: str, out: Tensor) -> None:
        rows.append((layer, path, kind, "forward", _mean_square(out)))
        if len(out) == len(y) and (cosine := _neighbours(out)) is not None:
            rows.append((layer, path, kind, "correlation", cosine))
        if out.requires_grad:
            # A hook on the tensor, not on the module: it lives as long as this graph.
            out.register_hook(
                lambda g: rows.append((layer, path, kind, "backward", _mean_square(g)))
            )

    def visit(seen: Seen) -> None:
        look(seen.layer, seen.path, seen.kind, seen.out)

    network = FunctionalModule(module, params)
    own = differentiable(network.module, params)
    start = apply(leaf, x)
    inputs = [t for t in leaves(start) if t.requires_grad]
    with torch.enable_grad(), seeded(default_generator(generator), network.device):
        for t in inputs:
            look(0, "", "input", t)
        with watching(network.module, visit):
            outputs = network(own, start)
        total = (loss or batch_loss)(outputs, y) * len(y)
        learned = [t for t in (*own.values(), *inputs) if t.requires_grad]
        if total.requires_grad:
            torch.autograd.grad(total, learned, allow_unused=True)
    return pd.DataFrame(sorted(rows, key=lambda row: row[0]), columns=list(COLUMNS))


def units(
    module: nn.Module,
    params: Mapping[str, Tensor],
    inputs: Any,
    *,
    batch_size: int = 256,
    generator: torch.Generator | None = None,
) -> pd.DataFrame:
    """Shares of dead and of saturated units in every activation, over a whole set of inputs.

    A unit (a feature, or a channel at all positions) is `dead` where the activation's slope is
    zero at every input of the set, so that no gradient can ever pass it there; it is
    `saturated` where the mean of the slope's absolute value is below 5 % of the largest that
    the activation has. Dead units are saturated. Columns as `layers` has them.

    Raises `ValueError` for no inputs and for a batch size below 1.
    """
    size = len(first(inputs))
    if size == 0 or type(batch_size) is not int or batch_size < 1:
        raise ValueError(
            "units are looked at on one or more inputs, in batches of a whole number ≥ 1, not "
            f"on {size} in batches of {batch_size!r}"
        )
    total: dict[int, Tensor] = {}
    count: dict[int, int] = {}
    told: dict[int, tuple[str, str, float]] = {}

    def visit(seen: Seen) -> None:
        if seen.slope is None:
            return
        slope = seen.slope().abs().double().movedim(seen.axis, 0).flatten(1)
        total[seen.layer] = total.get(seen.layer, 0) + slope.sum(1)
        count[seen.layer] = count.get(seen.layer, 0) + slope.shape[1]
        told[seen.layer] = seen.path, seen.kind, seen.steepest

    network = FunctionalModule(module, params)
    own = differentiable(network.module, params)
    with torch.enable_grad(), seeded(default_generator(generator), network.device):
        for where in _batches(size, batch_size):
            with watching(network.module, visit):
                network(own, apply(leaf, part(inputs, where)))
    rows: Rows = []
    for layer, (path, kind, steepest) in sorted(told.items()):
        mean = total[layer] / count[layer]
        rows += [
            (layer, path, kind, "dead", float((mean == 0).double().mean())),
            (layer, path, kind, "saturated", float((mean < SATURATED * steepest).double().mean())),
        ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _batches(count: int, size: int) -> Iterator[slice]:
    """Batches of `size`; a last one of one input joins the batch before, for normalization."""
    starts = list(range(0, count, size))
    if len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    for start, end in zip(starts, [*starts[1:], count], strict=True):
        yield slice(start, end)


def leaf(t: Tensor) -> Tensor:
    """A copy that the gradient reaches, where it holds real numbers."""
    copy = t.detach().clone()
    return copy.requires_grad_() if copy.is_floating_point() else copy


def differentiable(module: nn.Module, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of the parameters among some values, which the gradient reaches."""
    own = of_parameters(module, params)
    return {name: leaf(p) if not p.is_complex() else p.detach().clone() for name, p in own.items()}


def default_generator(generator: torch.Generator | None) -> torch.Generator:
    """The generator that was given, or a new one of seed 0."""
    return torch.Generator().manual_seed(0) if generator is None else generator
