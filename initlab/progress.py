"""Telling how far a notebook is, at every cell and while one of them takes long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: Told the number of the cell that runs, of how many, and the seconds since the first began.
Tell = Callable[[int, int, float], None]
#: Seconds after which it is told again.
PERIOD = 1.0


def silent(cell: int, cells: int, seconds: float) -> None:
    """Tell nobody."""


@contextmanager
def telling(tell: Tell, cells: int) -> Iterator[Callable[..., None]]:
    """What is to be called before each of `cells` cells; `tell` is called then and every second.

    It is not called any more once the context has ended.
    """
    start, begun = time.perf_counter(), 0
    ended, turn = threading.Event(), threading.Lock()

    def now() -> None:
        with turn:
            if begun and not ended.is_set():
                tell(begun, cells, time.perf_counter() - start)

    def begin(**_: Any) -> None:
        nonlocal begun
        begun += 1
        now()

    def repeat() -> None:
        while not ended.wait(PERIOD):
            now()

    threading.Thread(target=repeat, daemon=True).start()
    try:
        yield begin
    finally:
        with turn:
            ended.set()
