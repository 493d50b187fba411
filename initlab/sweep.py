"""Experiments as values: a run, products of runs, and what is known of them.

`run(runs)` looks up what is recorded or stored, computes the rest in groups that train as one,
and stores each group when it ends. A killed sweep loses the groups in flight and nothing else.
"""

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
import os
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from multiprocessing.connection import wait as wait_for_exit
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from initlab import data as data_module
from initlab.data import Data
from initlab.init import Rule, Zeros, initialize
from initlab.measure.signal import Lengths, lengths, random_unit_inputs, report
from initlab.models import Model, parameter_count
from initlab.spec import canonical, flat, from_plain, key, seed_of, spec
from initlab.store import RECORDED, Store
from initlab.train import SGD, Budget, fit

#: Rows of a result: (network, layer, step, statistic, value).
Rows = list[tuple[int, int, int, str, float]]

#: Weights drawn at once for networks that are only looked at. Part of a result's definition:
#: each chunk has its own seed.
CHUNK_WEIGHTS = 2**22
#: Activations of one layer that a training group holds at once: about what a core's cache does.
GROUP_ACTIVATIONS = 2**18


@spec
class Run:
    """All that decides a result: nothing else may.

    With a `budget` the run trains one network on `data`; with `measure` it draws `networks`
    networks and reports their lengths at initialization. `seed` decides the weights, `order`
    the batches; by default all runs share the batches, so that they can be compared in pairs.
    """

    model: Model
    init: Rule
    data: Data | None = None
    bias: Rule = Zeros()
    seed: int = 0
    networks: int = 1
    measure: Lengths | None = None
    optimizer: SGD = SGD()
    budget: Budget | None = None
    order: int = 0

    def __post_init__(self) -> None:
        """Refuse runs that do nothing, or two things at once."""
        if (self.budget is None) == (self.measure is None):
            raise ValueError("a run needs either a budget (it trains) or a measure, not both")
        if self.budget is not None and (self.data is None or self.networks != 1):
            raise ValueError("a run that trains needs data, and trains one network")
        if self.measure is not None and (self.measure.image is None) != (self.data is None):
            raise ValueError("lengths are measured on an image of data, or without data")
        if self.networks < 1:
            raise ValueError(f"networks must be ≥ 1, not {self.networks}")


def grid(base: Run, **axes: Iterable[Any]) -> list[Run]:
    """Every combination of the given fields, as runs; the last axis varies fastest.

    Raises `ValueError` for a field that a run does not have.

    >>> from initlab.init import HeNormal, LecunNormal
    >>> from initlab.models import MLP
    >>> base = Run(MLP.constant(20, 10), HeNormal(), measure=Lengths(), networks=100)
    >>> len(grid(base, init=[HeNormal(), LecunNormal()], seed=range(10)))
    20
    """
    known = [field.name for field in dataclasses.fields(base)]
    for name in axes:
        if name not in known:
            raise ValueError(f"a run has no field {name!r}; it has {', '.join(known)}")
    return [
        dataclasses.replace(base, **dict(zip(axes, values, strict=True)))
        for values in itertools.product(*axes.values())
    ]


def _generator(run: Run, *purpose: Any) -> torch.Generator:
    return torch.Generator().manual_seed(seed_of(run.seed, *purpose))


