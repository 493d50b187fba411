"""Results on disk: append-only Parquet parts, found again by the key of the run.

A store is a folder. Each part is one Parquet file, written under another name and then
renamed, so that a killed process leaves either a whole part or none. A part that cannot be
read is set aside with a warning, and its runs count as not computed.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import uuid
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pandas as pd
import platformdirs
import pyarrow as pa
import pyarrow.parquet as pq

#: One row per measured value; what the run was and how it came about stands in every row.
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("run", pa.string()),  # canonical JSON
        ("network", pa.int32()),  # −1: over all networks of the run
        ("layer", pa.int32()),  # −1: the whole network
        ("statistic", pa.string()),
        ("value", pa.float64()),
        ("seconds", pa.float64()),  # of one core, this run's share of its group
        ("commit", pa.string()),
        ("versions", pa.string()),
        ("machine", pa.string()),
        ("date", pa.string()),
    ]
)
#: Results that ship inside the package.
RECORDED = Path(__file__).parent / "recorded"


class StoreError(Exception):
    """A store that cannot be used; the message says why and what to do."""


def default_folder() -> Path:
    """`INITLAB_STORE`, or `store` in the platform's cache folder."""
    named = os.environ.get("INITLAB_STORE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("initlab")) / "store"


@lru_cache
def provenance() -> dict[str, str]:
    """Commit, versions and machine of this process, as stored with every row."""
    here = Path(__file__).parent
    git = ["git", "-C", str(here), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        answer = subprocess.run(git, capture_output=True, text=True, timeout=10, check=False)
        commit = answer.stdout.strip() or "unknown"
    except (OSError, subprocess.TimeoutExpired):
        commit = "unknown"
    versions = {"python": platform.python_version()}
    for package in ("initlab", "torch", "numpy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return {"commit": commit, "versions": json.dumps(versions), "machine": machine}


class Store:
    """Results in one folder.

    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> store.add([("k", "{}", 0.5, [(0, 1, "length", 2.0)])])
    >>> store.keys(), float(store.frame().value[0])
    ({'k'}, 2.0)
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        """Open (not yet create) the store in `folder`, by default `default_folder()`."""
        self.folder = Path(folder) if folder is not None else default_folder()

    def parts(self) -> list[Path]:
        """The parts, in order of name."""
        return sorted(self.folder.glob("*.parquet"))

    def _read(self, part: Path, columns: Sequence[str] | None = None) -> pa.Table | None:
        try:
            table = pq.read_table(part, columns=columns, partitioning=None)
        except FileNotFoundError:
            return None  # another process compacted or set it aside
        except (OSError, pa.ArrowException) as error:
            self._set_aside(part, error)
            return None
        wanted = [f for f in SCHEMA if columns is None or f.name in columns]
        try:
            return table.select([f.name for f in wanted]).cast(pa.schema(wanted))
        except (KeyError, pa.ArrowException) as error:
            self._set_aside(part, error)
            return None

    def _set_aside(self, part: Path, error: Exception) -> None:
        aside = part.with_suffix(".damaged")
        try:
            part.rename(aside)
            done = f"set aside as {aside.name}"
        except OSError:
            done = "passed over"
        warnings.warn(
            f"{part} cannot be read ({str(error).splitlines()[0]}); {done}, its runs will be "
            "computed again",
            stacklevel=4,
        )

    def keys(self) -> set[str]:
        """Keys of all runs stored."""
        tables = (self._read(part, ["key"]) for part in self.parts())
        return {k for t in tables if t is not None for k in t["key"].unique().to_pylist()}

    def frame(self, keys: Iterable[str] | None = None) -> pd.DataFrame:
        """All rows, or those of the given runs, in the columns of `SCHEMA`.

        A run that two processes stored at the same time appears once.
        """
        wanted = None if keys is None else pa.array(sorted(set(keys)), pa.string())
        seen: set[str] = set()
        frames = []
        for part in self.parts():
            table = self._read(part)
            if table is None:
                continue
            if wanted is not None:
                table = table.filter(pa.compute.is_in(table["key"], value_set=wanted))
            frame = table.to_pandas()
            frame = frame[~frame.key.isin(seen)]
            seen.update(frame.key.unique())
            if len(frame):
                frames.append(frame)
        if not frames:
            return SCHEMA.empty_table().to_pandas()
        return pd.concat(frames, ignore_index=True)

    def add(self, results: Iterable[tuple[str, str, float, Sequence[tuple]]]) -> None:
        """Append results, each (key, run as JSON, seconds, rows of network, layer, statistic,
        value), as one part. Raises `StoreError` when the folder cannot be written.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        columns: dict[str, list] = {name: [] for name in SCHEMA.names}
        for key, run, seconds, rows in results:
            for row in rows:
                measured = dict(zip(("network", "layer", "statistic", "value"), row, strict=True))
                whole = {"key": key, "run": run, "seconds": seconds, "date": now}
                for name, value in {**whole, **measured, **provenance()}.items():
                    columns[name].append(value)
        self._write(pa.table(columns, schema=SCHEMA), f"part-{uuid.uuid4().hex}.parquet")

    def _write(self, table: pa.Table, name: str) -> None:
        temporary = self.folder / f".{name}.{os.getpid()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(
                table,
                temporary,
                compression="zstd",
                compression_level=19,
                use_dictionary=[name for name in SCHEMA.names if name != "value"],
                column_encoding={"value": "BYTE_STREAM_SPLIT"},
            )
            temporary.replace(self.folder / name)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise StoreError(
                f"cannot write to the store {self.folder}: {error.strerror or error}. What was "
                "stored before is safe. Make room or choose another folder with INITLAB_STORE."
            ) from error

    def export(self, keys: Iterable[str], file: Path | str) -> int:
        """Write the rows of the given runs, sorted, as one file; how many runs it holds."""
        frame = self.frame(keys)
        columns = ["run", "statistic", "layer", "network"]
        frame = frame.sort_values(columns, kind="stable").reset_index(drop=True)
        target = Path(file)
        Store(target.parent)._write(
            pa.Table.from_pandas(frame, SCHEMA, preserve_index=False), target.name
        )
        return frame.key.nunique()
