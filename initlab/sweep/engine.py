"""What is known is looked up, the rest is computed and stored as it comes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator

import pandas as pd
from tqdm.auto import tqdm

from initlab import devices
from initlab.cluster import on_ray
from initlab.spec import key
from initlab.store import RECORDED, Leases, Store
from initlab.sweep import local
from initlab.sweep.execute import Result, execute
from initlab.sweep.groups import cost, groups
from initlab.sweep.runs import COLUMNS, Run, by_key, tidy

ENGINES = ("local", "ray")
#: Multiplications under which processes take longer to start than they gain over threads, as far
#: as one can know: a number of workers that is given is taken.
FEW = 2e11
#: Seconds between looks at the store, while other processes compute the last groups.
PAUSE = 0.5


def run(
    runs: Iterable[Run],
    *,
    store: Store | None = None,
    recorded: bool = True,
    device: str = "cpu",
    engine: str = "local",
    workers: int | None = None,
    memory: float | None = None,
    gpus_per_task: float | None = None,
    address: str | None = None,
) -> pd.DataFrame:
    """The results of `runs` as a tidy frame, computing what is not known yet.

    Known is what ships with the package (unless `recorded` is False) and what the store holds.
    The rest is computed in groups and stored as each group ends: with `engine` "local" on
    `workers` processes (by default as many as cores, or none where there is little to do) or on a
    GPU; with "ray" as tasks of the cluster at `address` (by default the user's own, else one
    started here), each taking the share `gpus_per_task` of a GPU on "cuda" (1 unless given).
    `memory` bounds the bytes that one group holds. Several processes may do so on one store at
    once: they share the groups out.

    Returns one row per value: columns `network`, `layer`, `step`, `statistic`, `index`, `index_2`,
    `value`, `seconds`, `key`, and every field of the run (`model.widths`, `init`, `seed`, …), in
    the order of `runs`. See `initlab.sweep.runs.tidy`.

    Raises `ValueError` for no runs, an unknown engine or device and too little memory,
    `StoreError` when results cannot be stored and `ClusterError` when the cluster cannot be used.
    """
    if engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}; known: {', '.join(ENGINES)}")
    if workers is not None and (type(workers) is not int or workers < 1):
        raise ValueError(f"workers must be a whole number ≥ 1, not {workers!r}")
    if engine == "local":
        devices.check(device)
    store = Store() if store is None else store
    named = by_key(runs)
    frames = []
    if recorded:
        frames.append(Store(RECORDED).frame(named, COLUMNS))
    missing = set(named).difference(*(f.key.unique() for f in frames))
    unknown = missing - store.keys()  # once: it looks through the store's folder
    todo = [named[k] for k in named if k in unknown]
    if todo:
        cut = groups(todo, memory, device)
        share = 0.0 if device != "cuda" else 1.0 if gpus_per_task is None else gpus_per_task

        def compute(mine: Iterator[list[Run]]) -> Iterator[list[Result]]:
            if engine == "ray":
                return on_ray(mine, execute, device=device, gpus_per_task=share, address=address)
            cores = min(workers or os.cpu_count() or 1, len(cut))
            little = workers is None and sum(map(cost, cut)) < FEW
            if device != "cpu" or cores < 2 or little:
                return local.here(mine, device)
            return local.processes(mine, cores)

        _fill(store, cut, compute)
    frames.append(store.frame(missing, COLUMNS))
    values = pd.concat([f for f in frames if len(f)], ignore_index=True)
    return tidy(values, named)


def _fill(
    store: Store,
    cut: list[list[Run]],
    compute: Callable[[Iterator[list[Run]]], Iterator[list[Result]]],
) -> None:
    """Compute and store groups of runs, together with whoever else fills the same store."""
    left = {key(r) for group in cut for r in group}
    with tqdm(total=len(left), unit="run", leave=False) as bar, store.leases() as leases:
        while left:
            for group in compute(_leased(leases, cut)):
                store.add(group)
                keys = {k for k, *_ in group}
                leases.release(keys)
                left -= keys
                bar.update(len(keys))
            if left:  # another process has leased these: it stores them, or it dies
                stored = store.keys() & left
                left -= stored
                bar.update(len(stored))
                if left and not stored:
                    time.sleep(PAUSE)


def _leased(leases: Leases, cut: list[list[Run]]) -> Iterator[list[Run]]:
    """The groups, or what is left of them, that no other process computes."""
    for group in cut:
        free = leases.take(map(key, group))
        if mine := [r for r in group if key(r) in free]:
            yield mine
