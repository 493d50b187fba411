"""Many small parts made into few, while other processes read and write."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
from filelock import FileLock

from initlab.store import parts

#: Bytes that a merged part has at most, unless one of its parts was larger already. It is what a
#: single damage costs.
LARGEST = 4 * 2**20
#: Rows held in memory at once, and together in one row group.
ROWS = 2**18
#: Seconds after which a temporary file was left behind by a killed process.
STALE = 3600
_TEMPORARY = re.compile(r"\..+\.parquet\.\d+")


def compact(folder: Path) -> tuple[int, int]:
    """Merge the parts of a folder into as few as `LARGEST` allows, and remove what killed
    writers left behind: how many parts there were before and are after.

    Of runs that stand in several parts one copy is kept. A part is removed only when the one
    that holds its runs is in place: whenever this ends, nothing is lost. One process compacts at
    a time, the next waits. Raises `StoreError` when the folder cannot be written.
    """
    if not folder.exists():
        return 0, 0
    try:
        with FileLock(folder / ".compact.lock"):
            return _compact(folder)
    except OSError as error:
        raise parts.refused(f"cannot compact the store {folder}", error) from error


def _compact(folder: Path) -> tuple[int, int]:
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > STALE:
                    path.unlink()
    before = parts.listed(folder)
    seen: set[str] = set()
    for batch in _batches({part: size for part, (_, size, _) in before.items()}):
        read: list[Path] = []
        tables = parts.once(_read(batch, read), seen)
        if (first := next(tables, None)) is not None:
            target = folder / f"part-{uuid.uuid4().hex}.parquet"
            parts.write(_row_groups(first, tables), target)
        for part in read:
            # A system that does not remove open files leaves a copy, which counts once.
            with suppress(OSError):
                part.unlink()
    return len(before), len(parts.listed(folder))


def _batches(sizes: dict[Path, int]) -> list[list[Path]]:
    """Parts that become one, the smallest first. Together they are not larger for being merged."""
    batches: list[list[Path]] = []
    room = 0
    for part in sorted(sizes, key=lambda part: (sizes[part], part)):
        if not batches or sizes[part] > room:
            batches.append([])
            room = LARGEST
        batches[-1].append(part)
        room -= sizes[part]
    return [batch for batch in batches if len(batch) > 1]


def _read(batch: Iterable[Path], done: list[Path]) -> Iterator[pa.Table]:
    for part in batch:
        try:
            table = parts.read(part)
        except FileNotFoundError:  # another process found it damaged and set it aside
            continue
        if table is not None:
            done.append(part)
            yield table


def _row_groups(first: pa.Table, rest: Iterable[pa.Table]) -> Iterator[pa.Table]:
    held, rows = [first], len(first)
    for table in rest:
        if rows + len(table) > ROWS:
            yield pa.concat_tables(held)
            held, rows = [], 0
        held.append(table)
        rows += len(table)
    yield pa.concat_tables(held)
