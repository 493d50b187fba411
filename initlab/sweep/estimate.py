"""What a sweep will cost, from the speed measured here and now, before anything runs."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil

import pandas as pd
import torch

from initlab import devices
from initlab.data import SIZES, DataSet, Split
from initlab.init import HeNormal, Scheme, initialize, stacked
from initlab.models import ModuleModel, Network, Params
from initlab.reinit import Stages
from initlab.sweep.execute import FITTED_ON, execute
from initlab.sweep.groups import epochs, groups, inputs, samples, taught
from initlab.sweep.runs import Run, by_key
from initlab.tensors import Tensors
from initlab.train import Budget, family, fit
from initlab.train.choose import found
from initlab.train.ensemble import Batch
from initlab.train.fit import whole
from initlab.train.memory_estimate import group_bytes
from initlab.tree import apply

#: Steps of a fitted start that are timed; the first of them are not.
STEPS, WARM = 4, 1
#: A probe of training trains one batch and tests on one. It takes four times as many, up to these
#: numbers of batches, until what they add is `ENOUGH` seconds, or what training takes to start.
MOST, MOST_TESTED, ENOUGH = 64, 16, 0.5
#: Samples of a batch that is enough to time networks computed one after the other.
BATCH = 16


@dataclass(frozen=True)
class Estimate:
    """Cost of a sweep. `table` has one row per kind of group: model, data, runs, groups, runs in
    the largest group, seconds (of one worker, all its runs), bytes (of the largest group).
    """

    table: pd.DataFrame
    workers: int

    @property
    def seconds(self) -> float:
        """Work of one worker: a core, or the device."""
        return float(self.table.seconds.sum())

    @property
    def wall(self) -> float:
        """Seconds on the clock, on all workers."""
        return self.seconds / self.workers

    @property
    def memory(self) -> int:
        """Bytes that the workers hold at once, the data set left out."""
        return int(self.table.bytes.max()) * self.workers

    def __str__(self) -> str:
        """One line for a reader."""
        runs, hours = int(self.table.runs.sum()), self.wall / 3600
        span = f"{hours:,.1f} hours" if hours >= 1 else f"{self.wall:,.0f} seconds"
        return f"{runs:,} runs: {span} on {self.workers} workers, {self.memory / 2**20:,.0f} MiB"


def estimate(
    runs: Iterable[Run],
    *,
    device: str = "cpu",
    workers: int | None = None,
    memory: float | None = None,
) -> Estimate:
    """Cost of computing all of `runs` here, whatever is stored already.

    For every kind of group a few steps are timed on random data of the set's shape, so no data need
    be there. Runs may end before their budget: this is what they cost if none does. Looks at
    accuracy on the way are counted as one pass over the test set each. A scheme that fits its start
    to data (LSUV, MetaInit, GradInit, …) is timed on one network, for a few of its steps.

    Raises `ValueError` for no runs and an unknown device.
    """
    kinds: dict[tuple, list[list[Run]]] = {}
    for group in groups(by_key(runs).values(), memory, devices.check(device)):
        kinds.setdefault(_shape(group[0]), []).append(group)
    rows = []
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)  # workers have one each
        for cut in kinds.values():
            largest = max(cut, key=len)
            first, count = largest[0], sum(map(len, cut))
            rows.append(
                {
                    "model": type(first.model).__name__,
                    "data": first.data.name if first.data else "none",
                    "runs": count,
                    "groups": len(cut),
                    "largest": len(largest),
                    "seconds": _seconds(largest, device) / len(largest) * count
                    + _starts(cut, device),
                    "bytes": 0
                    if first.budget is None
                    else group_bytes(
                        first.model,
                        first.budget.batch_size,
                        first.optimizer,
                        len(largest),
                        teacher=taught(first) > 0,
                        device=device,
                        x=inputs(first),
                    ),
                }
            )
    finally:
        torch.set_num_threads(threads)
    default = 1 if device != "cpu" else os.cpu_count() or 1
    return Estimate(pd.DataFrame(rows), workers or default)


def _shape(run: Run) -> tuple:
    """What decides the cost of a run."""
    if run.budget is None:
        return run.model, run.measure, run.networks, run.data, _fitted(run)
    stages = None if run.stages is None else run.stages.alike
    kind = run.model, run.budget, family(run.optimizer), samples(run), run.augment, run.curves
    return *kind, stages


def _fitted(run: Run) -> Scheme | None:
    """The scheme that fits a run's start to data, if it has one."""
    return run.init if isinstance(run.init, Scheme) and run.init.needs_batch else None


def _starts(cut: list[list[Run]], device: str) -> float:
    """Cost of fitting the starts of trained runs of one kind: networks are fitted one by one."""
    first = cut[0][0]
    if first.budget is None:  # the probe of networks that are only looked at fits them
        return 0.0
    fitted = Counter(scheme for group in cut for r in group if (scheme := _fitted(r)))
    return sum(n * _start(first, scheme, device) for scheme, n in fitted.items())


