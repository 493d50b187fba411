"""A small page with all live sections, far apart, under the policy that the book works under."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "book" / "_static" / "live"
SECTIONS = ("start", "scale", "travel", "reinit", "memory")
POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'"
STYLE = """
html { --pst-color-background: #fff; --pst-color-text-base: #222832; --pst-color-link: #1c69a8; }
html[data-theme="dark"] {
  --pst-color-background: #13171c; --pst-color-text-base: #ced6dd; --pst-color-link: #6cb4ee;
}
body {
  background: var(--pst-color-background); color: var(--pst-color-text-base);
  font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 736px; padding: 12px;
}
.far { height: 3000px; }
"""


def build(folder: Path) -> None:
    """Write the page; raises `FileNotFoundError` if the scripts or graphs are not built."""
    for needed in ("live.js", "graphs/manifest.json"):
        if not (BUILT / needed).is_file():
            raise FileNotFoundError(f"{BUILT / needed} is not there: run `make vendor`")
    static = folder / "_static"
    static.mkdir(parents=True)
    (static / "live").symlink_to(BUILT, target_is_directory=True)
    (static / "page.css").write_text(STYLE, encoding="utf8")
    (static / "initlab.css").symlink_to(ROOT / "book" / "_static" / "initlab.css")
    parts = "".join(
        f"<div class='far'></div><h2>{name}</h2>"
        f"<div class='initlab-live' data-live='{json.dumps({'section': name})}'>"
        "<svg viewBox='0 0 300 90' width='300'><path d='M0 80L300 10' stroke='currentColor'/></svg>"
        "<p>Drawn beforehand.</p></div>"
        for name in SECTIONS
    )
    (folder / "index.html").write_text(
        "<!doctype html><html lang='en'><head><meta charset='utf8'><title>Live sections</title>"
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        "<link rel='stylesheet' href='_static/initlab.css'>"
        "<link rel='stylesheet' href='_static/page.css'>"
        "<script type='module' src='_static/live/live.js'></script>"
        f"</head><body><main>{parts}</main></body></html>",
        encoding="utf8",
    )


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing: what fails is seen from the browser."""


@contextmanager
def served(root: Path) -> Iterator[str]:
    """The address at which a folder is served, as `python -m http.server` does it."""
    handler = functools.partial(_Quiet, directory=str(root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
