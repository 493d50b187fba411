"""A store keeps what it was given, whatever happens around it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from initlab.store import FORMAT, RECORDED, SCHEMA, Store, StoreError, default_folder, provenance

ROWS = [(0, 1, -1, "second_moment", 2.5), (1, 1, 40, "second_moment", 0.125)]
MLP_RUN = '{"init":{"type":"HeNormal"},"model":{"type":"MLP","widths":[3,3]},"seed":3}'
CONV_RUN = '{"data":{"name":"mnist","type":"Data"},"init":{"type":"Zeros"},"model":{"type":"Conv"}}'


def filled(folder: Path) -> Store:
    store = Store(folder)
    store.add([("a", '{"n":1}', 0.5, ROWS)])
    store.add([("b", '{"n":2}', 1.5, ROWS[:1]), ("c", '{"n":3}', 1.5, ROWS[1:])])
    return store


def part_of(store: Store, key: str) -> Path:
    [part] = [p for p in store.parts() if key in pq.read_table(p)["key"].to_pylist()]
    return part


def test_what_goes_in_comes_out(tmp_path):
    store = filled(tmp_path)
    assert store.keys() == {"a", "b", "c"}
    frame = store.frame(["a", "c"])
    assert list(frame.columns) == SCHEMA.names
    assert sorted(frame.value) == [0.125, 0.125, 2.5]
    assert sorted(frame.step) == [-1, 40, 40]
    assert set(frame.key) == {"a", "c"}
    assert (frame[frame.key == "a"].seconds == 0.5).all()
    for column in ("commit", "versions", "machine"):
        assert set(frame[column]) == {provenance()[column]}


def test_an_empty_store_is_an_empty_frame(tmp_path):
    store = Store(tmp_path / "nothing")
    assert store.keys() == set()
    assert list(store.frame().columns) == SCHEMA.names
    assert len(store.frame(["a"])) == 0
    assert len(store.summary()) == 0
    assert store.compact() == (0, 0)
    assert not (tmp_path / "nothing").exists()


def test_another_object_and_another_process_see_the_same(tmp_path):
    one, two = filled(tmp_path), Store(tmp_path)
    assert two.keys() == {"a", "b", "c"}
    one.add([("d", "{}", 0.0, ROWS)])
    assert two.keys() == {"a", "b", "c", "d"}


def test_only_whole_parts_appear(tmp_path):
    filled(tmp_path)
    assert all(p.name.startswith("part-") and p.suffix == ".parquet" for p in tmp_path.iterdir())


def test_a_half_written_file_is_not_a_part(tmp_path):
    store = filled(tmp_path)
    part = store.parts()[0]
    (tmp_path / f".{part.name}.123").write_bytes(part.read_bytes()[:100])
    assert store.keys() == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "the run d has no rows to store"),
        (
            [(0, 1, "second_moment", 2.5)],
            r"a row is \(network, layer, step, statistic, value\), not",
        ),
    ],
)
def test_what_could_not_be_read_back_is_refused(tmp_path, rows, says):
    store = filled(tmp_path)
    with pytest.raises(ValueError, match=says):
        store.add([("d", "{}", 0.0, rows)])
    assert store.keys() == {"a", "b", "c"}


DAMAGES = {
    "cut": lambda whole: whole[:-50],
    "cut in the middle": lambda whole: whole[: len(whole) // 2],
    "garbage": lambda whole: b"x" * 500,
    "zero bytes": lambda whole: b"",
}


@pytest.mark.parametrize("damage", [*DAMAGES, "one bit", "foreign columns", "foreign types"])
def test_a_damaged_part_is_set_aside(tmp_path, damage):
    store = filled(tmp_path)
    part = part_of(store, "a")
    if damage == "one bit":
        column = pq.read_metadata(part).row_group(0).column(SCHEMA.names.index("value"))
        whole = bytearray(part.read_bytes())
        # Here it makes another number of 0.125, and only the checksum of the page tells.
        whole[column.data_page_offset + column.total_compressed_size - 6] ^= 1
        part.write_bytes(whole)
    elif damage == "foreign columns":
        pq.write_table(pa.table({"key": ["a"], "colour": ["red"]}), part)
    elif damage == "foreign types":
        table = pq.read_table(part)
        where = table.column_names.index("value")
        pq.write_table(table.set_column(where, "value", pa.array(["x"] * len(table))), part)
    else:
        part.write_bytes(DAMAGES[damage](part.read_bytes()))
    with pytest.warns(UserWarning, match=r"cannot be read .*set aside as .*computed again"):
        frame = store.frame()
    assert set(frame.key) == {"b", "c"}
    assert part.with_suffix(".damaged").exists()
    assert store.keys() == {"b", "c"}  # and no second warning


@pytest.mark.parametrize("recorded", [RECORDED, None])
def test_files_from_before_steps_are_read(tmp_path, recorded):
    if recorded is None:
        part = part_of(filled(tmp_path), "a")
        old = pq.read_table(part).drop_columns(["step"]).replace_schema_metadata(None)
        pq.write_table(old, part)
    store = Store(recorded or tmp_path)
    frame = store.frame(sorted(store.keys())[:5])
    assert list(frame.columns) == SCHEMA.names
    assert (frame.step == -1).any()
    assert frame.step.dtype == "int64"


def test_a_newer_format_is_refused_and_kept(tmp_path):
    store = filled(tmp_path)
    part = part_of(store, "a")
    assert pq.read_schema(part).metadata[b"initlab.format"] == str(FORMAT).encode()
    newer = pq.read_table(part).replace_schema_metadata({"initlab.format": str(FORMAT + 1)})
    pq.write_table(newer, part)
    for use in (Store(tmp_path).keys, store.frame, store.compact, store.summary):
        with pytest.raises(StoreError) as error:
            use()
        assert f"{part} has format {FORMAT + 1}" in str(error.value)
        assert f"knows formats up to {FORMAT}. Update initlab or choose" in str(error.value)
    assert part.exists()
    assert len(list(tmp_path.glob("*.parquet"))) == 2


@pytest.mark.parametrize("written", [f"{FORMAT}.1", f"{FORMAT}.12"])
def test_what_a_little_newer_version_wrote_is_read(tmp_path, written):
    """It may have columns that this one does not know."""
    store = filled(tmp_path)
    part = part_of(store, "a")
    table = pq.read_table(part)
    table = table.append_column("colour", pa.array(["red"] * len(table)))
    pq.write_table(table.replace_schema_metadata({"initlab.format": written}), part)
    frame = Store(tmp_path).frame()
    assert set(frame.key) == {"a", "b", "c"} and list(frame.columns) == SCHEMA.names
    assert part.exists()


@pytest.mark.parametrize("written", [f"{FORMAT + 1}.0", "next", ""])
def test_what_no_version_up_to_this_one_wrote_is_refused_and_kept(tmp_path, written):
    store = filled(tmp_path)
    part = part_of(store, "a")
    pq.write_table(pq.read_table(part).replace_schema_metadata({"initlab.format": written}), part)
    with pytest.raises(StoreError, match=f"has format {written}, but this version of initlab"):
        Store(tmp_path).frame()
    assert part.exists()


def test_a_run_stored_twice_appears_once(tmp_path):
    store = filled(tmp_path)
    store.add([("a", '{"n":1}', 0.7, ROWS)])
    assert len(store.frame(["a"])) == len(ROWS)
    assert len(store.frame()) == 2 * len(ROWS)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder(tmp_path):
    store = filled(tmp_path)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="INITLAB_STORE"):
            store.add([("d", "{}", 0.0, ROWS)])
        with pytest.raises(StoreError, match="stored before is safe"):
            store.compact()
        assert store.keys() == {"a", "b", "c"}
    finally:
        tmp_path.chmod(0o700)


def refuse(error: int):
    def refused(*args, **options):
        raise OSError(error, os.strerror(error))

    return refused


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    """As the system says it, for a user who may write everywhere too."""
    store = filled(tmp_path)
    monkeypatch.setattr(pq, "ParquetWriter", refuse(errno.EACCES))
    with pytest.raises(StoreError, match=r"cannot write to the store .*Permission denied"):
        store.add([("d", "{}", 0.0, ROWS)])
    monkeypatch.setattr("initlab.store.compaction.FileLock", refuse(errno.EROFS))
    with pytest.raises(StoreError, match=r"cannot compact the store .*Read-only file system"):
        store.compact()
    monkeypatch.setattr("initlab.store.leases.FileLock.acquire", refuse(errno.EROFS))
    with pytest.raises(StoreError, match=r"cannot lease runs in .*Read-only"), store.leases():
        pytest.fail("leased nothing")
    assert Store(tmp_path).keys() == {"a", "b", "c"}


@pytest.mark.parametrize("error", [errno.EACCES, errno.EMFILE, errno.EIO])
def test_a_part_that_may_not_be_read_is_not_damaged(tmp_path, monkeypatch, error):
    store = filled(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(StoreError) as caught:
        patch.setattr(pa, "OSFile", refuse(error))
        store.keys()
    assert os.strerror(error) in str(caught.value)
    assert store.keys() == {"a", "b", "c"}


@pytest.mark.parametrize("where", ["file", "file/store"])
def test_a_file_in_the_place_of_a_folder(tmp_path, where):
    (tmp_path / "file").write_text("in the way")
    store = Store(tmp_path / where)
    with pytest.raises(StoreError, match=r"cannot write to the store .*INITLAB_STORE"):
        store.add([("d", "{}", 0.0, ROWS)])
    with pytest.raises(StoreError, match=r"cannot read the store .*Not a directory"):
        store.keys()
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize("use", ["add", "compact"])
@pytest.mark.parametrize("when", ["written", "synced", "renamed"])
def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch, when, use):
    store = filled(tmp_path)
    before = store.parts()
    full = refuse(errno.ENOSPC)
    place = {
        "written": (pq.ParquetWriter, "write_table"),
        "synced": (os, "fsync"),
        "renamed": (Path, "replace"),
    }
    monkeypatch.setattr(*place[when], full)
    with pytest.raises(
        StoreError, match=r"No space left on device\. What was stored before is safe"
    ):
        if use == "add":
            store.add([("d", "{}", 0.0, ROWS)])
        else:
            store.compact()
    assert store.parts() == before
    assert not [p for p in tmp_path.iterdir() if p not in before and p.name != ".compact.lock"]
    assert store.keys() == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (errno.ENOSPC, "Make room or choose another folder with INITLAB_STORE"),
        (errno.EDQUOT, "Make room or choose another folder with INITLAB_STORE"),
        (errno.EROFS, "Make it writable or choose another folder with INITLAB_STORE"),
    ],
)
def test_a_remedy_is_one_for_what_is_wrong(tmp_path, monkeypatch, error, remedy):
    """Wherever a store meets it: a result, a lease, and what a compaction locks."""
    store = filled(tmp_path)
    with store.leases() as leases:
        monkeypatch.setattr(Path, "write_text", refuse(error))
        with pytest.raises(StoreError, match=f"cannot lease runs .* is safe. {remedy}"):
            leases.take(["d"])
    monkeypatch.setattr(pq, "ParquetWriter", refuse(error))
    with pytest.raises(StoreError, match=f"cannot write to .* is safe. {remedy}"):
        store.add([("d", "{}", 0.0, ROWS)])
    monkeypatch.setattr("initlab.store.compaction.FileLock", refuse(error))
    with pytest.raises(StoreError, match=f"cannot compact .* is safe. {remedy}"):
        store.compact()


def test_summary_has_a_row_for_each_kind_of_run(tmp_path):
    store = Store(tmp_path)
    store.add([("a", MLP_RUN, 0.5, ROWS), ("b", MLP_RUN.replace("3}", "4}"), 1.5, ROWS)])
    store.add([("c", CONV_RUN, 2.0, ROWS[:1])])
    store.add([("a", MLP_RUN, 0.5, ROWS)])  # stored twice, counts once
    summary = store.summary()
    columns = ["model", "init", "data", "optimizer", "runs", "rows", "seconds"]
    assert summary[columns].to_numpy().tolist() == [
        ["Conv", "Zeros", "mnist", "default", 1, 1, 2.0],
        ["MLP", "HeNormal", "none", "default", 2, 4, 2.0],
    ]
    dates = store.frame().date
    assert (summary["first"].min(), summary["last"].max()) == (dates.min(), dates.max())


def test_matching_finds_runs_by_their_fields(tmp_path):
    store = Store(tmp_path)
    store.add([("a", MLP_RUN, 0.5, ROWS), ("c", CONV_RUN, 2.0, ROWS)])
    assert store.matching({}) == {"a", "c"}
    assert store.matching({"model.type": "MLP", "seed": 3}) == {"a"}
    assert store.matching({"model.type": "Conv", "seed": 3}) == set()
    assert store.matching({"model.widths": (3, 3)}) == {"a"}
    assert store.matching({"seed": None}) == {"c"}  # at its default
    with pytest.raises(ValueError, match=r"at 'sed'; they have data\.name, data\.type, init\.type"):
        store.matching({"sed": 3})
    with pytest.raises(ValueError, match="none: the store is empty"):
        Store(tmp_path / "nothing").matching({"seed": 3})


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
