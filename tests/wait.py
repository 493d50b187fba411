"""Waiting for something that happens elsewhere: in another process, in a browser."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Seen = TypeVar("Seen")
#: Seconds. No test is about time: it is far more than anything takes, on a busy machine too, and
#: is there so that what never happens is told.
PATIENCE = 300.0
#: The same for Playwright, which counts milliseconds.
WAIT = 1000 * PATIENCE


def until(look: Callable[[], Seen], what: str, pause: float = 0.05) -> Seen:
    """What `look()` gives once it is true; fails the test with `what` if it never is."""
    end = time.monotonic() + PATIENCE
    while not (seen := look()):
        assert time.monotonic() < end, what
        time.sleep(pause)
    return seen
