"""`make serve`, `make live` and `make lab` listen on this machine alone, and start for root too."""

from __future__ import annotations

import ipaddress
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.site.conftest import ROOT
from tests.site.servers import TOKEN, free_port, status
from tests.wait import PATIENCE, until

pytestmark = [
    pytest.mark.site,
    pytest.mark.skipif(os.name != "posix", reason="Make and process groups are POSIX's"),
]


@pytest.fixture
def site(tmp_path) -> Path:
    """A site with links out of it, beside a secret."""
    folder = tmp_path / "html"
    scripts = folder / "_static" / "vendor" / "cells"
    scripts.mkdir(parents=True)
    (scripts / "main.js").touch()
    (folder / "index.html").write_text("<html><head></head>front</html>")
    (folder / "inner").mkdir()
    (folder / "inner" / "page.html").write_text("inner")
    (folder / "book").mkdir()
    (folder / "book" / "index.html").write_text("book")
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("secret.html", "index.html"):
        (secrets / name).write_text("secret")
    (folder / "link.html").symlink_to(secrets / "secret.html")
    (folder / "linked").symlink_to(secrets)
    (folder / "here.html").symlink_to("inner/page.html")
    return folder


#: Paths of that site, and what both servers answer.
ANSWERS = {
    "index.html": 200,
    "inner/page.html": 200,
    "here.html": 200,
    "book/": 200,
    "book": 301,
    "none.html": 404,
    "inner/": 404,
    "link.html": 404,
    "linked/": 404,
    "linked/secret.html": 404,
    "%00": 404,
    "a%00.html": 404,
    f"{'a' * 3000}.html": 404,
}


@contextmanager
def made(target: str, address: str, **variables: str) -> Iterator[subprocess.Popen]:
    """`make target`, once it answers at an address, and all that it started ended afterwards.

    The environment is the one that runs the tests: nothing is installed.
    """
    given = {"BIN": str(Path(sys.executable).parent), "PYTHON": sys.executable, **variables}
    command = ["make", "-o", ".venv/.installed", target]
    command += [f"{name}={value}" for name, value in given.items()]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"JUPYTER_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        until(lambda: process.poll() is not None or status(address), f"make {target} is silent")
        if process.poll() is not None:
            pytest.fail(f"make {target} has ended:\n{process.communicate()[0].decode()[-3000:]}")
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=PATIENCE)


def listening(process: subprocess.Popen) -> dict[int, str]:
    """Port → address of every socket at which a process or one of its children listens."""
    psutil = pytest.importorskip("psutil")  # ipykernel brings it
    found = {}
    parent = psutil.Process(process.pid)
    for one in (parent, *parent.children(recursive=True)):
        for connection in one.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN:
                found[connection.laddr.port] = connection.laddr.ip
    return found


@pytest.mark.parametrize("target", ["serve", "live", "lab"])
def test_what_make_starts_listens_on_this_machine_alone(target, site, tmp_path, monkeypatch):
    """Whatever a user has configured for Jupyter, and with a kernel."""
    config = tmp_path / "config"
    config.mkdir()
    (config / "jupyter_server_config.py").write_text("c.ServerApp.ip = '0.0.0.0'")
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(config))
    port = free_port()
    given = {"SITE": str(site), "PORT": str(port)}
    if target == "lab":
        given["OPTIONS"] = f"--no-browser --port={port}"
    address = f"http://127.0.0.1:{port}/"
    with made(target, address if target == "serve" else f"{address}login", **given) as process:
        if target != "serve":
            known = {"Authorization": f"token {TOKEN}"}
            assert status(f"{address}api/kernels", "POST", b"{}", **known) == 201
        found = listening(process)
    assert port in found
    strangers = [ip for ip in found.values() if not ipaddress.ip_address(ip).is_loopback]
    assert strangers == []


def test_the_site_is_served_without_what_links_lead_to(site):
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    with made("serve", address, SITE=str(site), PORT=str(port)):
        assert {path: status(address + path) for path in ANSWERS} == ANSWERS
        assert status(address) == 200


def test_the_live_book_is_served_without_what_links_lead_to(site):
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    known = {"Authorization": f"token {TOKEN}"}
    with made("live", f"{address}login", SITE=str(site), PORT=str(port)):
        found = {path: status(f"{address}book/{path}", **known) for path in ANSWERS}
        assert found == ANSWERS
        assert status(f"{address}book/%00") == 302, "not without the token"