def _start(run: Run, scheme: Scheme, device: str) -> float:
    """Cost of fitting one network of a run's model, on noise of the shape of its data."""
    g = torch.Generator().manual_seed(0)
    module = run.model.build("meta")
    batch = _like(run, min(FITTED_ON, samples(run)), g, device)
    x = batch.x
    if not isinstance(run.model, Network):
        assert isinstance(x, torch.Tensor)
        x = x.reshape(-1, *run.model.input_shape)

    def timed(steps: int) -> float:
        rule = replace(scheme, steps=steps) if steps else scheme  # type: ignore[call-arg]
        start = time.perf_counter()
        initialize(module, rule, g, device=device, batch=(x, batch.y))
        _wait(device)
        return time.perf_counter() - start

    steps = getattr(scheme, "steps", 0)  # none: one pass
    few = min(steps, WARM)
    timed(few)
    short, more = timed(few), min(steps - few, STEPS)
    if not more:
        return short
    return short + max(0.0, timed(few + more) - short) / more * (steps - few)


def _like(run: Run, count: int, generator: torch.Generator, device: str) -> Split:
    """Examples in place of a run's data: noise, or some of a user's tensors again and again."""
    if isinstance(run.data, Tensors):
        x, y = run.data.splits["train"]
        again = torch.arange(count) % len(y)
        return Split(apply(lambda t: t[again].to(device), x), y[again].to(device))
    assert run.data is not None
    x = torch.randn(count, *run.data.shape, generator=generator).to(device)
    return Split(x, torch.randint(run.data.outputs, (count,), generator=generator).to(device))


def _params(run: Run, count: int, generator: torch.Generator, device: str) -> Params:
    """Parameters of networks like a run's, without a start that is fitted to data."""
    rule = HeNormal() if _fitted(run) else run.init
    module = run.model.build("meta")
    params = stacked(module, rule, generator, count, run.bias, device)
    return whole(run.model, params, count) if isinstance(run.model, Network) else params


def _one_by_one(run: Run, batch: int, device: str) -> bool:
    """Whether the networks of a group are computed one after the other."""
    if not isinstance(run.model, Network):
        return isinstance(run.model, ModuleModel)
    g = torch.Generator().manual_seed(0)
    like = _like(run, batch, g, device)
    params = _params(run, 1, g, device)
    return found(run.model, params, Batch(like.x, like.y), run.loss).way.apart


def _wait(device: str) -> None:
    """Until the device has done what was asked of it."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _seconds(group: list[Run], device: str) -> float:
    """Cost of one group from a short probe; of training, without starts fitted to data."""
    first = group[0]
    if first.budget is None:
        few = replace(first, networks=max(1, first.networks // 50))
        start = time.perf_counter()
        execute([few], device)
        return (time.perf_counter() - start) * first.networks / few.networks * len(group)
    data_of = first.data
    assert data_of is not None
    N, full = samples(first), min(first.budget.batch_size, samples(first))
    batch, probed = full, group
    # Their time grows with networks and with samples.
    if _one_by_one(first, full, device):
        batch, probed = min(full, BATCH), group[:1]
    tests = SIZES[data_of.name][1] if data_of.test is None else data_of.test
    tests = max(1, tests or data_of.val)  # what the end of a run is judged on
    g = torch.Generator().manual_seed(0)
    params = _params(first, len(probed), g, device)

    hooked = None
    if first.stages is not None and first.stages.method.normalizes:
        hooked = Stages(first.stages.method, 1)  # its networks are computed one by one

    def timed(train: int, test: int) -> float:
        seen, held = (_like(first, n, g, device) for n in (train, test))
        data = DataSet("probe", seen, held, data_of.outputs)
        start = time.perf_counter()
        fit(
            first.model,
            params,
            data,
            optimizer=[r.optimizer for r in probed],
            budget=Budget(epochs=1, batch_size=batch),
            order=torch.Generator().manual_seed(0),
            loss=first.loss,
            augment=first.augment,
            stages=hooked,
            fresh=lambda r, stage: {},
        )
        _wait(device)
        return time.perf_counter() - start

    timed(WARM * batch, 1)
    short, more = timed(WARM * batch, 1), 1
    enough = short + min(short, ENOUGH)
    while (long := timed((WARM + more) * batch, 1)) < enough and more < MOST:
        more *= 4
    look, most = min(tests, batch), min(tests, MOST_TESTED * batch)
    while (tested := timed(WARM * batch, look)) < enough and look < most:
        look = min(4 * look, most)
    looked = max(0.0, tested - short) / look * tests
    steps = ceil(N / full) * epochs(first)
    looks = 1.0 if first.budget.goal is None else len(first.budget.check_steps(steps))
    if first.curves is not None:
        looks += len(first.curves.steps(steps)) * (1 + N // tests)
    if first.stages is not None:
        students = first.stages.count - 1 if first.stages.teacher else 0
        looks += first.stages.count * (1 + N // tests) + students
        looks += taught(first) * epochs(first) * N / tests  # what the teacher sees
    step = max(0.0, long - short) / more * full / batch
    return (step * steps + looked * looks) * len(group) / len(probed)
