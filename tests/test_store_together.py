"""Several processes on one store: compaction, leases, and whatever order things happen in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from initlab.store import Store, StoreError, compaction, parts
from tests.test_store import DAMAGES, ROWS, filled, refuse


def test_compact_leaves_one_part_with_the_same_rows(tmp_path):
    store = filled(tmp_path)
    store.add([("a", '{"n":1}', 0.7, ROWS)])  # a second copy
    before = store.frame().sort_values(["key", "network"], ignore_index=True)
    assert store.compact() == (3, 1)
    after = store.frame().sort_values(["key", "network"], ignore_index=True)
    assert after.drop(columns=["seconds", "date"]).equals(before.drop(columns=["seconds", "date"]))
    assert store.keys() == {"a", "b", "c"}
    [part] = store.parts()
    assert store.compact() == (1, 1)
    assert store.parts() == [part]


def test_compact_keeps_parts_below_a_size_and_in_row_groups(tmp_path, monkeypatch):
    store = Store(tmp_path)
    for n in range(12):
        store.add([(f"k{n}", "{}", 0.0, ROWS)])
    size = max(p.stat().st_size for p in store.parts())
    monkeypatch.setattr(compaction, "LARGEST", 4 * size)
    monkeypatch.setattr(compaction, "ROWS", 5)
    before, after = store.compact()
    assert before == 12
    assert 1 < after < 6
    assert max(p.stat().st_size for p in store.parts()) <= 4 * size
    assert store.keys() == {f"k{n}" for n in range(12)}
    assert len(store.frame()) == 12 * len(ROWS)


def test_compact_sets_damaged_parts_aside(tmp_path):
    store = filled(tmp_path)
    store.add([("d", "{}", 0.0, ROWS)])
    damaged = store.parts()[1]
    lost = Store(tmp_path)._keys_of(damaged, (0, 0, 0))
    damaged.write_bytes(b"")
    with pytest.warns(UserWarning, match="set aside"):
        assert store.compact() == (3, 1)
    assert store.keys() == {"a", "b", "c", "d"} - lost


def test_compact_removes_what_killed_writers_left(tmp_path):
    store = filled(tmp_path)
    old, young = tmp_path / ".part-1.parquet.17", tmp_path / ".part-2.parquet.18"
    other = tmp_path / ".notes"
    for path in (old, young, other):
        path.write_bytes(b"half")
    two_hours_ago = time.time() - 7200
    for path in (old, other):
        os.utime(path, (two_hours_ago, two_hours_ago))
    store.compact()
    assert not old.exists()
    assert young.exists()
    assert other.exists()


def test_a_reader_that_lags_behind_a_compaction_misses_nothing(tmp_path, monkeypatch):
    """The parts vanish between the listing and the reading of the first one."""
    filled(tmp_path)
    read, compacted = parts.read, []

    def read_late(part, *columns):
        if not compacted:
            compacted.append(True)
            compacted.append(Store(tmp_path).compact())
        return read(part, *columns)

    monkeypatch.setattr(parts, "read", read_late)
    assert Store(tmp_path).keys() == {"a", "b", "c"}
    assert compacted[1] == (2, 1)
    compacted.clear()
    Store(tmp_path).add([("d", "{}", 0.0, ROWS)])
    assert set(Store(tmp_path).frame().key) == {"a", "b", "c", "d"}
    assert compacted[1] == (2, 1)


def test_a_listing_that_falls_into_a_compaction_is_repeated(tmp_path, monkeypatch):
    store = filled(tmp_path)
    look, looks = parts._look, []

    def passed_by(folder):
        found = look(folder)
        looks.append(found)
        if len(looks) == 1:  # saw an old part; the new one took a place that it had passed
            store.compact()
        return found

    monkeypatch.setattr(parts, "_look", passed_by)
    assert Store(tmp_path).parts() == [p for p in tmp_path.iterdir() if p.suffix == ".parquet"]
    assert len(looks) > 2


def test_readers_and_writers_beside_a_process_that_compacts(tmp_path):
    """While it compacts 20 times: no look at the store misses a run that was stored before it."""
    script = """
        import sys
        from initlab.store import Store
        while True:
            print(*Store(sys.argv[1]).compact(), flush=True)
    """
    filled(tmp_path)
    compacting = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert compacting.stdout is not None
    added, stop, failed = {"a", "b", "c"}, threading.Event(), []

    def write():
        for n in range(10_000):
            if stop.is_set():
                return
            Store(tmp_path).add([(f"k{n}", "{}", 0.0, ROWS)])
            added.add(f"k{n}")

    def look(found):
        store = Store(tmp_path)
        while not stop.is_set():
            before = set(added)
            failed.extend(before - found(store))

    writer = threading.Thread(target=write)
    readers = [
        threading.Thread(target=look, args=[lambda s: s.keys()]),
        threading.Thread(target=look, args=[lambda s: set(s.frame().key)]),
    ]
    try:
        for thread in (writer, *readers):
            thread.start()
        told = [tuple(map(int, compacting.stdout.readline().split())) for _ in range(20)]
    finally:
        stop.set()
        for thread in (writer, *readers):
            thread.join()
        compacting.kill()
        compacting.wait()
        compacting.stdout.close()
    assert all(told), "it stopped compacting"
    assert not failed
    assert Store(tmp_path).keys() == added
    assert len(Store(tmp_path).frame()) == len(ROWS) * (len(added) - 2) + 2
    assert len(Store(tmp_path).parts()) < len(added)


def test_locks_that_exclude_nobody_cost_no_result(tmp_path, monkeypatch):
    """As on some network file systems: two machines compact at the same time."""
    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", lambda *_: None)
    compacted, together = compaction._compact, threading.Barrier(2)
    inside, most = [], []

    def counted(folder):
        inside.append(folder)
        most.append(len(inside))
        try:
            return compacted(folder)
        finally:
            inside.pop()

    monkeypatch.setattr(compaction, "_compact", counted)

    def fill(name: str):
        store = Store(tmp_path)
        for n in range(20):
            store.add([(f"{name}{n}", "{}", 0.0, ROWS), (f"both{n}", "{}", 0.0, ROWS)])
            together.wait(60)
            store.compact()

    machines = [threading.Thread(target=fill, args=[name]) for name in ("one", "two")]
    for thread in machines:
        thread.start()
    for thread in machines:
        thread.join()
    assert max(most) == 2, "they were never at it together"
    frame = Store(tmp_path).frame()
    assert set(frame.key) == {f"{name}{n}" for name in ("one", "two", "both") for n in range(20)}
    assert len(frame) == 60 * len(ROWS)
    assert not list(tmp_path.glob("*.damaged"))


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sets(st.integers(0, 5), min_size=1, max_size=3)),
        st.tuples(st.just("damage"), st.integers(0, 9), st.sampled_from(sorted(DAMAGES))),
        st.just(("compact",)),
        st.just(("compact, killed before it removes",)),
        st.just(("leave a half-written part",)),
        st.just(("look",)),
    ),
    max_size=12,
)


@settings(max_examples=60)
@given(events=EVENTS)
def test_a_frame_is_the_union_of_what_is_undamaged(tmp_path_factory, events):
    folder = tmp_path_factory.mktemp("store")
    store = Store(folder)
    whole: dict[Path, set[str]] = {}  # what each undamaged part holds

    def account(merged: set[str]) -> None:
        """A part that has appeared holds what was merged; one that is gone, nothing."""
        now = store.parts()
        for part in list(whole):
            if part not in now:
                del whole[part]
        for part in now:
            if part not in whole and part not in damaged:
                whole[part] = merged

    damaged: set[Path] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for number, event in enumerate(events):
            if event[0] == "add":
                keys = {f"k{n}" for n in event[1]}
                store.add([(k, "{}", 1.0, [(0, 0, -1, k, float(k[1:]))] * 3) for k in keys])
                account(keys)
            elif event[0] == "damage" and (present := store.parts()):
                part = present[event[1] % len(present)]
                part.write_bytes(DAMAGES[event[2]](part.read_bytes()))
                damaged.add(part)
                whole.pop(part, None)
            elif event[0] == "compact":
                store.compact()
                account(set().union(*whole.values()))
                assert len(store.parts()) <= 1
            elif event[0] == "compact, killed before it removes":
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(Path, "unlink", refuse(1))
                    store.compact()
                account(set().union(*whole.values()))
            elif event[0] == "leave a half-written part":
                (folder / f".part-{number}.parquet.1").write_bytes(b"PAR1half")
            elif event[0] == "look":
                assert store.keys() == set().union(*whole.values())
        expected = sorted(set().union(*whole.values()))
        frame = store.frame()
    assert sorted(frame.key) == sorted(expected * 3)
    assert (frame.value == frame.key.str[1:].astype(float)).all()
    assert (frame.statistic == frame.key).all()
    assert store.keys() == set(expected)


def test_a_lease_is_one_processs_alone(tmp_path):
    store = filled(tmp_path)
    with store.leases() as mine, Store(tmp_path).leases() as yours:
        assert mine.take(["a", "d", "e"]) == {"d", "e"}  # a is stored
        assert mine.take(["d", "f"]) == {"f"}  # d was taken before
        assert yours.take(["a", "d", "e", "g"]) == {"g"}
        store.add([("d", "{}", 0.0, ROWS)])
        mine.release(["d", "e"])
        assert yours.take(["d", "e"]) == {"e"}  # what was given up without a result is free
    with store.leases() as mine:
        assert mine.take(["e", "f", "g"]) == {"e", "f", "g"}
    assert [p.name for p in (tmp_path / ".leases").iterdir()] == [".lock"]


def test_a_store_that_cannot_be_written_refuses_leases(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(StoreError, match=r"cannot lease runs in .*INITLAB_STORE"),
        Store(tmp_path / "file").leases(),
    ):
        pytest.fail("leased nothing")


def test_a_process_that_holds_all_up_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("initlab.store.leases.PATIENCE", 0.1)
    store = filled(tmp_path)
    with store.leases() as mine:
        with (
            FileLock(tmp_path / ".leases" / ".lock"),
            pytest.raises(StoreError, match="could not be acquired"),
        ):
            mine.take(["d"])
        assert mine.take(["d"]) == {"d"}


LEASE = """
    import sys, time
    from initlab.store import Store
    with Store(sys.argv[1]).leases() as leases:
        print(sorted(leases.take(["d", "e"])), flush=True)
        time.sleep(3600)
