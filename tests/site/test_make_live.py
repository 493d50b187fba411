"""The book behind a Jupyter server's login: who is let in, who is refused, and cells that run."""

from __future__ import annotations

import functools
import html
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from initlab.live import server as live
from tests.site.conftest import ROOT, Visit, _Quiet
from tests.site.sections import BUILT
from tests.site.servers import AS_ROOT, TOKEN, free_port, running, status
from tests.smoke import NOTEBOOKS, PAGES
from tests.wait import PATIENCE, WAIT

pytestmark = pytest.mark.site

VENDOR = ROOT / "book" / "_static" / "vendor"
CELLS = [
    "x = 6\nprint('six')",
    "x * 7",
    "1 / 0",
    "import ipywidgets as w\n"
    "square = w.HTML('none')\n"
    "k = w.IntSlider(description='k')\n"
    "k.observe(lambda c: setattr(square, 'value', f'{c.new ** 2}'), 'value')\n"
    "w.VBox([k, square])",
    "import time\ntime.sleep(3600)",
    "from initlab.live import Live\nLive('memory', depth=3)",
    "import anywidget, ipywidgets\n"
    "class Own(anywidget.AnyWidget):\n"
    "    _esm = 'export default {}'\n"
    "ipywidgets.VBox([Own()])",
]


def page(cells: list[str]) -> str:
    """A page with cells as the book has them: the second has its code hidden."""
    parts = []
    for index, code in enumerate(cells):
        block = f"<div class='highlight'><pre><span></span>{html.escape(code)}\n</pre></div>"
        block = f"<div class='cell_input docutils container'>{block}</div>"
        if index == 1:
            block = f"<details><summary>Show the code</summary>{block}</details>"
        old = "<div class='output text_plain'><pre>static</pre></div>"
        old = f"<div class='cell_output docutils container'>{old}</div>" if index < 2 else ""
        parts.append(f"<div class='cell docutils container'>{block}{old}</div>")
    body = f"<article><h1>A chapter</h1>{''.join(parts)}</article>"
    icon = "<link rel='icon' href='data:,'>"
    script = "<script type='module' src='../_static/live/live.js'></script>"
    head = f"<head>{icon}{script}<title>x</title></head>"
    return f"<!doctype html><html>{head}<body>{body}</body></html>"


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    """A folder with a book of one chapter."""
    if not (VENDOR / "cells" / "main.js").is_file() or not (BUILT / "graphs").is_dir():
        pytest.fail("the scripts are not in book/_static: run `make vendor graphs`")
    folder = tmp_path_factory.mktemp("work") / "html"
    (folder / "_sources" / "notebooks").mkdir(parents=True)
    (folder / "notebooks").mkdir()
    (folder / "index.html").write_text("<html><head></head><body>front</body></html>")
    (folder / "notebooks" / "one.html").write_text(page(CELLS))
    (folder / "_sources" / "notebooks" / "one.ipynb").write_text("{}")
    for name in ("cells", "require.js", "@jupyter-widgets"):
        target = folder / "_static" / "vendor" / name
        copy = shutil.copytree if (VENDOR / name).is_dir() else shutil.copy
        target.parent.mkdir(parents=True, exist_ok=True)
        copy(VENDOR / name, target)
    shutil.copytree(BUILT, folder / "_static" / "live")
    return folder


@pytest.fixture(scope="module")
def server(book) -> Iterator[str]:
    """The address of the book behind the server."""
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    command = ["initlab", "live", "--port", str(port), "--site", str(book), "--", *AS_ROOT]
    with running(*command, address=f"{address}login", cwd=book.parent, JUPYTER_TOKEN=TOKEN):
        yield address


