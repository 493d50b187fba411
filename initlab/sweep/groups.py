"""Which runs are computed as one."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from math import prod

from initlab.data import SIZES
from initlab.init import Zeros
from initlab.models import parameter_count
from initlab.spec import canonical
from initlab.sweep.runs import Run
from initlab.train import SGD, family
from initlab.train.memory import networks_at_once

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
        first = members[0]
        assert first.budget is not None
        size = networks_at_once(
            first.model,
            first.budget.batch_size,
            first.optimizer,
            device,
            memory,
            teacher=taught(first) > 0,
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
    """What the runs of a group have in common."""
    same = dataclasses.replace(
        run,
        init=Zeros(),
        bias=Zeros(),
        seed=0,
        order=0,
        noise=None,
        optimizer=SGD(),
        start=None,
        stages=None if run.stages is None else run.stages.alike,
    )
    return canonical(same), family(run.optimizer)


def samples(run: Run) -> int:
    """Training samples of one epoch."""
    assert run.data is not None
    return run.data.train or SIZES[run.data.name][0]


def epochs(run: Run) -> int:
    """Epochs of training, over all stages."""
    assert run.budget is not None
    return sum(run.stages.lengths(run.budget.epochs)) if run.stages else run.budget.epochs


def taught(run: Run) -> float:
    """Share of the epochs in which a teacher looks at every batch, too."""
    assert run.budget is not None
    if run.stages is None or run.stages.teacher is None:
        return 0.0
    first, *others = run.stages.lengths(run.budget.epochs)
    return sum(others) / (first + sum(others))


def cost(group: Sequence[Run]) -> float:
    """Rough number of multiplications, to order groups and to decide whether to use processes."""
    r = group[0]
    weights, shape = parameter_count(r.model), r.model.input_shape
    positions = prod(shape[1:]) if len(shape) > 1 else 1
    if r.budget is None:
        return float(weights * r.networks * (20 + positions))  # a draw costs about 20
    # Deep kernels see fewer positions than the image has, by about this much.
    each = 3 * weights * max(1, positions / 8) * samples(r) * epochs(r) * len(group)
    return float(each * (1 + taught(r) / 3))