"""


def test_a_killed_process_holds_no_lease(tmp_path):
    store = filled(tmp_path)
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(LEASE), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "['d', 'e']\n"
        with store.leases() as leases:
            assert leases.take(["d", "f"]) == {"f"}
            other.send_signal(signal.SIGKILL)
            other.wait()
            assert leases.take(["d", "e"]) == {"d", "e"}
            assert len(list((tmp_path / ".leases").glob("*.json"))) == 1
    finally:
        other.kill()
        other.wait()
        other.stdout.close()


def test_two_sweeps_share_the_work(tmp_path):
    """The loop of a sweep: lease, compute, store, let go; then wait for what others hold."""
    groups = [[f"k{n}", f"k{n + 1}"] for n in range(0, 40, 2)]
    computed = []

    def sweep():
        store = Store(tmp_path)
        wanted = {k for group in groups for k in group}
        with store.leases() as leases:
            while left := wanted - store.keys():
                for group in groups:
                    mine = leases.take(left.intersection(group))
                    if mine:
                        computed.extend(mine)
                        time.sleep(0.005)
                        store.add([(k, "{}", 0.0, ROWS) for k in mine])
                        leases.release(mine)
                time.sleep(0.01)

    sweeps = [threading.Thread(target=sweep) for _ in range(3)]
    for thread in sweeps:
        thread.start()
    for thread in sweeps:
        thread.join()
    assert sorted(computed) == sorted(k for group in groups for k in group)
    assert Store(tmp_path).keys() == set(computed)
