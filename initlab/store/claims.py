"""Who computes what, when several processes fill one store.

A process tells the others in a file which runs it computes at the moment, and holds a lock of
the operating system on a second file for as long as it lives. The lock of a killed process is
free at once, and what it claimed with it: nothing expires and nothing is cleaned up by hand.
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

from initlab.store.parts import StoreError

#: Seconds to wait for a process that looks through the claims, which takes milliseconds.
PATIENCE = 60.0


class Claims:
    """The runs that one process computes; a context, at whose end none is claimed any more.

    `stored` gives the keys that the store holds.
    """

    def __init__(self, folder: Path, stored: Callable[[], set[str]]) -> None:
        """Prepare (nothing is written yet) to claim runs of the store in `folder`."""
        self._folder = folder / ".claims"
        self._stored = stored
        self._turn = FileLock(self._folder / ".lock", timeout=PATIENCE, thread_local=False)
        self._alive = FileLock(
            self._folder / f"{os.getpid()}-{uuid.uuid4().hex}.lock", timeout=0, thread_local=False
        )
        self._told = Path(self._alive.lock_file).with_suffix(".json")
        self._held: set[str] = set()

    def __enter__(self) -> Claims:
        """Lock this process's file. Raises `StoreError` when the store cannot be written."""
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
        """Give up every claim."""
        with suppress(OSError), self._turn:
            self._alive.release()
            self._remove(Path(self._alive.lock_file))

    def take(self, keys: Iterable[str]) -> set[str]:
        """Those of `keys` that are this process's to compute from now on: neither stored, nor
        claimed by a process that lives, nor taken before. Never waits for another's results.

        Raises `StoreError` when the claim cannot be written.
        """
        try:
            with self._turn:
                free = set(keys) - self._held - self._others()
                self._tell(self._held | free)
        except OSError as error:
            raise self._refused(error) from error
        # Looked up last: whoever held a claim until now has stored its results before it let go.
        known = self._stored() & free
        self.release(known)
        return free - known

    def release(self, keys: Iterable[str]) -> None:
        """Give up the claim on runs, after their results were stored."""
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
        claimed: set[str] = set()
        for path in self._folder.glob("*.lock"):
            if path.name in (".lock", Path(self._alive.lock_file).name):
                continue
            try:
                with FileLock(path, timeout=0):
                    pass  # nobody holds it: its process is gone
                self._remove(path)
            except Timeout:
                with suppress(FileNotFoundError):
                    claimed |= set(json.loads(path.with_suffix(".json").read_text("utf8")))
        return claimed

    @staticmethod
    def _remove(lock: Path) -> None:
        # Only under the turn, where no other process may be about to lock the file.
        for suffix in (".json", ".fresh", ".lock"):
            with suppress(OSError):
                lock.with_suffix(suffix).unlink()

    def _refused(self, error: OSError) -> StoreError:
        return StoreError(
            f"cannot claim runs in {self._folder}: {error.strerror or error}. What was stored "
            "before is safe. Make the folder writable or choose another with INITLAB_STORE."
        )
