"""Tests reach nothing but this machine, and no data sets but those that they are marked for."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from initlab import files
from initlab.notebook import execute
from tests.guard import sitecustomize

ROOT = Path(__file__).parent.parent
#: An address that is nobody's, and a name that has none (RFC 5737, RFC 2606).
FAR, NAME = "198.51.100.1", "example.invalid"
REFUSED = f"tests reach nothing but this machine, not {FAR}"
CONNECT = f"import socket; socket.create_connection(('{FAR}', 9), timeout=1)"


def datagram() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


@pytest.mark.parametrize(
    "reach",
    [
        lambda: socket.create_connection((FAR, 9), timeout=1),
        lambda: socket.socket().connect_ex((FAR, 9)),
        lambda: datagram().connect((FAR, 9)),
        lambda: datagram().sendto(b"x", (FAR, 9)),
        lambda: datagram().sendmsg([b"x"], [], 0, (FAR, 9)),
        lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 9)),
    ],
)
def test_nothing_is_sent_to_another_machine(reach):
    with pytest.raises(ConnectionRefusedError, match="tests reach nothing but this machine, not"):
        reach()


@pytest.mark.parametrize(
    "ask",
    [
        lambda: socket.getaddrinfo(NAME, 80),
        lambda: socket.gethostbyname(NAME),
        lambda: socket.gethostbyname_ex(NAME),
        lambda: socket.gethostbyaddr(FAR),
        lambda: socket.create_connection((NAME, 80), timeout=1),
    ],
)
def test_nobody_is_asked_where_another_machine_is(ask):
    with pytest.raises(ConnectionRefusedError, match="tests ask nobody where another machine is"):
        ask()


@pytest.mark.parametrize("family, host", [("AF_INET", "127.0.0.1"), ("AF_INET6", "::1")])
def test_this_machine_is_reached(family, host):
    with socket.socket(getattr(socket, family)) as listens:
        try:
            listens.bind((host, 0))
        except OSError:
            pytest.skip(f"no {host} here")
        listens.listen()
        socket.create_connection((host, listens.getsockname()[1]), timeout=10).close()
    socket.gethostbyname("localhost")
    one, other = socket.socketpair()  # without an address
    one.send(b"x")
    assert other.recv(1) == b"x"


def test_a_process_that_a_test_starts_is_kept_in(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CONNECT], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith(f"RefusedError: {REFUSED}")


def test_a_kernel_is_kept_in(tmp_path):
    cell = {"cell_type": "code", "id": "one", "metadata": {}, "outputs": [], "source": CONNECT}
    plain = {"cells": [cell | {"execution_count": None}], "nbformat": 4, "nbformat_minor": 5}
    done = execute(json.dumps(plain | {"metadata": {}}), {}, folder=str(tmp_path))
    assert done.stopped == f"RefusedError: {REFUSED}"


def test_the_environment_s_own_customization_still_runs(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("print('own')")
    folders = [str(Path(sitecustomize.__file__).parent), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", CONNECT],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "own\n"
    assert REFUSED in done.stderr


@pytest.mark.parametrize("name", files.FILES)
def test_a_test_without_a_mark_has_no_real_data(name):
    assert files.look(name).state == files.MISSING


@pytest.mark.data("mnist")
def test_a_test_with_a_mark_has_them():
    assert files.look("mnist").state == files.COMPLETE


def test_a_test_with_a_mark_is_skipped_without_them():
    one = f"{__file__}::test_a_test_with_a_mark_has_them"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", one],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "INITLAB_DATA"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    reason = "needs the real mnist: set INITLAB_DATA to a torchvision root that has it"
    assert reason in " ".join(done.stdout.split())
    assert "1 skipped" in done.stdout
