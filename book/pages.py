"""Check that a built site holds every page of _toc.yml, the front page, search and the claims.

Jupyter Book can end well and yet leave pages out, so what must be there is asserted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
#: What a site has beside the pages of the table of contents.
ALWAYS = ("index.html", "search.html", "genindex.html", "_static/claims.json")


def documents(entry: Any) -> Iterator[str]:
    """Names of the documents in a table of contents, in order.

    >>> list(documents({"root": "a", "parts": [{"chapters": [{"file": "b"}]}]}))
    ['a', 'b']
    """
    if isinstance(entry, dict):
        for key, value in entry.items():
            if key in ("root", "file"):
                yield value
            else:
                yield from documents(value)
    elif isinstance(entry, list):
        for value in entry:
            yield from documents(value)


def expected(toc: Path = ROOT / "_toc.yml") -> list[str]:
    """Files that the built site must hold, relative to its root."""
    contents = yaml.safe_load(toc.read_text(encoding="utf8"))
    return [*(f"{name}.html" for name in documents(contents)), *ALWAYS]


def check(site: Path) -> None:
    """End the program with a message if a page is missing."""
    missing = [page for page in expected() if not (site / page).is_file()]
    if missing:
        sys.exit(f"missing in {site}: {', '.join(missing)}")
    print(f"{len(expected())} expected files are in {site}")


if __name__ == "__main__":
    check(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "_build" / "html"))
