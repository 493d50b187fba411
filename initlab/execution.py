"""How papermill runs the cells of a notebook: what its kernel gets, and when the copy is saved."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty
from typing import Any

from nbclient.util import run_sync
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, NotebookExecutionManager, papermill_engines
from papermill.log import logger
from traitlets.config import Config

#: Name of the engine with which papermill is to run.
ENGINE = "saved-once"
#: Bytes of a folder's name with which the names of sockets in it fit everywhere: macOS takes 103.
LONGEST = 90
#: Threads that wait for each other sleep. By default they keep a core busy meanwhile, and where
#: other programs want it, most of a chapter's time goes there.
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}
#: Seconds in which a kernel that has answered comes to rest.
PATIENCE = 5


class Client(PapermillNotebookClient):
    """papermill's own client, but that it ends its kernel when that is idle.

    A kernel is interrupted before it is told to end. Between its last answer and its rest it would
    take that for Ctrl-C, and say so.
    """

    def set_widgets_metadata(self) -> None:
        """Wait for the kernel's rest: this is what comes before its end."""
        super().set_widgets_metadata()
        with suppress(Empty):
            while not self._rests(run_sync(self.kc.get_iopub_msg)(timeout=PATIENCE)):
                pass

    @staticmethod
    def _rests(message: dict[str, Any]) -> bool:
        return message["content"].get("execution_state") == "idle"


class SavedOnce(Engine):
    """papermill's own engine, but that the copy is saved at the end, however that comes.

    papermill saves all of it twice for each cell, which takes a fifth of a chapter's time.
    """

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: NotebookExecutionManager,
        kernel_name: str,
        *,
        start_timeout: float,
        execution_timeout: float | None,
        config: Config,
        on_cell_execute: Callable[..., None],
        **_: Any,
    ) -> None:
        """See `papermill.engines.Engine`."""
        out, nb_man.output_path = nb_man.output_path, None
        client = Client(
            nb_man,
            kernel_name=kernel_name,
            startup_timeout=start_timeout,
            timeout=execution_timeout,
            config=config,
            on_cell_execute=on_cell_execute,
            log=logger,
        )
        try:
            client.execute()
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
