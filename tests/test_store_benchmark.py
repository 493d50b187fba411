"""The stores that are compared keep the same results, and the faults that are counted are seen."""

from __future__ import annotations

import multiprocessing
import sqlite3
from contextlib import closing

import pandas as pd
import pytest

from benchmarks.store import __main__ as command
from benchmarks.store.faults import _harm, _sorted, kills
from benchmarks.store.stores import OURS, SQLITE, STORES, WRITERS, drawn, fill
from initlab.store import Store

WHICH = (500, 7, 9)
ROWS_STORE = next(iter(SQLITE))


@pytest.mark.parametrize("name", [name for name in STORES if name != OURS])
def test_everyone_keeps_the_same(tmp_path, name):
    assert fill(name, tmp_path / "its", *WHICH) == fill(OURS, tmp_path / "ours", *WHICH) == 500
    its, ours = STORES[name](tmp_path / "its"), Store(tmp_path / "ours")
    assert its.keys() == ours.keys()
    some = sorted(ours.keys())[::3]
    for keys, columns in ((None, command.COLUMNS), (some, command.COLUMNS), (some, ["key", "run"])):
        frames = [store.frame(keys, columns) for store in (its, ours)]
        frames = [f.sort_values(list(columns), ignore_index=True) for f in frames]
        pd.testing.assert_frame_equal(*frames, check_dtype=False, check_exact=True)
    group = drawn(*WHICH)[0]
    its.add(group)  # stored twice, counts once
    assert len(its.frame()) == 500


def test_groups_are_of_the_size_that_is_said():
    sizes = [(len(group), len(rows)) for group in drawn(100_000) for *_, rows in group]
    assert sum(rows for _, rows in sizes) == 100_000
    assert {len(rows) for *_, rows in drawn(60, 0, 5)[0]} == {5}
    assert max(sizes)[0] <= 32
    assert max(rows for _, rows in sizes) <= 2000


def test_harm_that_is_silent_is_told_from_harm_that_is_not(tmp_path):
    fill(ROWS_STORE, tmp_path / "db", *WHICH)
    store = STORES[ROWS_STORE](tmp_path / "db")
    truth = _sorted(store.frame())
    assert _harm(store, truth) == (0.0, 0.0, 0.0)
    store.close()
    file = tmp_path / "db" / "results.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE rows SET value = 2 WHERE run = 1 AND number = 1")
    assert _harm(store, truth) == (1.0, 0.0, 0.0)
    store.close()
    file.write_bytes(b"x" * 5000)
    assert _harm(STORES[ROWS_STORE](tmp_path / "db"), truth) == (0.0, 1.0, 1.0)

    fill(OURS, tmp_path / "parts", *WHICH)
    parts = Store(tmp_path / "parts")
    parts.parts()[0].write_bytes(b"")
    silent, refused, lost = _harm(parts, truth)
    assert silent == refused == 0 and 0 < lost < 1


@pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="needs a fork server"
)
def test_a_kill_loses_nothing_that_was_told(tmp_path, capsys):
    told = kills(tmp_path, 1)
    assert [row["peer"] for row in told] == WRITERS
    for row in told:
        assert row["stored"] > 0 and row["lost"] == row["errors"] == 0


def test_a_quick_case_beside_everyone(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "ProcessPoolExecutor", _Here)
    rows = command.timed(command.Folders(tmp_path), rounds=1, rows=400, runs=20)
    assert {row["peer"] for row in rows} == set(STORES) - {OURS}
    assert all(row["ratio"] > 0 for row in rows)
    assert "two writers at once, 80 rows each" in capsys.readouterr().out


class _Here:
    """A pool that does all at once, in this process."""

    def __init__(self, *_) -> None:
        pass

    def __enter__(self) -> _Here:
        return self

    def __exit__(self, *_) -> None:
        pass

    def submit(self, function, *arguments):
        value = function(*arguments)
        return type("Done", (), {"result": lambda _: value})()
