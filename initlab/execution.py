"""How papermill runs the cells of a notebook: what its kernel gets, and when the copy is saved."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from traitlets.config import Config

#: Name of the engine with which papermill is to run.
ENGINE = "saved-once"
#: Bytes of a folder's name with which the names of sockets in it fit everywhere: macOS takes 103.
LONGEST = 90
#: Threads that wait for each other sleep. By default they keep a core busy meanwhile, and where
#: other programs want it, most of a chapter's time goes there.
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}


class SavedOnce(NBClientEngine):
    """papermill's own engine, but that the copy is saved at the end, however that comes.

    papermill saves all of it twice for each cell, which takes a fifth of a chapter's time.
    """

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: NotebookExecutionManager, kernel_name: str, **options: Any
    ) -> None:
        """See `papermill.engines.NBClientEngine`."""
        out, nb_man.output_path = nb_man.output_path, None
        try:
            super().execute_managed_notebook(nb_man, kernel_name, **options)
        finally:
            nb_man.output_path = out


papermill_engines.register(ENGINE, SavedOnce)


def sockets(folder: Path) -> Config:
    """Settings of a kernel that is spoken to through files in a folder of its own, not over TCP,
    which others on this machine could listen to. Where that cannot be, none.
    """
    if os.name != "posix" or len(os.fsencode(folder)) > LONGEST:
        return Config()
    return Config(KernelManager={"transport": "ipc", "connection_file": str(folder / "kernel")})


@contextmanager
def environment() -> Iterator[None]:
    """What a kernel that starts meanwhile inherits, unless the user says otherwise."""
    added = {name: value for name, value in ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
