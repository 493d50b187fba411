"""A store keeps what it was given, whatever happens around it."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from initlab.store import SCHEMA, Store, StoreError, default_folder, provenance

ROWS = [(0, 1, "length", 2.5), (1, 1, "length", 0.125)]


def filled(folder: Path) -> Store:
    store = Store(folder)
    store.add([("a", '{"n":1}', 0.5, ROWS)])
    store.add([("b", '{"n":2}', 1.5, ROWS[:1]), ("c", '{"n":3}', 1.5, ROWS[1:])])
    return store


def test_what_goes_in_comes_out(tmp_path):
    store = filled(tmp_path)
    assert store.keys() == {"a", "b", "c"}
    frame = store.frame(["a", "c"])
    assert list(frame.columns) == SCHEMA.names
    assert sorted(frame.value) == [0.125, 0.125, 2.5]
    assert set(frame.key) == {"a", "c"}
    assert (frame[frame.key == "a"].seconds == 0.5).all()
    for column in ("commit", "versions", "machine"):
        assert set(frame[column]) == {provenance()[column]}


def test_an_empty_store_is_an_empty_frame(tmp_path):
    store = Store(tmp_path / "nothing")
    assert store.keys() == set()
    assert list(store.frame().columns) == SCHEMA.names
    assert len(store.frame(["a"])) == 0
    assert not (tmp_path / "nothing").exists()


def test_only_whole_parts_appear(tmp_path):
    filled(tmp_path)
    assert all(p.name.startswith("part-") and p.suffix == ".parquet" for p in tmp_path.iterdir())


def test_a_half_written_file_is_not_a_part(tmp_path):
    store = filled(tmp_path)
    part = store.parts()[0]
    (tmp_path / f".{part.name}.123").write_bytes(part.read_bytes()[:100])
    assert store.keys() == {"a", "b", "c"}


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "schema"])
def test_a_damaged_part_is_set_aside(tmp_path, damage):
    store = filled(tmp_path)
    [part] = [p for p in store.parts() if "a" in pq.read_table(p)["key"].to_pylist()]
    whole = part.read_bytes()
    if damage == "schema":
        pq.write_table(pa.table({"key": ["a"]}), part)
    else:
        part.write_bytes({"cut": whole[:-50], "garbage": b"x" * 500, "empty": b""}[damage])
    with pytest.warns(UserWarning, match=r"cannot be read .*set aside as .*computed again"):
        frame = store.frame()
    assert set(frame.key) == {"b", "c"}
    assert part.with_suffix(".damaged").exists()
    assert store.keys() == {"b", "c"}  # and no second warning


def test_a_run_stored_twice_appears_once(tmp_path):
    store = filled(tmp_path)
    store.add([("a", '{"n":1}', 0.7, ROWS)])
    assert len(store.frame(["a"])) == len(ROWS)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder(tmp_path):
    store = filled(tmp_path)
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="INITLAB_STORE"):
        store.add([("d", "{}", 0.0, ROWS)])
    tmp_path.chmod(0o700)
    assert store.keys() == {"a", "b", "c"}


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot write to the store .*INITLAB_STORE"):
        Store(tmp_path / "file" / "store").add([("d", "{}", 0.0, ROWS)])


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    store = filled(tmp_path)

    def full(table, where, **options):
        Path(where).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(
        StoreError, match=r"No space left on device\. What was stored before is safe"
    ):
        store.add([("d", "{}", 0.0, ROWS)])
    assert len(list(tmp_path.iterdir())) == 2
    assert store.keys() == {"a", "b", "c"}


def test_export_is_one_sorted_file(tmp_path):
    store = filled(tmp_path / "store")
    target = tmp_path / "out" / "study.parquet"
    assert store.export({"a", "b"}, target) == 2
    assert Store(target.parent).keys() == {"a", "b"}
    first = target.read_bytes()
    store.export({"b", "a"}, target)
    assert target.read_bytes() == first


def test_the_folder_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("INITLAB_STORE", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.delenv("INITLAB_STORE")
    assert default_folder().name == "store"
