"""Where the notebooks of a batch run: in processes of this machine, or as Ray tasks.

An engine takes named calls and gives (name, future) of each as it ends. Giving up the iterator,
as Ctrl-C does, ends what is in flight.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any

from initlab.cluster import connected

Call = tuple[str, Callable[[], Any]]
ENGINES = ("local", "ray")


class EngineError(Exception):
    """An engine that there is not; the message says which there are."""


def _as_they_end(
    send: Callable[[Callable[[], Any]], Future], calls: Iterable[Call], at_once: int | None
) -> Iterator[tuple[str, Future]]:
    waiting, flying = iter(calls), dict[Future, str]()
    while True:
        room = None if at_once is None else at_once - len(flying)
        for name, call in islice(waiting, room):
            flying[send(call)] = name
        if not flying:
            return
        done, _ = wait(flying, return_when=FIRST_COMPLETED)
        for future in done:
            yield flying.pop(future), future


def local(calls: Iterable[Call], workers: int = 1) -> Iterator[tuple[str, Future]]:
    """Each call in a process of its own, `workers` at a time.

    A process that is killed takes only its own call with it, and a killed parent leaves none
    behind.
    """
    context = multiprocessing.get_context("spawn")
    stop, lifeline = context.Pipe(duplex=False)
    pools: dict[Future, ProcessPoolExecutor] = {}

    def send(call: Callable[[], Any]) -> Future:
        pool = ProcessPoolExecutor(1, context, _start, (stop,))
        with _no_interrupt():
            future = pool.submit(call)
        pool.shutdown(wait=False)  # the process ends with its only call
        pools[future] = pool
        return future

    try:
        for name, future in _as_they_end(send, calls, workers):
            pools.pop(future).shutdown()  # Python may stumble over one that ends as it does itself
            yield name, future
    finally:
        lifeline.close()
        stop.close()


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Ctrl-C waits until a new process, which inherits this, can look after itself."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _start(stop: Connection) -> None:
    if hasattr(os, "setsid"):
        os.setsid()  # a terminal's Ctrl-C is for the parent, which then ends this process
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def follow() -> None:
        stop.poll(None)  # until the parent lets go, or is gone
        os.kill(os.getpid(), signal.SIGTERM)  # nbclient takes it to shut its kernel down
        time.sleep(10)
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def on_ray(
    calls: Iterable[Call], workers: int | None = None, gpus: float = 0.0
) -> Iterator[tuple[str, Future]]:
    """Each call as one Ray task of one CPU and `gpus` GPUs; at most `workers` at a time.

    The cluster is found as `initlab.cluster.on_ray` does. Raises `ClusterError` when Ray is not
    installed or the cluster does not answer.
    """
    with connected() as ray:
        task = ray.remote(num_cpus=1, num_gpus=gpus)(_call)
        sent: list[Any] = []

        def send(call: Callable[[], Any]) -> Future:
            sent.append(task.remote(call))
            return sent[-1].future()

        try:
            yield from _as_they_end(send, calls, workers)
        finally:
            for reference in sent:  # nothing happens to those that have ended
                ray.cancel(reference, force=True)


def _call(call: Callable[[], Any]) -> Any:
    return call()
