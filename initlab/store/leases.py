"""Who computes what, when several processes fill one store.

A process holds a lease on the runs that it computes at the moment: it names them in a file, and
holds a lock of the operating system on a second file for as long as it lives. The lock of a killed
process is free at once, and its leases with it: nothing expires, nothing is cleaned up by hand.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from initlab.store.parts import StoreError, refused

#: Seconds to wait for a process that looks through the leases, which takes milliseconds.
PATIENCE = 60.0


class Leases:
    """The runs that one process computes; a context, at whose end it gives up all of them.

    Only as good as the locks of the file system: on a network file system whose locks do not reach
    other machines, two of them may compute the same run, which counts once.
    """

    def __init__(self, folder: Path, stored: Callable[[], set[str]]) -> None:
        """Prepare (nothing is written yet) to lease runs of a store.

        Args:
            folder: of the store.
            stored: gives the keys that the store holds.
        """
        self._folder = folder / ".leases"
        self._stored = stored
        self._turn = FileLock(self._folder / ".lock", timeout=PATIENCE, thread_local=False)
        self._alive = FileLock(
            self._folder / f"{os.getpid()}-{uuid.uuid4().hex}.lock", timeout=0, thread_local=False
        )
        self._told = Path(self._alive.lock_file).with_suffix(".json")
        self._held: set[str] = set()

    def __enter__(self) -> Leases:
        """Lock this process's file.

        Raises:
            StoreError: when the store cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._turn:
                self._alive.acquire()
        except OSError as error:
            raise self._refused(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give up every lease."""
        with suppress(OSError), self._turn:
            self._alive.release()
            self._remove(Path(self._alive.lock_file))

    def take(self, keys: Iterable[str]) -> set[str]:
        """Take a lease on every run that is free. Never waits for another's results.

        Args:
            keys: of runs that are wanted.

        Returns:
            Those that are this process's to compute from now on: neither stored, nor leased to a
            process that lives, nor taken before.

        Raises:
            StoreError: when the lease cannot be written.
        """
        try:
            with self._turn:
                free = set(keys) - self._held - self._others()
                self._tell(self._held | free)
        except OSError as error:
            raise self._refused(error) from error
        # Looked up last: whoever held a lease until now has stored its results before it let go.
        known = self._stored() & free
        self.release(known)
        return free - known

    def release(self, keys: Iterable[str]) -> None:
        """Give up the leases on runs, after their results were stored.

        Args:
            keys: of these runs.

        Raises:
            StoreError: when that cannot be written.
        """
        try:
            self._tell(self._held.difference(keys))
        except OSError as error:
            raise self._refused(error) from error

    def _tell(self, keys: set[str]) -> None:
        if keys == self._held:
            return
        fresh = self._told.with_suffix(".fresh")
        fresh.write_text(json.dumps(sorted(keys)), encoding="utf8")
        fresh.replace(self._told)
        self._held = keys

    def _others(self) -> set[str]:
        leased: set[str] = set()
        for path in self._folder.glob("*.lock"):
            if path.name in (".lock", Path(self._alive.lock_file).name):
                continue
            try:
                with FileLock(path, timeout=0):
                    pass  # nobody holds it: its process is gone
                self._remove(path)
            except Timeout:
                with suppress(FileNotFoundError):
                    leased |= set(json.loads(path.with_suffix(".json").read_text("utf8")))
        return leased

    @staticmethod
    def _remove(lock: Path) -> None:
        # Only under the turn, where no other process may be about to lock the file.
        for suffix in (".json", ".fresh", ".lock"):
            with suppress(OSError):
                lock.with_suffix(suffix).unlink()

    def _refused(self, error: OSError) -> StoreError:
        return refused(f"cannot lease runs in {self._folder}", error)
