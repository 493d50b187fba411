"""The Content-Security-Policy that the built book works under, written beside it as `_headers`.

Hosts such as Netlify and Cloudflare Pages send what that file says; for others it is to be copied
into the server's settings. The theme's few inline scripts and handlers are allowed by their
hashes, so that nothing else that stands in a page can run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path

from sphinx.application import Sphinx

#: Types of script elements that browsers run; all others hold data.
RUN = {"", "module", "text/javascript", "application/javascript"}


class Inline(HTMLParser):
    """What stands in a page and would run: texts of scripts, and handlers such as `onclick`."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: set[str] = set()
        self.handlers: set[str] = set()
        self._parts: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.handlers |= {value for name, value in given.items() if name.startswith("on")}
        if tag == "script" and "src" not in given and given.get("type", "").lower() in RUN:
            self._parts = []

    def handle_data(self, data: str) -> None:
        if self._parts is not None:
            self._parts.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "script" and self._parts is not None:
            self.scripts.add("".join(self._parts))
            self._parts = None


def source(text: str) -> str:
    """A script's hash in the form that a policy takes.

    >>> source("alert('Hello, world.');")
    "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
    """
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def policy(pages: Iterable[str]) -> str:
    """The tightest policy under which these pages work.

    >>> policy(["<script>f()</script>"]).split("; ")[1]
    "script-src 'self' 'wasm-unsafe-eval' 'sha256-GcEEE0IkDzIP5EQ6DXZaDPORqT5RTBELX8Fyzyg9yvo='"
    """
    found = Inline()
    for page in pages:
        found.feed(page)
    hashes = sorted(map(source, found.scripts | found.handlers))
    # Without this word a hash allows script elements, but no handlers.
    handlers = ["'unsafe-hashes'"] if found.handlers else []
    allowed = {
        "default-src": ["'none'"],
        # Graphs of the live sections are run by WebAssembly.
        "script-src": ["'self'", "'wasm-unsafe-eval'", *handlers, *hashes],
        # Formulas, figures and widgets carry styles of their own.
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:", "blob:"],
        "font-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "worker-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'self'"],
    }
    return "; ".join(f"{name} {' '.join(sources)}" for name, sources in allowed.items())


def _on_build_finished(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        folder = Path(app.outdir)
        pages = (file.read_text(encoding="utf8") for file in sorted(folder.rglob("*.html")))
        header = f"/*\n  Content-Security-Policy: {policy(pages)}\n"
        (folder / "_headers").write_text(header, encoding="utf8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the hook, after what Jupyter Book itself still does to the pages."""
    app.connect("build-finished", _on_build_finished, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