@pytest.fixture
def chapter(browser, server) -> Iterator[Visit]:
    """The chapter, opened with the token."""
    context = browser.new_context(viewport={"width": 1000, "height": 1200})
    page = context.new_page()
    page.set_default_timeout(WAIT)
    seen = Visit(page)
    page.on("console", lambda m: m.type == "error" and seen.problems.append(m.text))
    page.on("pageerror", lambda e: seen.problems.append(f"uncaught: {e}"))
    page.on("request", lambda r: r.url.startswith(server) or seen.problems.append(r.url))
    page.goto(f"{server}book/notebooks/one.html?token={TOKEN}")
    yield seen
    context.close()


def cell(page, number: int):
    return page.locator("div.cell").nth(number - 1)


def told(page, number: int, text: str) -> None:
    """Wait until a cell says this."""
    page.wait_for_function(
        "([n, text]) => document.querySelectorAll('.lab-note')[n].textContent.includes(text)",
        arg=[number - 1, text],
    )


def run(page, number: int, text: str = "run in") -> str:
    """Run a cell; its output."""
    page.get_by_role("button", name=f"Run cell {number}", exact=True).click()
    told(page, number, text)
    return cell(page, number).locator(".cell_output").inner_text().strip()


# Who is let in


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--IdentityProvider.token="], "no token"),
        (["--ip=0.0.0.0"], "0.0.0.0 can be reached from other machines"),
        (["--ip=*"], "can be reached from other machines"),
        (["--ServerApp.allow_origin=*"], "every web page could use it"),
        (["--ServerApp.allow_origin_pat=.*"], "every web page could use it"),
        (["--ServerApp.disable_check_xsrf=True"], "forgery"),
        (["--ServerApp.allow_remote_access=True"], "foreign host names"),
        (["--IdentityProvider.token=", "--ip=0.0.0.0"], "other machines"),
    ],
)
def test_a_server_for_strangers_is_refused(book, options, reason):
    assert_refused(book, reason, *options)


def test_a_server_with_an_empty_token_in_its_environment_is_refused(book):
    assert_refused(book, "no token", JUPYTER_TOKEN="")


def test_a_book_that_is_not_there_is_told(tmp_path):
    assert_refused(tmp_path, "build it with `make book`")
    (tmp_path / "index.html").write_text("a book of an earlier version")
    assert_refused(tmp_path, "build it again")


