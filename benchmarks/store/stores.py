"""Everyone, and results that are drawn."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.store.sqlite import BlobStore, RowsStore
from initlab.store import Store

OURS, COMPACTED = "parts", "parts, compacted"
SQLITE = {"SQLite, a row for each value": RowsStore, "SQLite, Parquet inside": BlobStore}
STORES: dict[str, Callable[..., Any]] = {OURS: Store, COMPACTED: Store, **SQLITE}
#: Those who write otherwise than the first.
WRITERS = [name for name in STORES if name != COMPACTED]
Result = tuple[str, str, float, list[tuple]]
Table = list[dict[str, Any]]


def result(name: str, rows: int, chance: random.Random) -> Result:
    """Drawn values, under a key and a JSON of a run (as long as the median recorded one)."""
    text = json.dumps({"seed": name, "model": "x" * 470})
    values = [(0, n % 50, n // 500, f"statistic_{n % 10}", chance.random()) for n in range(rows)]
    return f"{chance.getrandbits(64):016x}", text, chance.random(), values


def groups(rows: int, seed: int = 0, each: int | None = None) -> Iterator[list[Result]]:
    """So many rows in groups of 1 to 32 runs, with `each` rows or 10 to 2,000, few more often.

    The recorded runs have 5 rows in the median and up to 12,000.
    """
    chance = random.Random(seed)
    while rows > 0:
        length = each or round(10 ** (1 + chance.random() * 2.301))
        group = []
        for n in range(chance.randint(1, 32)):
            group.append(result(f"{seed}-{rows}-{n}", min(length, rows), chance))
            rows -= length
            if rows <= 0:
                break
        yield group


@cache
def drawn(rows: int, seed: int = 0, each: int | None = None) -> list[list[Result]]:
    """The same groups, made once in this process, so that making them is not timed."""
    return list(groups(rows, seed, each))


def fill(name: str, folder: Path, *which: Any) -> int:
    """Add the drawn groups to a store in a folder: the number of rows."""
    store = STORES[name](folder)
    for group in drawn(*which):
        store.add(group)
    if name == COMPACTED:
        store.compact()
    elif name in SQLITE:
        store.close()
    return sum(len(rows) for group in drawn(*which) for *_, rows in group)


def size(folder: Path) -> int:
    """Bytes of all files."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
