"""The README's picture: a figure of an executed chapter as a file of its own.

A page outside the book cannot lend the figure its text colour, so it gets one that can be read on
white and on black.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

INK = "#7d8590"


def figure(notebook: Path, name: str) -> str:
    """The SVG of the figure of that name; raises `SystemExit` if the notebook has none."""
    for cell in json.loads(notebook.read_text(encoding="utf8"))["cells"]:
        for output in cell.get("outputs", ()):
            markup = "".join(output.get("data", {}).get("text/html", ""))
            if f"<figure class='initlab' id='{name}'" in markup:
                found = re.search(r"<svg.*?</svg>", markup, re.S)
                assert found
                return found[0].replace("currentColor", INK)
    raise SystemExit(f"{notebook} shows no figure {name!r}")


if __name__ == "__main__":
    source, name, target = sys.argv[1:]
    Path(target).write_text(figure(Path(source), name) + "\n", encoding="utf8")