def _measure(run: Run, device: str) -> Rows:
    """Draw the networks of a run in chunks and report their lengths."""
    assert run.measure is not None
    module, shape = run.model.build("meta"), run.model.input_shape
    at_once = max(1, CHUNK_WEIGHTS // parameter_count(run.model))
    image = None
    if run.data is not None:
        assert run.measure.image is not None
        train = data_module.load(run.data, device).train
        if not 0 <= run.measure.image < len(train.y):
            raise ValueError(
                f"image {run.measure.image} is not among the {len(train.y)} of {run.data.name}"
            )
        image = train.x[run.measure.image].reshape(1, *shape)
    M = []
    for chunk, start in enumerate(range(0, run.networks, at_once)):
        count = min(at_once, run.networks - start)
        weights = _generator(run, "weights", chunk)
        params = initialize(module, run.init, weights, bias=run.bias, count=count, device=device)
        if image is None:
            x = random_unit_inputs(count, shape, _generator(run, "input", chunk)).to(device)
        else:
            x = image
        M.append(lengths(run.model, params, x).numpy())
    return report(run.measure, np.concatenate(M))


def _train(runs: Sequence[Run], device: str) -> list[Rows]:
    """Train a group of runs as one."""
    first = runs[0]
    assert first.data is not None and first.budget is not None
    module = first.model.build("meta")
    starts = [
        initialize(module, r.init, _generator(r, "weights", 0), bias=r.bias, device=device)
        for r in runs
    ]
    params = {name: torch.stack([s[name] for s in starts]) for name in starts[0]}
    order = torch.Generator().manual_seed(seed_of(first.order, "order"))
    outcomes = fit(
        first.model,
        params,
        data_module.load(first.data, device),
        optimizer=first.optimizer,
        budget=first.budget,
        order=order,
    )
    return [[(0, -1, -1, name, value) for name, value in o.rows()] for o in outcomes]


def execute(runs: Sequence[Run], device: str = "cpu") -> list[tuple[str, str, float, Rows]]:
    """Compute one group of runs: (key, JSON, seconds, rows) of each."""
    start = time.perf_counter()
    trains = runs[0].budget is not None
    rows = _train(runs, device) if trains else [_measure(r, device) for r in runs]
    seconds = (time.perf_counter() - start) / len(runs)
    return [(key(r), canonical(r), seconds, row) for r, row in zip(runs, rows, strict=True)]


def groups(runs: Iterable[Run]) -> list[list[Run]]:
    """Runs that can be computed as one, cut to what fits a core's cache; the longest first."""
    alike: dict[str, list[Run]] = {}
    cut = []
    for r in runs:
        if r.budget is None:
            cut.append([r])
        else:
            same = dataclasses.replace(r, init=Zeros(), bias=Zeros(), seed=0)
            alike.setdefault(canonical(same), []).append(r)
    for members in alike.values():
        r = members[0]
        assert r.budget is not None
        widest = max(getattr(r.model, "widths", (getattr(r.model, "width", 64),)))
        size = max(1, min(32, GROUP_ACTIVATIONS // (r.budget.batch_size * widest)))
        cut += [members[i : i + size] for i in range(0, len(members), size)]
    return sorted(cut, key=_cost, reverse=True)


def _cost(group: Sequence[Run]) -> float:
    """Rough number of multiplications, to order groups and to decide whether to use processes."""
    r = group[0]
    weights = parameter_count(r.model)
    if r.budget is None:
        positions = np.prod(r.model.input_shape[1:]) if len(r.model.input_shape) > 1 else 1
        return float(weights * r.networks * (20 + positions))  # a draw costs about 20
    samples = r.data.train if r.data and r.data.train else 60_000
    return float(3 * weights * samples * r.budget.epochs * len(group))


def _start_worker() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # a vanished signal must not cost a hundred times more
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:  # a killed sweep leaves no workers behind
        wait_for_exit([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def run(
    runs: Iterable[Run],
    *,
    store: Store | None = None,
    recorded: bool = True,
    device: str = "cpu",
    engine: str = "local",
    workers: int | None = None,
) -> pd.DataFrame:
    """The results of `runs` as a tidy frame, computing what is not known yet.

    Known is what ships with the package (unless `recorded` is False) and what the store holds.
    The rest is computed in groups, on `workers` processes (as many as cores) or on a GPU, and
    stored as each group ends.

    Returns one row per value: columns `network`, `layer`, `step`, `statistic`, `value`, `seconds`,
    `key`, and every field of the run (`model.widths`, `init`, `seed`, …), in the order of `runs`.

    Raises `ValueError` for an unknown engine and `StoreError` when results cannot be stored.
    """
    if engine != "local":
        raise ValueError(f"unknown engine {engine!r}; known: local")
    store = Store() if store is None else store
    named = {key(r): r for r in runs}
    frames = []
    if recorded:
        frames.append(Store(RECORDED).frame(named))
    missing = set(named).difference(*(f.key for f in frames))
    stored = store.keys() & missing
    todo = groups(named[k] for k in named if k in missing - stored)
    computed = {k for g in todo for k in map(key, g)}
    for results in _compute(todo, device, workers):
        store.add(results)
    frames.append(store.frame(stored | computed))
    values = pd.concat([f for f in frames if len(f)], ignore_index=True)
    return _tidy(values, named)


def _compute(todo: list[list[Run]], device: str, workers: int | None):
    """Results of each group, as they come."""
    runs = sum(map(len, todo))
    with tqdm(total=runs, unit="run", leave=False, disable=runs == 0) as bar:
        workers = min(workers or os.cpu_count() or 1, len(todo))
        few = sum(map(_cost, todo)) < 2e10
        if device != "cpu" or workers < 2 or few:
            for group in todo:
                yield execute(group, device)
                bar.update(len(group))
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context, _start_worker) as pool:
            waiting = iter(todo)
            futures = {pool.submit(execute, g) for g in itertools.islice(waiting, workers + 1)}
            try:
                while futures:
                    done, futures = wait(futures, return_when=FIRST_COMPLETED)
                    for future in done:
                        results = future.result()
                        yield results
                        bar.update(len(results))
                    futures |= {
                        pool.submit(execute, g) for g in itertools.islice(waiting, len(done))
                    }
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _tidy(values: pd.DataFrame, named: dict[str, Run]) -> pd.DataFrame:
    fields = pd.DataFrame(
        [{"key": k, "_order": i, **flat(r)} for i, (k, r) in enumerate(named.items())]
    )
    columns = ["key", "network", "layer", "step", "statistic", "value", "seconds", "commit"]
    tidy = (
        values[columns]
        .merge(fields, on="key")
        .sort_values(["_order", "statistic", "layer", "network", "step"], kind="stable")
    )
    return tidy.drop(columns="_order").reset_index(drop=True)


def from_json(text: str) -> Run:
    """The run of a stored row's `run` column."""
    import json

    return from_plain(json.loads(text))


def select(frame: pd.DataFrame, runs: Iterable[Run], statistic: str | None = None) -> pd.DataFrame:
    """The rows of a frame that belong to `runs`, and of one statistic if it is named."""
    chosen = frame.key.isin({key(r) for r in runs})
    if statistic is not None:
        chosen &= frame.statistic == statistic
    return frame[chosen].dropna(axis="columns", how="all")
