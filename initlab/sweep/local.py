"""Groups on this machine: here, or on one process per core."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from multiprocessing.connection import wait as wait_for_exit

import torch

from initlab.sweep.execute import Result, execute
from initlab.sweep.runs import Run


def here(groups: Iterable[list[Run]], device: str) -> Iterator[list[Result]]:
    """Results of one group after the other, in this process."""
    flush = device == "cpu" and torch.set_flush_denormal(True)
    try:
        for group in groups:
            yield execute(group, device)
    finally:
        if flush:
            torch.set_flush_denormal(False)


def processes(groups: Iterable[list[Run]], workers: int) -> Iterator[list[Result]]:
    """Results of each group as they come, from `workers` processes of one thread each."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker) as pool:
        waiting = iter(groups)
        futures = {pool.submit(execute, g) for g in itertools.islice(waiting, workers + 1)}
        try:
            while futures:
                done, futures = wait(futures, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                futures |= {pool.submit(execute, g) for g in itertools.islice(waiting, len(done))}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _start_worker() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # a vanished signal must not cost a hundred times more
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:  # a killed sweep leaves no workers behind
        wait_for_exit([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
