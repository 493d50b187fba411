"""Two stores in one SQLite database, as far as they are measured.

Both keep a write-ahead log and sync it at every commit, as the package's store syncs every part.
They lack what a store for users needs beside that: a connection for each thread and for each forked
process, messages, what is done about a damage, and a way to read and write Parquet for what ships
with the package. A database with a write-ahead log that every process has closed cannot be opened
on a file system that is read-only ("unable to open database file") or full ("disk I/O error"),
unless it is said to be immutable, which is wrong beside a process that writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock

from initlab.store import SCHEMA, provenance

#: Seconds to wait for another process's transaction.
PATIENCE = 60.0
#: Keys of one query, below the least number of parameters that SQLite may be built with.
AT_ONCE = 900
MEASURED = ("network", "layer", "step", "statistic", "value")


class _Database:
    tables = ""

    def __init__(self, folder: Path, locked: bool = True) -> None:
        """Without locks there is no write-ahead log either: it needs memory that is shared."""
        self.folder, self.locked = folder, locked

    @cached_property
    def _connection(self) -> sqlite3.Connection:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = f"file:{self.folder / 'results.db'}{'' if self.locked else '?vfs=unix-none'}"
        connection = sqlite3.connect(file, PATIENCE, isolation_level=None, uri=True)
        # Two that turn to a write-ahead log at once: "database is locked", whatever the timeout.
        with FileLock(self.folder / ".open.lock") if self.locked else nullcontext():
            connection.execute(f"PRAGMA journal_mode = {'WAL' if self.locked else 'DELETE'}")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(self.tables)
        return connection

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        self._connection.execute(f"BEGIN {kind}")
        with self._connection as connection:
            yield connection

    def keys(self) -> set[str]:
        return {key for (key,) in self._connection.execute("SELECT key FROM runs")}

    def close(self) -> None:
        """Move the write-ahead log into the database, as the last one who closes it does."""
        self._connection.close()
        del self._connection


class RowsStore(_Database):
    """A table of runs and a table with a row for each value."""

    tables = """
        CREATE TABLE IF NOT EXISTS runs (
            id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, run TEXT NOT NULL, seconds REAL,
            "commit" TEXT, versions TEXT, machine TEXT, date TEXT);
        CREATE TABLE IF NOT EXISTS rows (
            run INTEGER REFERENCES runs, number INTEGER, network INTEGER, layer INTEGER,
            step INTEGER, statistic TEXT, value REAL,
            PRIMARY KEY (run, number)) WITHOUT ROWID;
    """

    def add(self, results: Iterable[tuple[str, str, float, Sequence[tuple]]]) -> None:
        date = datetime.now(UTC).isoformat(timespec="seconds")
        come = provenance()
        with self._transaction("IMMEDIATE") as connection:
            for key, run, seconds, rows in results:
                made = connection.execute(
                    "INSERT OR IGNORE INTO runs VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)",
                    (key, run, seconds, come["commit"], come["versions"], come["machine"], date),
                )
                if made.rowcount:
                    values = ((made.lastrowid, n, *row) for n, row in enumerate(rows))
                    connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def frame(
        self, keys: Iterable[str] | None = None, columns: Sequence[str] = SCHEMA.names
    ) -> pd.DataFrame:
        with self._transaction("DEFERRED") as connection:
            names = ["id", *(n for n in SCHEMA.names if n not in MEASURED and n in columns)]
            said = ", ".join(f'"{n}"' for n in names)
            runs = _asked(connection, f"SELECT {said} FROM runs", "key", keys)
            of_runs = pd.DataFrame(runs, columns=names).set_index("id")
            ids = None if keys is None else of_runs.index.tolist()
            sql = f"SELECT run, {', '.join(MEASURED)} FROM rows"
            rows = _asked(connection, sql, "run", ids)
        values = pd.DataFrame(rows, columns=["id", *MEASURED]).astype({"value": float})
        place = of_runs.index.get_indexer(values.pop("id"))
        for name in of_runs:
            values[name] = of_runs[name].to_numpy()[place]
        return values[list(columns)]


class BlobStore(_Database):
    """A table of runs, and a table with what each `add` brought, as one Parquet file each."""

    tables = """
        CREATE TABLE IF NOT EXISTS parts (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
        CREATE TABLE IF NOT EXISTS runs (
            key TEXT PRIMARY KEY, part INTEGER NOT NULL REFERENCES parts) WITHOUT ROWID;
    """

    def add(self, results: Iterable[tuple[str, str, float, Sequence[tuple]]]) -> None:
        date = datetime.now(UTC).isoformat(timespec="seconds")
        columns: dict[str, list] = {name: [] for name in SCHEMA.names}
        keys = []
        for key, run, seconds, rows in results:
            keys.append(key)
            for name, values in zip(MEASURED, zip(*rows, strict=True), strict=True):
                columns[name] += values
            whole = {"key": key, "run": run, "seconds": seconds, "date": date, **provenance()}
            for name, value in whole.items():
                columns[name] += [value] * len(rows)
        sink = pa.BufferOutputStream()
        pq.write_table(
            pa.table(columns, schema=SCHEMA),
            sink,
            compression="zstd",
            compression_level=19,
            use_dictionary=[name for name in SCHEMA.names if name != "value"],
            column_encoding={"value": "BYTE_STREAM_SPLIT"},
            write_page_checksum=True,
        )
        with self._transaction("IMMEDIATE") as connection:
            made = connection.execute(
                "INSERT INTO parts VALUES (NULL, ?)", (sink.getvalue().to_pybytes(),)
            )
            connection.executemany(
                "INSERT OR IGNORE INTO runs VALUES (?, ?)", ((k, made.lastrowid) for k in keys)
            )

    def frame(
        self, keys: Iterable[str] | None = None, columns: Sequence[str] = SCHEMA.names
    ) -> pd.DataFrame:
        with self._transaction("DEFERRED") as connection:
            found = _asked(connection, "SELECT key, part FROM runs", "key", keys)
            wanted: dict[int, list[str]] = {}
            for key, part in found:
                wanted.setdefault(part, []).append(key)
            ids = None if keys is None else list(wanted)
            tables = [SCHEMA.empty_table().select(columns)]
            for part, data in _asked(connection, "SELECT id, bytes FROM parts", "id", ids):
                table = pq.read_table(
                    pa.BufferReader(data),
                    columns=list(columns),
                    page_checksum_verification=True,
                    use_threads=False,
                )
                mine = pa.array(wanted.get(part, []), pa.string())
                tables.append(table.filter(pc.is_in(table["key"], value_set=mine)))
        return pa.concat_tables(tables).to_pandas()


def _asked(
    connection: sqlite3.Connection, sql: str, column: str, among: Iterable | None
) -> list[tuple]:
    """The rows, or those whose `column` is among the values."""
    if among is None:
        return connection.execute(sql).fetchall()
    values, rows = list(among), []
    for start in range(0, len(values), AT_ONCE):
        some = values[start : start + AT_ONCE]
        holes = ", ".join("?" * len(some))
        rows += connection.execute(f"{sql} WHERE {column} IN ({holes})", some).fetchall()
    return rows
