"""A built site, a server for it and a browser: once for all tests of the site."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.smoke import NOTEBOOKS, PAGES, Smoke, once
from tests.wait import WAIT

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
# It finds no machine but this one.
FLAGS += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]


@pytest.fixture(scope="session")
def site(shared: Path, at_smoke: Callable[[Path], Smoke]) -> Path:
    """The folder of a built site: the one that INITLAB_SITE_DIR names, or one built now.

    A site built here shows chapters and pages run now, at their least, nothing recorded. It is
    built once, for all processes of the tests.
    """
    if given := os.environ.get("INITLAB_SITE_DIR"):
        return Path(given).resolve()
    return once(shared / "site", partial(_build, at_smoke)) / "_build" / "html"


def _build(at_smoke: Callable[[Path], Smoke], tree: Path) -> None:
    if not (ROOT / "book" / "_static" / "vendor").is_dir():
        pytest.fail("the site's scripts are not in book/_static/vendor: run `make vendor`")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, tree)
    shutil.copytree(ROOT / "benchmarks", tree / "benchmarks", ignore=shutil.ignore_patterns("*.py"))
    for name in ("book", "notebooks", "initlab/recorded"):
        shutil.copytree(ROOT / name, tree / name)
    for notebook in (*NOTEBOOKS, *PAGES):
        executed = tree / "_executed" / notebook.relative_to(ROOT)
        executed.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(at_smoke(notebook).copy, executed)
    command = [str(Path(sys.executable).parent / "jupyter-book"), "build", str(tree)]
    command += ["-W", "-n", "--keep-going"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing: what fails is seen from the browser."""


@pytest.fixture(scope="session")
def address(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the site is served: under a folder of the host, as on GitHub Pages."""
    root = tmp_path_factory.mktemp("served")
    (root / "lab").symlink_to(site, target_is_directory=True)
    handler = partial(_Quiet, directory=str(root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/lab/"
        server.shutdown()


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium: the machine's, else the one that playwright installed."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is in the extra dev")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    with api.sync_playwright() as playwright:
        yield (browser := playwright.chromium.launch(executable_path=found, args=FLAGS))
        browser.close()


@dataclass
class Visit:
    """A page that was opened, and everything that went wrong on it."""

    page: object
    problems: list[str] = field(default_factory=list)

    def settle(self) -> None:
        """Wait until formulas and widgets, if any, have been drawn."""
        page = self.page
        if page.locator(".math").count():
            page.wait_for_selector("mjx-container", state="attached")
        if page.locator("script[type='application/vnd.jupyter.widget-view+json']").count():
            page.wait_for_selector(".jupyter-widgets")
        page.wait_for_load_state("networkidle")


Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def readers(browser) -> Iterator[Callable[..., object]]:
    """Readers by width of window and scheme, who remember what they have fetched."""
    contexts: dict[tuple[int, str], object] = {}

    def reader(width: int, scheme: str) -> object:
        if (width, scheme) not in contexts:
            contexts[width, scheme] = browser.new_context(
                viewport={"width": width, "height": 900},
                color_scheme=scheme,
                reduced_motion="reduce",
            )
            contexts[width, scheme].set_default_timeout(WAIT)
        return contexts[width, scheme]

    yield reader
    for context in contexts.values():
        context.close()


@pytest.fixture
def visit(readers, address: str) -> Iterator[Open]:
    """Open pages of the site, recording console errors, failed and foreign requests."""
    pages = []

    def open_page(name: str, *, width: int = 1280, scheme: str = "light") -> Visit:
        page = readers(width, scheme).new_page()
        pages.append(page)
        seen = Visit(page)
        page.on("console", lambda m: _is_error(m) and seen.problems.append(m.text))
        page.on("pageerror", lambda e: seen.problems.append(f"uncaught: {e}"))
        page.on("requestfailed", lambda r: seen.problems.append(f"failed: {r.url}"))
        page.on("response", lambda r: _found(r) or seen.problems.append(f"{r.status}: {r.url}"))
        page.on("request", lambda r: _foreign(r.url, address) and seen.problems.append(r.url))
        page.goto(address + name)
        seen.settle()
        return seen

    yield open_page
    for page in pages:
        page.evaluate("localStorage.clear()")  # the scheme that was chosen
        page.close()


def _found(response) -> bool:
    return response.ok or response.url.endswith("/favicon.ico")


def _is_error(message) -> bool:
    # The page that leads from the root to the front page has no icon; browsers ask the host.
    return message.type == "error" and not message.location["url"].endswith("/favicon.ico")


def _foreign(url: str, address: str) -> bool:
    return not url.startswith((address, "data:", "blob:"))
