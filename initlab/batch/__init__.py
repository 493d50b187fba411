"""A notebook over a grid of parameters: resumable, on this machine or on a Ray cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from initlab.batch.cells import DONE, FAILED, Cell, Record, cells, keep, known
from initlab.batch.engines import ENGINES, Call, EngineError, local, on_ray
from initlab.batch.page import page
from initlab.notebook import Executed, NotebookError, check, execute, fingerprint, read, save
from initlab.parameters import ParameterError
from initlab.store import Leases, StoreError

#: Told of each cell that ends: the cell, its record, and whether it was known before.
Tell = Callable[[Cell, Record, bool], None]
#: Seconds between looks at the folder, while other batches run the last cells.
PAUSE = 1.0


def batch(
    notebook: Path,
    axes: Mapping[str, Sequence[Any]],
    fixed: Mapping[str, Any],
    out: Path,
    *,
    engine: str = "local",
    workers: int | None = None,
    timeout: int | None = None,
    tell: Tell = lambda cell, record, before: None,
) -> list[Record]:
    """Run a notebook for each combination of the axes' values; the records in that order.

    A cell that is done in the folder `out`, from the same cells of the same notebook and the
    same parameters, is not run again; one that failed is. A failure does not stop the others.
    `out/index.html` lists all of them and is kept up to date. Several batches may share one folder
    at once: each cell is run by one of them, and all wait for the last. With `engine` "local",
    `workers` processes (one, unless told) run on this machine; with "ray", at most `workers` tasks
    at a time on a cluster, each with a GPU of its own if `device` is "cuda".

    Raises `ParameterError` before anything runs for parameters, or values of them, that the
    notebook does not take, `NotebookError` when it cannot be read or `out` cannot be written,
    `EngineError` for an engine or a number of workers that there is not, and `ClusterError` for a
    cluster that cannot be used.
    """
    if engine not in ENGINES:
        raise EngineError(f"unknown engine {engine!r}; choose {' or '.join(ENGINES)}")
    if workers is not None and workers < 1:
        raise EngineError(f"workers must be ≥ 1, not {workers}")
    if not axes:
        raise ParameterError("a batch needs one or more axes to vary: --grid NAME=a,b,c")
    source = read(notebook)
    wanted = cells(axes, fixed)
    check(source, *(cell.parameters for cell in wanted))
    mark, records = fingerprint(source), dict[str, Record]()
    before = {cell.name: known(cell, out, mark) for cell in wanted}

    def write_page() -> None:
        save(page(notebook.name, wanted, records, fixed, out), out / "index.html")

    def settle(cell: Cell, record: Record, known_before: bool) -> None:
        records[cell.name] = record
        write_page()
        tell(cell, record, known_before)

    for cell in wanted:
        record = before[cell.name]
        if record is not None and record.state == DONE:
            records[cell.name] = record
            tell(cell, record, True)
    write_page()
    folder = str(notebook.parent.resolve())
    left = {c.name: c for c in wanted if c.name not in records}

    def mine(leases: Leases) -> Iterator[Call]:
        """Those that no other batch on this folder runs, each leased when its turn comes."""
        for name, cell in list(left.items()):
            if not leases.take([name]):
                continue
            if known(cell, out, mark) == before[name]:
                run = partial(execute, source, cell.parameters, folder=folder, timeout=timeout)
                yield name, run
            else:  # another batch has run it since this one began
                leases.release([name])

    on_gpu = any(str(c.parameters.get("device")).startswith("cuda") for c in wanted)

    def started(calls: Iterable[Call]) -> Iterator[tuple[str, Future]]:
        if engine == "local":
            return local(calls, workers or 1)
        return on_ray(calls, workers, gpus=float(on_gpu))

    with _leases(out) as leases:
        while left:
            calls = mine(leases)
            first = next(calls, None)
            for name, future in started(chain([first], calls)) if first else ():
                cell = left.pop(name)
                settle(cell, keep(cell, out, mark, _outcome(future)), False)
                leases.release([name])
            for name, cell in list(left.items()):
                record = known(cell, out, mark)
                if record is not None and record != before[name]:
                    settle(left.pop(name), record, True)
            if left:
                time.sleep(PAUSE)
    return [records[cell.name] for cell in wanted]


@contextmanager
def _leases(out: Path) -> Iterator[Leases]:
    """Which cells this batch runs, so that no other one on the same folder runs them too."""
    try:
        with Leases(out, set) as leases:
            yield leases
    except StoreError as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        raise NotebookError(
            f"cannot write {out}: {reason}. Make room or choose another place."
        ) from None


def _outcome(future: Future) -> Executed:
    """What a call gave; a process or a node that was lost is the failure of its cell alone."""
    try:
        return future.result()
    except NotebookError as error:
        return Executed("", 0.0, str(error))
    except Exception as error:  # a killed process, a lost node: each engine has its own class
        return Executed("", 0.0, f"{type(error).__name__}: {error}; run the batch again")


__all__ = ["DONE", "FAILED", "Cell", "EngineError", "Record", "batch"]
