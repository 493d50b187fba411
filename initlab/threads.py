"""Independent work shared out among threads of this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Done = TypeVar("Done")


def in_threads(work: Callable[[Item], Done], items: Sequence[Item]) -> list[Done]:
    """`work(item)` of each item, in their order, on as many threads as torch may use.

    Within a thread torch computes on one: many small operations side by side keep the cores busier
    than one after the other on all of them.
    """
    threads = torch.get_num_threads()
    if threads == 1 or len(items) < 2:
        return [work(item) for item in items]

    def alone(item: Item) -> Done:
        torch.set_num_threads(1)  # of this thread; the caller's number is put back below
        return work(item)

    try:
        with ThreadPoolExecutor(min(threads, len(items))) as pool:
            return list(pool.map(alone, items))
    finally:
        torch.set_num_threads(threads)
