"""Results on disk: append-only Parquet parts, found again by the key of the run.

A store is a folder. Each part is one Parquet file, written under another name and then
renamed, so that a killed process leaves either a whole part or none. A part that cannot be
read is set aside with a warning, and its runs count as not computed. Any number of processes
may read, write and compact one store at the same time.

What is stored rests on no lock, only on renaming being atomic, as on network file systems too.
Where their locks do not reach other machines, nothing is lost, but runs may be computed twice,
which `Leases` prevents elsewhere. What one machine has stored, another sees once its file system
lists it, after seconds on some.

Why no database: `python -m benchmarks.store` measures SQLite beside it. It loses no run to 20 kills
either, adds 20,000 small runs 3.6 times as fast, and finds 304 of them 53 times as fast, 3 times as
fast as in compacted parts. But a million values take 5.8 times as long to read and 5 times the
room; two writers whose locks do not reach each other destroy all of it; after one bit of its file
has changed, every other time values are wrong and nothing tells; and where nothing can be written,
it cannot be read either.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from initlab.store import compaction, parts
from initlab.store.leases import Leases
from initlab.store.parts import FORMAT, SCHEMA, Stamp, StoreError
from initlab.store.provenance import RECORDED, default_folder, provenance

__all__ = [
    "FORMAT",
    "RECORDED",
    "SCHEMA",
    "Leases",
    "Store",
    "StoreError",
    "default_folder",
    "provenance",
]

_MEASURED = ("network", "layer", "step", "statistic", "value")
#: What a summary tells apart: column, where it stands in a run, and what a run without it means.
_KINDS = (
    ("model", "model.type", "none"),
    ("init", "init.type", "default"),
    ("data", "data.name", "none"),
    ("optimizer", "optimizer.type", "default"),
)


class Store:
    """Results in one folder.

    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> store.add([("k", "{}", 0.5, [(0, 1, -1, "second_moment", 2.0)])])
    >>> store.keys(), float(store.frame().value[0])
    ({'k'}, 2.0)

    Everything that reads raises `StoreError` for a part that a newer version wrote and for
    what the system does not let us read.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        """Open (not yet create) a store.

        Args:
            folder: that holds it, by default `default_folder()`.

        Raises:
            ValueError: for what is no folder's name.
        """
        if not isinstance(folder, Path | str | None):
            raise ValueError(f"a store needs the name of a folder, not {folder!r}")
        self.folder = Path(folder) if folder is not None else default_folder()
        self._known: dict[Path, tuple[Stamp, frozenset[str]]] = {}

    def parts(self) -> list[Path]:
        """The parts, in order of name."""
        return list(parts.listed(self.folder))

    def _keys_of(self, part: Path, stamp: Stamp) -> frozenset[str] | None:
        # A part never changes under its name: one that was read and still has its stamp is known.
        if part in self._known and self._known[part][0] == stamp:
            return self._known[part][1]
        table = parts.read(part, ["key"])
        if table is None:
            return None
        keys = frozenset(table["key"].unique().to_pylist())
        self._known[part] = stamp, keys
        return keys

    def keys(self) -> set[str]:
        """The keys of all runs that are stored.

        Only the keys are read: a damage elsewhere in a part shows when `frame` reads it.
        """
        return set().union(*parts.each(self.folder, self._keys_of))

    def _tables(self, columns: Sequence[str], wanted: set[str] | None) -> Iterator[pa.Table]:
        """Each run once, whether two processes stored it or a compaction is on its way."""
        seen: set[str] = set()

        def read(part: Path, stamp: Stamp) -> pa.Table | None:
            if wanted is None:
                return parts.read(part, columns)
            keys = self._keys_of(part, stamp)
            if keys is None or not (new := (keys & wanted) - seen):
                return None
            table = parts.read(part, columns)
            if table is None or new == keys:
                return table
            return table.filter(pc.is_in(table["key"], value_set=pa.array(sorted(new))))

        return parts.once(parts.each(self.folder, read), seen)

    def _frame(self, columns: Sequence[str], keys: Iterable[str] | None = None) -> pd.DataFrame:
        wanted = None if keys is None else set(keys)
        nothing = SCHEMA.empty_table().select(columns)
        return pa.concat_tables([nothing, *self._tables(columns, wanted)]).to_pandas()

    def frame(
        self, keys: Iterable[str] | None = None, columns: Sequence[str] = SCHEMA.names
    ) -> pd.DataFrame:
        """The rows of all runs or of some, of each run once, even if two processes stored it.

        Args:
            keys: of the runs that are wanted; by default all. Those that are not stored are left
                out.
            columns: of `SCHEMA`, the key among them.

        Returns:
            One row per value, with these columns.

        Raises:
            ValueError: for a text in place of a list of keys.
        """
        if isinstance(keys, str):
            raise ValueError(f"a list of keys was expected, not the text {keys!r}")
        return self._frame(columns, keys)

    def add(self, results: Iterable[tuple[str, str, float, Sequence[tuple]]]) -> None:
        """Append results as one part: all of them are stored, or none.

        Args:
            results: of each run its key, the run as JSON, the seconds that it took on one core,
                and its rows of (network, layer, step, statistic, value).

        Raises:
            StoreError: when the folder cannot be written.
            ValueError: for a run without rows, which could not be found again, and for rows of
                another form.
        """
        date = datetime.now(UTC).isoformat(timespec="seconds")
        columns: dict[str, list] = {name: [] for name in SCHEMA.names}
        for key, run, seconds, rows in results:
            if not rows:
                raise ValueError(f"the run {key} has no rows to store")
            for row in rows:
                if len(row) != len(_MEASURED):
                    raise ValueError(f"a row is ({', '.join(_MEASURED)}), not {row!r}")
            for name, values in zip(_MEASURED, zip(*rows, strict=True), strict=True):
                columns[name] += values
            whole = {"key": key, "run": run, "seconds": seconds, "date": date, **provenance()}
            for name, value in whole.items():
                columns[name] += [value] * len(rows)
        table = pa.table(columns, schema=SCHEMA)
        parts.write([table], self.folder / f"part-{uuid.uuid4().hex}.parquet")

    def summary(self) -> pd.DataFrame:
        """What the store holds.

        Returns:
            One row per kind of run: columns `model`, `init`, `data`, `optimizer` (`default` where
            the runs leave it to its default), `runs`, `rows`, `seconds` (of one core, all runs
            together), `first` and `last` (dates).
        """
        rows = self._frame(["key", "run", "seconds", "date"])
        runs = rows.drop_duplicates("key").set_index("key")
        runs["rows"] = rows.key.value_counts()
        fields = [_leaves(json.loads(text)) for text in runs.run]
        for column, path, absent in _KINDS:
            runs[column] = [leaves.get(path, absent) for leaves in fields]
        kinds = runs.groupby([column for column, _, _ in _KINDS])
        return kinds.agg(
            runs=("run", "size"),
            rows=("rows", "sum"),
            seconds=("seconds", "sum"),
            first=("date", "min"),
            last=("date", "max"),
        ).reset_index()

    def matching(
        self, values: Mapping[str, Any], complete: Callable[[Any], Any] = lambda run: run
    ) -> set[str]:
        """Find runs by their fields.

        Args:
            values: by the dotted path of a field. None asks for the runs that have no value there.
            complete: gives a run in JSON types with the fields that its JSON leaves out, those at
                their default: `initlab.spec.completed` knows the specs that are loaded. A store
                itself knows none.

        Returns:
            The keys of the runs that have all these values.

        Raises:
            ValueError: for a path that no run in the store has.

        >>> import tempfile
        >>> store = Store(Path(tempfile.mkdtemp()))
        >>> run = '{"model":{"type":"MLP"},"seed":3}'
        >>> store.add([("k", run, 0, [(0, 1, -1, "second_moment", 2.0)])])
        >>> store.matching({"model.type": "MLP", "seed": 3}), store.matching({"seed": 4})
        ({'k'}, set())
        """
        runs = self._frame(["key", "run"]).drop_duplicates("key")
        read = (_leaves(complete(json.loads(text))) for text in runs.run)
        fields = dict(zip(runs.key, read, strict=True))
        known = set().union(*fields.values())
        for path in values:
            if path not in known:
                raise ValueError(
                    f"no run in {self.folder} has a value at {path!r}; they have "
                    f"{', '.join(sorted(known)) or 'none: the store is empty'}"
                )
        asked = {p: list(v) if isinstance(v, tuple) else v for p, v in values.items()}
        return {k for k, f in fields.items() if all(f.get(p) == v for p, v in asked.items())}

    def compact(self) -> tuple[int, int]:
        """Merge the parts into few, of at most 4 MB.

        May run while other processes read and write. Temporary files that processes killed over an
        hour ago left behind are removed.

        Returns:
            The number of parts before and after.

        Raises:
            StoreError: when the folder cannot be written; nothing stored is lost then.
        """
        return compaction.compact(self.folder)

    def leases(self) -> Leases:
        """A context in which this process leases runs, so that no other one computes them too."""
        return Leases(self.folder, self.keys)

    def export(self, keys: Iterable[str], file: Path | str) -> int:
        """Write the rows of some runs, sorted, as one Parquet file.

        Args:
            keys: of these runs.
            file: to write; what had its name is replaced.

        Returns:
            The number of runs in it.

        Raises:
            StoreError: when it cannot be written.
        """
        frame = self.frame(keys)
        columns = ["run", "statistic", "layer", "network", "step"]
        frame = frame.sort_values(columns, kind="stable").reset_index(drop=True)
        parts.write([pa.Table.from_pandas(frame, SCHEMA, preserve_index=False)], Path(file))
        return frame.key.nunique()


def _leaves(plain: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted path → value, for every value of nested dictionaries."""
    found: dict[str, Any] = {}
    for name, value in plain.items():
        if isinstance(value, dict):
            found |= _leaves(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found