def test_the_extension_refuses_in_any_server(book):
    options = ["--ServerApp.jpserver_extensions={'initlab.live.server': True}", *AS_ROOT]
    command = [sys.executable, "-m", "jupyter_server", *options, "--ServerApp.allow_origin=*"]
    port = ["--ServerApp.port", str(free_port())]
    done = subprocess.run(
        [*command, *port],
        env=os.environ | {"INITLAB_SITE": str(book), "JUPYTER_NO_CONFIG": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 2
    assert "initlab: this server is refused: every web page could use it" in done.stderr


def served(arguments: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
    """Status, stdout and stderr of the command line in a process of its own.

    The process is forked from one that has imported all that takes seconds.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["initlab.cli", "initlab.live.server"])
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = context.Process(target=_serve, args=(arguments, environment, out, err))
        process.start()
        process.join(PATIENCE)
        assert process.exitcode is not None, "it has started"
        return process.exitcode, out.read_text(), err.read_text()


def _serve(arguments: list[str], environment: dict[str, str], out: Path, err: Path) -> None:
    os.environ.update(environment)
    for stream, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), stream)
    from initlab import cli

    status = cli.main(arguments[1:])
    sys.stdout.flush()
    os._exit(status)


def assert_refused(site: Path, reason: str, *options: str, **environment: str) -> None:
    command = ["-m", "initlab", "live", "--port", str(free_port()), "--site", str(site), "--"]
    status, out, err = served([*command[1:], *AS_ROOT, *options], environment)
    assert status == 2
    [line] = err.splitlines()
    assert line.startswith("initlab: this server is refused: ")
    assert reason in line
    assert out == ""


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("book/", 302),
        ("book/notebooks/one.html", 302),
        ("book/_static/vendor/cells/main.js", 302),
        ("api/kernels", 403),
        ("api/sessions", 403),
        ("api/contents", 403),
        ("api/kernels/x/channels", 302),
    ],
)
def test_without_the_token_nothing_is_given(server, path, answer):
    assert status(server + path) == answer
    assert status(f"{server}{path}?token=wrong") == answer
    with_token = status(server + path, Authorization=f"token {TOKEN}")
    assert with_token == (200 if answer == 403 or path.startswith("book") else 404)


def test_without_the_token_nothing_is_started(server):
    wanted = json.dumps({"path": "a", "type": "notebook", "kernel": {"name": "python3"}})
    assert status(f"{server}api/sessions", "POST", wanted.encode()) == 403
    assert status(f"{server}api/kernels", "POST", b"{}") == 403


def test_a_foreign_name_for_this_machine_is_refused(server):
    """What a page does that makes a name of its own point here."""
    known = {"Authorization": f"token {TOKEN}"}
    assert status(f"{server}api/status", **known) == 200
    assert status(f"{server}api/status", **known, Host="evil.example") == 403


def test_files_outside_the_book_are_not_given(server, book):
    known = {"Authorization": f"token {TOKEN}"}
    (book.parent / "secret.html").write_text("secret")
    for path in ("book/%2e%2e/secret.html", "book/..%2fsecret.html", "book//etc/passwd"):
        assert status(server + path, **known) in (403, 404)


# Cells that run


def test_a_cell_runs_and_its_output_takes_the_place_of_the_static_one(chapter):
    page = chapter.page
    assert "token" not in page.url, "the token stays in history and pictures"
    assert TOKEN not in page.content()
    assert cell(page, 1).locator(".cell_output").inner_text().strip() == "static"
    assert run(page, 1) == "six"
    assert run(page, 2) == "42"
    assert "ZeroDivisionError" in run(page, 3, "failed")
    assert chapter.problems == []


def test_a_cell_is_edited_and_run_by_keyboard(chapter):
    page = chapter.page
    run(page, 1)
    page.locator("summary").focus()
    page.keyboard.press("Enter")
    cell(page, 2).locator(".cm-content").wait_for()  # a frame after it has come into view
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.ariaLabel") == "Code of cell 2"
    page.keyboard.press("Control+A")
    page.keyboard.type("x * 8")
    page.keyboard.press("Shift+Enter")
    told(page, 2, "run in")
    assert cell(page, 2).locator(".cell_output").inner_text().strip() == "48"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.ariaLabel") == "Run cell 2", "Tab leaves the code"
    page.get_by_role("button", name="Undo my changes").click()
    assert run(page, 2) == "42"
    assert chapter.problems == []


def test_a_widget_talks_to_the_kernel(chapter):
    page = chapter.page
    run(page, 4)
    page.locator(".noUi-handle").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.widget-html-content').textContent === '9'")
    assert chapter.problems == []


def test_a_widget_without_scripts_in_the_page_says_so(chapter):
    run(chapter.page, 7)
    chapter.page.get_by_text("Click to show javascript error").click()
    text = "The page has no scripts for widgets of anywidget; JupyterLab has."
    chapter.page.get_by_text(text).wait_for()


def test_a_live_section_that_is_run_again_comes_to_life(chapter):
    """In the page, as without a kernel, and with the settings that its cell now gives it."""
    page, host = chapter.page, "document.querySelector('.initlab-live[data-live]')"
    trained = f"{host}?.live?.trainer.run.step >= 30"
    run(page, 6)
    page.locator(".initlab-live").scroll_into_view_if_needed()
    page.wait_for_function(trained)
    assert page.evaluate(f"{host}.live.settings.depth") == 3
    cell(page, 6).locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.type("Live('memory', depth=5)")
    page.keyboard.press("Shift+Enter")
    page.wait_for_function(f"{host}?.live?.settings.depth === 5")
    page.wait_for_function(trained)
    assert page.locator(".initlab-live").count() == 1
    assert chapter.problems == []


def test_a_restarted_kernel_knows_nothing(chapter):
    page = chapter.page
    run(page, 1)
    page.get_by_role("button", name="Restart kernel").click()
    told(page, 1, "not run in this kernel")
    page.wait_for_function("document.querySelector('.lab-status').textContent.match('restarted')")
    assert "NameError" in run(page, 2, "failed")
    cell(page, 2).get_by_role("button", name="Run the cells above, then this").click()
    told(page, 2, "run in")
    assert cell(page, 2).locator(".cell_output").inner_text().strip() == "42"
    assert chapter.problems == []


def test_the_page_runs_until_a_cell_fails_and_can_be_stopped(chapter):
    page = chapter.page
    page.get_by_role("button", name="Run this page").click()
    told(page, 3, "failed")
    notes = page.locator(".lab-note").all_inner_texts()
    assert notes[0].startswith("run in") and notes[1].startswith("run in")
    assert set(notes[3:]) == {""}, "what stands behind a failure does not run"
    page.get_by_role("button", name="Run cell 5").click()
    told(page, 5, "running")
    page.get_by_role("button", name="Stop").click()
    told(page, 5, "stopped")
    assert run(page, 2) == "42", "the kernel remembers"
    assert chapter.problems == []


def test_a_page_has_one_session_whoever_opens_it(chapter, server):
    run(chapter.page, 1)
    chapter.page.reload()
    assert run(chapter.page, 2) == "42", "it is the kernel of before"
    sessions = chapter.page.request.get(f"{server}api/sessions").json()
    assert [session["path"] for session in sessions] == ["notebooks/one.ipynb"]


def test_kernels_end_when_idle(monkeypatch):
    given = {}
    monkeypatch.setattr(live.BookServer, "launch_instance", lambda _, **all: given.update(all))
    live.serve(8000, [])
    kernels = given["config"].MappingKernelManager
    assert 60 <= kernels.cull_idle_timeout <= 3600
    assert kernels.cull_interval <= kernels.cull_idle_timeout
    assert kernels.cull_connected, "an open page keeps its kernel"


def test_the_page_starts_another_kernel_when_its_own_has_ended(chapter, server):
    page = chapter.page
    run(page, 1)
    kernels = f"{server}api/kernels"
    known = {"Authorization": f"token {TOKEN}"}
    [kernel] = page.request.get(kernels).json()
    assert status(f"{kernels}/{kernel['id']}", "DELETE", **known) == 204
    assert "NameError" in run(page, 2, "failed")
    assert cell(page, 1).locator(".lab-note").inner_text() == "not run in this kernel"
    assert run(page, 1) == "six"
    [another] = page.request.get(kernels).json()
    assert another["id"] != kernel["id"]


def test_a_static_site_shows_nothing_of_it_and_asks_for_nothing(browser, book):
    handler = functools.partial(_Quiet, directory=str(book))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as plain:
        threading.Thread(target=plain.serve_forever, daemon=True).start()
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda r: asked.append(r.url))
        page.goto(f"http://127.0.0.1:{plain.server_port}/notebooks/one.html")
        page.wait_for_load_state("networkidle")
        assert page.locator("button").count() == 0
        script = f"http://127.0.0.1:{plain.server_port}/_static/live/live.js"  # a page's own
        assert set(asked) - {url for url in asked if url.startswith("data:")} == {page.url, script}
        page.close()
        plain.shutdown()


@pytest.mark.parametrize("path", [*NOTEBOOKS, *PAGES], ids=lambda p: p.stem)
def test_no_notebook_hides_code_from_its_page(path):
    """What a page runs is the code that stands in it."""
    for one in json.loads(path.read_text())["cells"]:
        assert not {"remove-input", "remove-cell"} & set(one["metadata"].get("tags", ()))
