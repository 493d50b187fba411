"""Which runs are computed as one."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from math import prod

import torch

from initlab.data import SIZES
from initlab.models import Network, parameter_count
from initlab.spec import canonical
from initlab.sweep.runs import OF_EACH, Run
from initlab.tensors import Inputs, Tensors
from initlab.train import family
from initlab.train.memory_estimate import networks_at_once
from initlab.tree import apply, first

#: Fewer runs than this with an order of their own batches are not worth a group of their own:
#: they train together with others, each on its own batches.
WORTH_SHARING = 4


def groups(
    runs: Iterable[Run], memory: float | None = None, device: str = "cpu"
) -> list[list[Run]]:
    """Runs that can be computed as one; the most costly groups first.

    A group is as large as is fast, and as `memory` (bytes, all that one group may hold; by default
    there is no such limit) allows. Runs of one order of batches keep together, because what they
    share need not be computed twice.
    """
    alike: dict[tuple, list[Run]] = {}
    cut = []
    for r in runs:
        if r.budget is None:
            cut.append([r])
        else:
            alike.setdefault(_kind(r), []).append(r)
    for members in alike.values():
        one = members[0]
        assert one.budget is not None
        size = networks_at_once(
            one.model,
            one.budget.batch_size,
            one.optimizer,
            device,
            memory,
            teacher=taught(one) > 0,
            x=inputs(one),
        )
        orders = Counter(r.order for r in members)
        shared = [
            [r for r in members if r.order == o] for o, n in orders.items() if n >= WORTH_SHARING
        ]
        own = [r for r in members if orders[r.order] < WORTH_SHARING]
        for part in [*shared, own]:
            cut += [part[i : i + size] for i in range(0, len(part), size)]
    return sorted(cut, key=cost, reverse=True)


def _kind(run: Run) -> tuple:
    """What the runs of a group have in common: all fields but those that each network has."""
    fields = (f.name for f in dataclasses.fields(run) if f.name not in OF_EACH)
    shared = [(name, canonical(getattr(run, name))) for name in fields]
    stages = None if run.stages is None else canonical(run.stages.alike)
    return type(run), *shared, stages, family(run.optimizer)


def samples(run: Run) -> int:
    """Training samples of one epoch."""
    assert run.data is not None
    return run.data.train or SIZES[run.data.name][0]


def inputs(run: Run, count: int = 2) -> Inputs | None:
    """A few inputs of a run whose network is a user's, zeros where they would have to be loaded."""
    if not isinstance(run.model, Network) or run.data is None:
        return None
    if isinstance(run.data, Tensors):
        return apply(lambda t: t[:count], run.data.splits["train"][0])
    return torch.zeros(count, *run.data.shape)


def epochs(run: Run) -> int:
    """Epochs of training, over all stages."""
    assert run.budget is not None
    return sum(run.stages.lengths(run.budget.epochs)) if run.stages else run.budget.epochs


def taught(run: Run) -> float:
    """Share of the epochs in which a teacher looks at every batch, too."""
    assert run.budget is not None
    if run.stages is None or run.stages.teacher is None:
        return 0.0
    begin, *others = run.stages.lengths(run.budget.epochs)
    return sum(others) / (begin + sum(others))


def cost(group: Sequence[Run]) -> float:
    """Rough number of multiplications, to order groups and to decide whether to use processes."""
    r = group[0]
    weights = parameter_count(r.model)
    if isinstance(r.model, Network):
        x = inputs(r)
        shape: tuple[int, ...] = () if x is None else tuple(first(x).shape[1:])
    else:
        shape = r.model.input_shape
    positions = prod(shape[1:]) if len(shape) > 1 else 1
    if r.budget is None:
        return float(weights * r.networks * (20 + positions))  # a draw costs about 20
    # Deep kernels see fewer positions than the image has, by about this much.
    each = 3 * weights * max(1, positions / 8) * samples(r) * epochs(r) * len(group)
    return float(each * (1 + taught(r) / 3))
