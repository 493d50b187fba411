"""A notebook over a grid of parameters: resumable, on this machine or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from initlab.batch.cells import DONE, FAILED, Cell, Record, cells, keep, known
from initlab.batch.engines import ENGINES, EngineError, local, on_ray
from initlab.batch.page import page
from initlab.notebook import Executed, NotebookError, check, execute, fingerprint, read, save
from initlab.parameters import ParameterError, check_preset

#: Told of each cell that ends: the cell, its record, and whether it was known before.
Tell = Callable[[Cell, Record, bool], None]


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
    `out/index.html` lists all of them and is kept up to date. With `engine` "local", `workers`
    processes (one, unless told) run on this machine; with "ray", at most `workers` tasks at a
    time on a cluster, each with a GPU of its own if `device` is "cuda".

    Raises `ParameterError` before anything runs for parameters that the notebook does not take,
    `NotebookError` when it cannot be read or `out` cannot be written, `EngineError` for an engine
    or a number of workers that there is not, and `ClusterError` for a cluster that cannot be used.
    """
    if engine not in ENGINES:
        raise EngineError(f"unknown engine {engine!r}; choose {' or '.join(ENGINES)}")
    if workers is not None and workers < 1:
        raise EngineError(f"workers must be ≥ 1, not {workers}")
    if not axes:
        raise ParameterError("a batch needs one or more axes to vary: --grid NAME=a,b,c")
    source = read(notebook)
    wanted = cells(axes, fixed)
    check(source, wanted[0].parameters)
    for cell in wanted:
        check_preset(cell.parameters.get("preset", "laptop"))
    mark, records = fingerprint(source), dict[str, Record]()

    def write_page() -> None:
        save(page(notebook.name, wanted, records, fixed, out), out / "index.html")

    for cell in wanted:
        record = known(cell, out, mark)
        if record is not None and record.state == DONE:
            records[cell.name] = record
            tell(cell, record, True)
    write_page()
    missing = {c.name: c for c in wanted if c.name not in records}
    folder = str(notebook.parent.resolve())
    calls = [
        (name, partial(execute, source, cell.parameters, folder=folder, timeout=timeout))
        for name, cell in missing.items()
    ]
    if engine == "local":
        ended = local(calls, workers or 1)
    else:
        on_gpu = any(str(c.parameters.get("device")).startswith("cuda") for c in wanted)
        ended = on_ray(calls, workers, gpus=float(on_gpu))
    for name, future in ended:
        records[name] = keep(missing[name], out, mark, _outcome(future))
        write_page()
        tell(missing[name], records[name], False)
    return [records[cell.name] for cell in wanted]


def _outcome(future: Future) -> Executed:
    """What a call gave; a process or a node that was lost is the failure of its cell alone."""
    try:
        return future.result()
    except NotebookError as error:
        return Executed("", 0.0, str(error))
    except Exception as error:  # a killed process, a lost node: each engine has its own class
        return Executed("", 0.0, f"{type(error).__name__}: {error}; run the batch again")


__all__ = ["DONE", "FAILED", "Cell", "EngineError", "Record", "batch"]
