"""Steps of a live section's worker in headless Chromium, one after the other."""

from __future__ import annotations

import functools
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
#: Asks the worker; the page's own front end does it in the same way.
ASK = """() => {
window.worker = new Worker("/worker.js", { type: "module" });
window.ask = (message) => new Promise((yes, no) => {
  worker.onmessage = ({ data }) => (data.error ? no(new Error(data.error)) : yes(data.result));
  worker.onerror = (event) => no(new Error(event.message));
  worker.postMessage({ id: 1, client: 1, ...message });
});
}"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def worker(folder: Path, config: dict[str, Any]) -> Iterator[Callable[[int], None]]:
    """A function that takes so many steps of the networks of `config` in a browser's worker.

    `folder` is that of the built front end, with its graphs; the messages are those of PROTOCOL.md.
    """
    from playwright.sync_api import sync_playwright

    handler = functools.partial(_Quiet, directory=str(folder))
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        try:
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/graphs/manifest.json")
            page.evaluate(ASK)
            page.evaluate("(config) => ask({ command: 'start', config })", config)

            def take(count: int) -> None:
                told = page.evaluate("(count) => ask({ command: 'steps', count })", count)
                assert told["done"] == count

            yield take
        finally:
            browser.close()
            server.shutdown()
