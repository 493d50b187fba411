"""The site under its Content-Security-Policy: it works, and nothing of it asks for more."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book" / "_ext"))

from initlab_book import policy

from tests.wait import WAIT

pytestmark = pytest.mark.site

CHAPTER = "notebooks/01-how-to-start-training.html"
WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (e) => window.violations.push(
  `${e.effectiveDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber} ${e.sample}`));
"""


@pytest.fixture(scope="module")
def header(site) -> str:
    """The policy that the build has written."""
    rule, _, line = (site / "_headers").read_text(encoding="utf8").partition("\n")
    assert rule == "/*"
    return line.strip().removeprefix("Content-Security-Policy: ")


@pytest.fixture(scope="module")
def guarded(site, header) -> Iterator[str]:
    """Where the site is served with its policy."""

    class Handler(SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            self.send_header("Content-Security-Policy", header)
            super().end_headers()

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    handler = functools.partial(Handler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def page(browser) -> Iterator:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    context.add_init_script(WATCH)
    page = context.new_page()
    page.set_default_timeout(WAIT)
    yield page
    context.close()


def test_the_policy_lets_no_text_become_code(header):
    """Neither `eval` nor any inline script that the build has not seen, nor foreign hosts."""
    parts = dict(part.split(" ", 1) for part in header.split("; "))
    words = set(parts["script-src"].split())
    assert not words & {"'unsafe-eval'", "'unsafe-inline'", "*", "https:", "data:", "blob:"}
    assert "'wasm-unsafe-eval'" in words
    assert parts["default-src"] == "'none'"
    assert "http" not in header
    assert len([word for word in words if word.startswith("'sha256-")]) < 30, "text that varies"


@pytest.mark.parametrize("name", ["book/index.html", CHAPTER, "search.html?q=length"])
def test_a_page_asks_for_no_more_than_it_may(page, guarded, name):
    page.goto(guarded + name)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.violations") == []


def test_formulas_work_under_it(page, guarded):
    page.goto(guarded + CHAPTER)
    page.wait_for_selector("mjx-container", state="attached")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.violations") == []


def test_a_live_section_works_under_it(page, guarded):
    page.goto(guarded + CHAPTER)
    host = page.locator(".initlab-live[data-live]").first
    host.scroll_into_view_if_needed()
    host.get_by_role("button").first.wait_for()
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.violations") == []
    assert "could not be shown" not in host.inner_text()


def test_light_and_dark_and_the_theme_s_own_buttons_work_under_it(page, guarded):
    page.goto(guarded + CHAPTER)
    seen = set()
    for _ in range(3):
        page.locator(".theme-switch-button").first.click()
        seen.add(page.evaluate("document.documentElement.dataset.theme"))
    assert seen == {"light", "dark"}
    # Its handler stands inline: it is the hash that lets it run.
    page.evaluate("window.print = () => { window.printed = true }")
    page.evaluate("document.querySelector('[onclick=\"window.print()\"]').click()")
    assert page.evaluate("window.printed") is True
    assert page.evaluate("window.violations") == []


def test_what_does_not_belong_to_a_page_is_stopped(page, guarded):
    """The control: the policy is in force, and the watch sees what it stops."""
    page.goto(guarded + "book/index.html")
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.head.append(script);
          const image = document.createElement("img");
          image.src = "https://nobody.invalid/pixel.png";
          document.body.append(image);
        }"""
    )
    page.wait_for_function("window.violations.length >= 2")
    stopped = {text.split()[0] for text in page.evaluate("window.violations")}
    assert stopped == {"script-src-elem", "img-src"}
    assert page.evaluate("window.ran") is None


def test_hashes_are_of_what_runs_and_of_nothing_else():
    page = (
        '<script>a()</script><script type="application/json">{"b": 1}</script>'
        "<script src=c.js></script><button onclick='d(&quot;x&quot;)'>e</button>"
    )
    sources = policy.policy([page]).split("; ")[1].split()
    assert {source for source in sources if source.startswith("'sha256-")} == {
        policy.source("a()"),
        policy.source('d("x")'),
    }
    assert "'unsafe-hashes'" in sources
    assert "'unsafe-hashes'" not in policy.policy(["<script>a()</script>"])
