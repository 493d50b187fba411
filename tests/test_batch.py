"""A batch runs each cell once, whatever happens to the others, and shows all on a page."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from initlab import batch as package
from initlab.batch import DONE, FAILED, batch, engines
from initlab.batch.cells import Cell, cells, known
from initlab.batch.page import page
from initlab.cli import main
from initlab.cluster import ClusterError
from initlab.notebook import Executed, fingerprint, read
from initlab.parameters import ParameterError
from tests.test_notebook import BODY, printed, tiny
from tests.wait import until

ROOT = Path(__file__).parent.parent
COPY = json.dumps({"cells": [], "metadata": {"papermill": {"end_time": "now", "exception": None}}})


@pytest.fixture
def executed(monkeypatch) -> list[dict]:
    """Parameters of the cells that ran; nothing really does. Seed 2 fails."""
    ran = []

    def execute(source, given, **options):
        ran.append(dict(given))
        return Executed(COPY, 1.0, "ValueError: two" if given["seed"] == 2 else None)

    def here(calls, workers):
        for name, call in calls:
            future = engines.Future()
            future.set_result(call())
            yield name, future

    monkeypatch.setattr(package, "execute", execute)
    monkeypatch.setattr(package, "local", here)
    return ran


def states(records) -> list[str]:
    return [r.state for r in records]


def test_cells_are_a_product_and_told_apart():
    grid = cells({"seed": [1, 2], "init": ["he", "glorot"]}, {"preset": "smoke"})
    assert [tuple(c.varied.values()) for c in grid] == [
        (1, "he"),
        (1, "glorot"),
        (2, "he"),
        (2, "glorot"),
    ]
    assert all(c.parameters == {"preset": "smoke", **c.varied} for c in grid)
    other = cells({"seed": [1, 2], "init": ["he", "glorot"]}, {"preset": "laptop"})
    assert len({c.name for c in [*grid, *other]}) == 8
    awkward = Cell({"a": "../x y\n", "b": [1, 2]}, {"a": "../x y\n", "b": [1, 2]}).name
    assert re.fullmatch(r"[\w=,.+-]+", awkward)


@pytest.mark.parametrize("value", ["x" * 5000, "é" * 300, "😀" * 300])
def test_the_longest_value_gives_a_name_that_a_file_can_have(tmp_path, executed, value):
    """As long in bytes as any file system takes, however many bytes a letter has."""
    grid = {"seed": [1], "folder": [value, value + "!"]}
    assert states(batch(tiny(tmp_path), grid, {}, tmp_path / "out")) == [DONE, DONE]
    names = [p.name for p in (tmp_path / "out").glob("*.json")]
    assert len(names) == 2 and max(len(os.fsencode(n)) for n in names) < 150


def test_done_cells_are_skipped_and_failed_ones_are_not(tmp_path, executed):
    source, out = tiny(tmp_path), tmp_path / "out"
    assert states(batch(source, {"seed": [1, 2, 4]}, {}, out)) == [DONE, FAILED, DONE]
    assert [g["seed"] for g in executed] == [1, 2, 4]
    executed.clear()
    told = []
    records = batch(source, {"seed": [1, 2, 5]}, {}, out, tell=lambda c, r, b: told.append(b))
    assert states(records) == [DONE, FAILED, DONE]
    assert [g["seed"] for g in executed] == [2, 5]
    assert told == [True, False, False]


@pytest.mark.parametrize("change", ["source", "parameter", "copy gone", "copy cut", "record cut"])
def test_a_cell_is_run_again_when_it_is_another_or_not_whole(tmp_path, executed, change):
    source, out, fixed = tiny(tmp_path), tmp_path / "out", {"wait": 1}
    batch(source, {"seed": [1]}, fixed, out)
    [copy], [record] = out.glob("*.ipynb"), out.glob("*.json")
    if change == "source":
        tiny(tmp_path, BODY + "# changed")
    elif change == "parameter":
        fixed = {"wait": 2}
    elif change == "copy gone":
        copy.unlink()
    else:
        (copy if change == "copy cut" else record).write_text(COPY[:20])
    executed.clear()
    batch(source, {"seed": [1]}, fixed, out)
    assert len(executed) == 1
    executed.clear()
    batch(source, {"seed": [1]}, fixed, out)
    assert executed == []


def test_a_copy_with_an_exception_is_not_whole(tmp_path, executed):
    source, out = tiny(tmp_path), tmp_path / "out"
    batch(source, {"seed": [1]}, {}, out)
    [copy] = out.glob("*.ipynb")
    copy.write_text(COPY.replace("null", "true"))
    [cell] = cells({"seed": [1]}, {})
    assert known(cell, out, fingerprint(read(source))) is None


def test_nothing_runs_when_a_parameter_is_unknown(tmp_path, executed):
    for axes, says in (
        ({"sede": [1]}, "unknown parameter sede; this notebook takes"),
        ({"preset": ["smoke", "huge"]}, "unknown preset 'huge'"),
        ({"seed": [1, 1]}, "the grid's seed has 1 twice"),
        ({"seed": []}, "the grid's seed has no values"),
        ({}, "a batch needs one or more axes"),
    ):
        with pytest.raises(ParameterError, match=says):
            batch(tiny(tmp_path), axes, {}, tmp_path / "out")
    assert executed == []
    assert not (tmp_path / "out").exists()


class Links(HTMLParser):
    """The addresses and the tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found, self.tags = [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.found += [v for k, v in attributes if k in ("href", "src")]


def test_the_page_lists_every_cell_and_needs_nothing_else(tmp_path, executed):
    source, out = tiny(tmp_path), tmp_path / "out"
    batch(source, {"seed": [1, 2]}, {"wait": 3}, out)
    text = (out / "index.html").read_text(encoding="utf8")
    seen = Links()
    seen.feed(text)
    assert len(seen.found) == 2
    assert all((out / unquote(link)).is_file() for link in seen.found)
    assert "script" not in seen.tags and "link" not in seen.tags
    assert "2 cells: 1 done, 1 failed. Other parameters: wait = 3." in text
    assert "ValueError: two" in text
    assert "prefers-color-scheme: dark" in text


def test_the_page_escapes_and_tells_who_waits(tmp_path):
    grid = cells({"init": ["<b>he</b>"]}, {})
    text = page("<i>.ipynb", grid, {}, {"a": "<u>"}, tmp_path)
    assert "<b>" not in text and "<i>" not in text and "<u>" not in text
    assert "&lt;b&gt;he&lt;/b&gt;" in text and "1 waiting" in text


@pytest.mark.notebook
def test_processes_run_it_and_one_failure_stops_no_other(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny(tmp_path)
    arguments = ["batch", "tiny.ipynb", "--grid", "seed=1,2,3,4", "--out", "out", "--workers", "2"]
    assert main(arguments) == 1
    shown = capsys.readouterr()
    assert "2 of 4 cells are done: out/index.html" in shown.out
    assert "seed=2: ValueError: two lines" in shown.out
    assert "seed=3: its kernel was killed" in shown.out
    assert shown.err.splitlines()[-1].startswith("initlab: 2 of 4 cells failed; the same command")
    copies = sorted(p for p in (tmp_path / "out").glob("*.ipynb") if "failed" not in p.name)
    assert [printed(c) for c in copies] == ["seed 1\n", "seed 4\n"]


def test_two_batches_on_one_folder_share_the_cells(tmp_path, executed, monkeypatch):
    """Each cell is run once, whoever runs it, and both know the outcome of all."""
    source, out = tiny(tmp_path), tmp_path / "out"
    monkeypatch.setattr(package, "PAUSE", 0.01)
    inner = []
    here = package.local

    def beside(calls, workers):
        """Before the first cell of a batch has ended another batch begins."""
        monkeypatch.setattr(package, "local", here)
        ended = here(calls, workers)
        first = next(ended)
        with ThreadPoolExecutor(1) as thread:
            inner.append(thread.submit(batch, source, {"seed": [1, 2, 4]}, {}, out, tell=told))
            until(lambda: len(executed) == 3, "the other batch does not begin")
            yield first
        yield from ended

    def told(cell, record, before):
        seen.append((cell.varied["seed"], before))

    seen = []
    monkeypatch.setattr(package, "local", beside)
    records = batch(source, {"seed": [1, 2, 4]}, {}, out)
    assert states(records) == [DONE, FAILED, DONE]
    assert sorted(given["seed"] for given in executed) == [1, 2, 4]
    assert inner[0].result() == records
    assert sorted(seen) == [(1, True), (2, False), (4, False)]
    assert "3 cells: 2 done, 1 failed" in (out / "index.html").read_text(encoding="utf8")


@pytest.mark.notebook
def test_ray_runs_it(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="ray is in the extra ray")
    monkeypatch.setenv("RAY_ADDRESS", "local")  # not a cluster that runs here for other reasons
    records = batch(tiny(tmp_path), {"seed": [1, 2]}, {}, tmp_path / "out", engine="ray")
    assert states(records) == [DONE, FAILED]
    [copy] = [p for p in (tmp_path / "out").glob("*.ipynb") if "failed" not in p.name]
    assert printed(copy) == "seed 1\n"


def test_without_ray_the_remedy_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"pip install 'initlab\[ray\]'"):
        batch(tiny(tmp_path), {"seed": [1]}, {}, tmp_path / "out", engine="ray")


def kill_me() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def answer() -> int:
    return 42


def test_a_killed_process_takes_only_its_own_call():
    ended = dict(engines.local([("killed", kill_me), ("well", answer)], workers=1))
    assert ended["well"].result() == 42
    assert "terminated abruptly" in package._outcome(ended["killed"]).stopped


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.notebook
@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_batch_leaves_no_process_behind(tmp_path, how):
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    given = ["-p", "wait", "3600", "-p", "folder", str(kernels), "--workers", "2"]
    arguments = ["batch", str(tiny(tmp_path)), "--grid", "seed=1,4,5", "--out", str(tmp_path / "o")]
    with subprocess.Popen(
        [sys.executable, "-m", "initlab", *arguments, *given],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts what it puts into the background deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        until(
            lambda: process.poll() is not None or len(list(kernels.iterdir())) > 1,
            "its kernels do not start",
        )
        assert process.poll() is None
        process.send_signal(how)
        _, error = process.communicate()
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "initlab: stopped; what was computed is stored" in error
        assert "Traceback" not in error
    numbers = [int(p.name.removeprefix("kernel-")) for p in kernels.iterdir()]
    until(lambda: not any(map(alive, numbers)), "a kernel goes on without its batch")
    assert not list((tmp_path / "o").glob("*.ipynb"))
