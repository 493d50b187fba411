"""How papermill runs the cells of a notebook: what its kernel gets, and when the copy is saved."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty
from typing import Any

from nbclient.util import run_sync
from nbformat import NotebookNode
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
#: Seconds in which all that a cell has printed arrives, once it has ended.
ARRIVAL = 600
#: What a kernel runs when it starts: before each cell it is told to keep what it sends until that
#: is taken. By itself it throws away what comes after a thousand messages, and a flushed line is
#: one. Before each cell, for it concerns only who has connected by then.
KEEP_ALL = (
    "(lambda shell, thread: thread and shell.events.register('pre_execute', lambda: "
    "thread.schedule(lambda: setattr(thread.socket, 'sndhwm', 0))))"
    "(get_ipython(), getattr(get_ipython().kernel, 'iopub_thread', None))"
)


class Client(PapermillNotebookClient):
    """papermill's own client, but that it ends its kernel when that is idle, and takes all it says.

    A kernel is interrupted before it is told to end. Between its last answer and its rest it would
    take that for Ctrl-C, and say so.
    """

    def __init__(self, manager: NotebookExecutionManager, **options: Any) -> None:
        """See `PapermillNotebookClient`."""
        keep = f"--IPKernelApp.exec_lines={KEEP_ALL}"
        super().__init__(manager, iopub_timeout=ARRIVAL, extra_arguments=[keep], **options)
        self._pieces: list[str] = []

    def output(
        self, outs: list[NotebookNode], msg: dict[str, Any], display_id: str | None, index: int
    ) -> NotebookNode | None:
        """See `nbclient.NotebookClient`; but what continues a text is no output of its own.

        A cell may flush 300,000 lines. A check of each and a copy with as many outputs take
        minutes.
        """
        content, last = msg["content"], outs[-1] if outs else {}
        continues = msg["msg_type"] == last.get("output_type") == "stream"
        hooked = self.output_hook_stack[msg["parent_header"].get("msg_id")]
        if (
            continues
            and content["name"] == last["name"]
            and not (hooked or self.clear_before_next_output)
        ):
            self._pieces.append(content["text"])
            return None
        self._join(outs)
        return super().output(outs, msg, display_id, index)

    def _join(self, outs: list[NotebookNode]) -> None:
        """Put what has continued the last text of a cell into it."""
        if self._pieces and outs:
            outs[-1]["text"] = "".join([outs[-1]["text"], *self._pieces])
        self._pieces.clear()

    async def async_execute_cell(self, cell: NotebookNode, *where: Any, **options: Any) -> Any:
        """See `nbclient.NotebookClient`."""
        try:
            return await super().async_execute_cell(cell, *where, **options)
        finally:
            self._join(cell.get("outputs", []))

    execute_cell = run_sync(async_execute_cell)

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
