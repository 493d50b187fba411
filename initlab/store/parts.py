"""One part of a store: a Parquet file that is there as a whole or not at all."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from initlab import folders

#: Of the files that this version writes. 1 had no `step`. What a later version adds that this one
#: can do without, it counts behind a point: 2.1 is read as 2.
FORMAT = 2
#: One row per measured value; what the run was and how it came about stands in every row.
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("run", pa.string()),  # canonical JSON
        ("network", pa.int32()),  # −1: over all networks of the run
        ("layer", pa.int32()),  # −1: the whole network
        ("step", pa.int64()),  # of training; −1: not tied to one
        ("statistic", pa.string()),
        ("value", pa.float64()),
        ("seconds", pa.float64()),  # of one core, this run's share of its group
        ("commit", pa.string()),
        ("versions", pa.string()),
        ("machine", pa.string()),
        ("date", pa.string()),
    ],
    {"initlab.format": str(FORMAT)},
)

#: What tells a file from another that took its name: inode, size, nanosecond of its last change.
Stamp = tuple[int, int, int]
T = TypeVar("T")


class StoreError(Exception):
    """A store that cannot be used; the message says why and what to do."""


def refused(what: str, error: OSError) -> StoreError:
    """What is told when the system does not let something be written.

    Args:
        what: cannot be done, with the folder.
        error: of the system.
    """
    remedy = "Make room" if folders.is_full(error) else "Make it writable"
    return StoreError(
        f"{what}: {error.strerror or error}. What was stored before is safe. {remedy} or choose "
        "another folder with INITLAB_STORE."
    )


def listed(folder: Path) -> dict[Path, Stamp]:
    """The parts in a folder, in order of name; none when there is no such folder.

    A listing that falls into a compaction may have passed the place of the new part and not yet
    reached that of an old one, which is then gone. So the folder is listed until nothing that
    was there the last time is missing.
    """
    found = _look(folder)
    while not found.keys() <= (again := _look(folder)).keys():
        found = again
    return {folder / name: again[name] for name in sorted(again)}


def _look(folder: Path) -> dict[str, Stamp]:
    found = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".parquet") and not entry.name.startswith("."):
                    with suppress(FileNotFoundError):
                        stat = entry.stat()
                        found[entry.name] = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(
            f"cannot read the store {folder}: {error.strerror}. Choose another folder with "
            "INITLAB_STORE."
        ) from error
    return found


def each(folder: Path, read: Callable[[Path, Stamp], T | None]) -> Iterator[T]:
    """What `read` makes of every part, leaving out None. A part that is gone when its turn comes
    was merged into another one: then those that have appeared are read as well.
    """
    done: set[Path] = set()
    gone = True
    while gone:
        gone = False
        for part, stamp in listed(folder).items():
            if part in done:
                continue
            done.add(part)
            try:
                answer = read(part, stamp)
            except FileNotFoundError:
                gone = True
                continue
            if answer is not None:
                yield answer


def read(part: Path, columns: Sequence[str] = SCHEMA.names) -> pa.Table | None:
    """Columns of one part, typed as in `SCHEMA`; None if it is damaged, which sets it aside.

    Raises `FileNotFoundError` when it is not there, and `StoreError` when a newer version wrote
    it or the system does not let us read it: neither is a damage.
    """
    try:
        with pa.OSFile(str(part)) as source:
            file = pq.ParquetFile(source, page_checksum_verification=True)
            _check_format(part, file.schema_arrow.metadata or {})
            return _typed(file.read(columns, use_threads=False), columns)
    except (FileNotFoundError, MemoryError, pa.ArrowCancelled):
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        if getattr(error, "errno", None) is not None:
            raise StoreError(
                f"cannot read {part}: {error}. Nothing was changed. Make it readable or choose "
                "another folder with INITLAB_STORE."
            ) from error
        _set_aside(part, error)
        return None


def once(tables: Iterable[pa.Table], seen: set[str]) -> Iterator[pa.Table]:
    """Tables without the runs in `seen`, which grows by those of every table."""
    for table in tables:
        keys = set(table["key"].unique().to_pylist())
        if known := keys & seen:
            again = pc.is_in(table["key"], value_set=pa.array(sorted(known), pa.string()))
            table = table.filter(pc.invert(again))
        seen |= keys
        if len(table):
            yield table


def _check_format(part: Path, metadata: dict[bytes, bytes]) -> None:
    written = metadata.get(b"initlab.format", b"1").decode(errors="replace")
    major = written.partition(".")[0]
    if not major.isdecimal() or int(major) > FORMAT:
        raise StoreError(
            f"{part} has format {written}, but this version of initlab knows formats up to "
            f"{FORMAT}. Update initlab or choose another folder with INITLAB_STORE."
        )


def _typed(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    if "step" in columns and "step" not in table.column_names:
        table = table.append_column("step", pa.repeat(-1, len(table)))
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise ValueError(f"it has no column {', '.join(missing)}")
    return table.select(columns).cast(pa.schema([SCHEMA.field(name) for name in columns]))


def _set_aside(part: Path, error: Exception) -> None:
    aside = part.with_suffix(".damaged")
    try:
        part.rename(aside)
        done = f"set aside as {aside.name}"
    except OSError:
        done = "passed over"
    reason = (str(error) or type(error).__name__).splitlines()[0]
    warnings.warn(
        f"{part} cannot be read ({reason}); {done}, its runs will be computed again",
        stacklevel=2,
    )


def write(tables: Iterable[pa.Table], part: Path) -> None:
    """Write tables one after the other, each as a row group, as one part.

    It has another name until it is on the disk, so that neither a kill nor a power cut leaves
    half a part. Raises `StoreError` when it cannot be written; nothing of it is left then.
    """
    temporary = part.parent / f".{part.name}.{os.getpid()}"
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(
            temporary,
            SCHEMA,
            compression="zstd",
            compression_level=19,
            use_dictionary=[name for name in SCHEMA.names if name != "value"],
            column_encoding={"value": "BYTE_STREAM_SPLIT"},
            write_page_checksum=True,
        ) as writer:
            for table in tables:
                writer.write_table(table)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(part)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        raise refused(f"cannot write to the store {part.parent}", error) from error
