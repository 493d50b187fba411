"""Programs that serve something on this machine, for as long as a test needs them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.wait import PATIENCE, until

TOKEN = "a-token-that-only-this-test-knows"
#: Jupyter asks for it where tests run as root, as they do in containers.
AS_ROOT = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def running(*module: str, address: str, cwd: Path, **environment: str) -> Iterator[None]:
    """`python -m module …`, once it answers at an address, and ended afterwards."""
    log = cwd / "server.log"
    with log.open("w") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=cwd,
            env=os.environ | environment,
            stdout=told,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: process.poll() is not None or status(address), f"{module} does not answer")
        assert status(address), f"{module} has ended:\n{log.read_text()[-3000:]}"
        yield
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow nowhere: where one is sent to is what is looked at."""


def status(address: str, method: str = "GET", data: bytes | None = None, **headers: str) -> int:
    """The status that a request is answered with; 0 for no answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(address, data, named, method=method)
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=PATIENCE) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
