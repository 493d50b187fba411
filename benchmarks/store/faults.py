"""What is left of a store after a damage, after kills, and where locks exclude nobody."""

from __future__ import annotations

import fcntl
import json
import random
import shutil
import statistics
import tempfile
import time
import warnings
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.store.stores import OURS, SQLITE, STORES, WRITERS, Table, fill, groups, size

#: A process starts from one that has imported all that takes seconds.
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(["benchmarks.store.faults"])


def damage(folder: Path, trials: int, rows: int = 100_000) -> Table:
    """What `frame` gives after one random bit of a store's files has changed.

    `silent` is the share of trials in which values are wrong or runs are missing and nothing says
    so, `refused` that in which nothing is given, `lost` the mean share of the runs that are not
    given.
    """
    table = []
    for name in STORES:
        whole = Path(tempfile.mkdtemp(dir=folder))
        fill(name, whole, rows, 4)
        truth = _sorted(STORES[name](whole).frame())
        told = []
        chance = random.Random(5)
        for _ in range(trials):
            with tempfile.TemporaryDirectory(dir=folder) as copy:
                shutil.copytree(whole, copy, dirs_exist_ok=True)
                _flip(Path(copy), chance)
                told.append(_harm(STORES[name](Path(copy)), truth))
        means = map(statistics.mean, zip(*told, strict=True))
        row = dict(zip(("silent", "refused", "lost"), means, strict=True))
        table.append({"peer": name, "trials": trials, **row})
        print("  " + json.dumps(table[-1]), flush=True)
    return table


def _harm(store: Any, truth: pd.DataFrame) -> tuple[float, float, float]:
    """Whether it is silent, whether nothing is given, and the share of runs that are lost."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            found = _sorted(store.frame())
        except Exception:  # whatever it is, it is said
            return 0.0, 1.0, 1.0
    lost = 1 - len(set(found.key) & set(truth.key)) / truth.key.nunique()
    return float(not said and not found.equals(truth)), 0.0, lost


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(["key", "step", "layer", "statistic"], ignore_index=True)


def _flip(folder: Path, chance: random.Random) -> None:
    """One bit; a file is hit as often as it is large."""
    place = chance.randrange(size(folder))
    for path in sorted(folder.iterdir()):
        if place < path.stat().st_size:
            content = bytearray(path.read_bytes())
            content[place] ^= 1 << chance.randrange(8)
            path.write_bytes(content)
            return
        place -= path.stat().st_size


class Writer:
    """A process that adds small groups, and tells which are stored."""

    def __init__(
        self, name: str, folder: Path, seed: int, locked: bool = True, seconds: float = 3600
    ) -> None:
        """Start it, for so many seconds."""
        self._told, its = CONTEXT.Pipe(duplex=False)
        self._process: BaseProcess = CONTEXT.Process(
            target=_write, args=(name, folder, seed, locked, seconds, its), daemon=True
        )
        self._process.start()
        its.close()
        self.stored: set[str] = set()
        self.errors: list[str] = []

    def listen(self, seconds: float = 3600) -> None:
        """Take what it tells within so many seconds, from its first word on."""
        self._told.poll(60)
        until = time.monotonic() + seconds
        try:
            while self._told.poll(max(0.0, until - time.monotonic())):
                keys, error = self._told.recv()
                self.stored.update(keys)
                self.errors += [error] if error else []
        except (EOFError, OSError):  # it is gone
            return

    def kill(self) -> None:
        """Send SIGKILL, and hear what it still had to say."""
        self._process.kill()
        self._process.join()
        self.listen(0)


def _write(
    name: str, folder: Path, seed: int, locked: bool, seconds: float, told: Connection
) -> None:
    if name in SQLITE:
        store = STORES[name](folder, locked)
    else:
        store = STORES[name](folder)
        if not locked:
            fcntl.flock = lambda *_: None
    end = time.monotonic() + seconds
    for number, group in enumerate(groups(10**9, seed, 5)):
        if time.monotonic() > end:
            return
        try:
            store.add(group)
            if name == OURS and number % 20 == 0:
                store.compact()
            told.send(([key for key, *_ in group], ""))
        except Exception as error:
            told.send(([], f"{type(error).__name__}: {error}"))


def kills(folder: Path, times: int) -> Table:
    """One of two writers is killed so often, at a random moment: how many of the runs of which a
    writer has told that they are stored are there afterwards, and how many are not.
    """
    table = []
    for name in WRITERS:
        place, chance = Path(tempfile.mkdtemp(dir=folder)), random.Random(6)
        writers = [Writer(name, place, seed) for seed in (100, 101)]
        everyone = list(writers)
        for n in range(times):
            which = chance.randrange(2)
            writers[which].listen(chance.random() / 10)
            writers[which].kill()
            writers[which] = Writer(name, place, 102 + n)
            everyone.append(writers[which])
        for writer in writers:
            writer.kill()
        table.append({"peer": name, "kills": times, **_left(name, place, everyone)})
        print("  " + json.dumps(table[-1]), flush=True)
    return table


def unlocked(folder: Path, seconds: float) -> Table:
    """Two writers where locks exclude nobody, as of two machines on some network file systems."""
    table = []
    for name in WRITERS:
        place = Path(tempfile.mkdtemp(dir=folder))
        if name in SQLITE:  # its tables are there
            STORES[name](place, False).keys()
        writers = [Writer(name, place, seed, False, seconds) for seed in (100, 101)]
        for writer in writers:
            writer.listen()
        table.append({"peer": name, "seconds": seconds, **_left(name, place, writers)})
        print("  " + json.dumps(table[-1]), flush=True)
    return table


def _left(name: str, folder: Path, writers: list[Writer]) -> dict[str, Any]:
    stored = set().union(*(writer.stored for writer in writers))
    errors = [error for writer in writers for error in writer.errors]
    try:
        left = set(STORES[name](folder).frame().key)
    except Exception as error:
        left, errors = set(), [*errors, f"{type(error).__name__}: {error}"]
    return {
        "stored": len(stored),
        "lost": len(stored - left),
        "errors": len(errors),
        "error": errors[-1] if errors else "",
    }
