"""The page of a batch: every cell, how it ended and where its executed copy lies."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from initlab.batch.cells import DONE, FAILED, WAITING, Cell, Record, copy_of
from initlab.notebook import failed_copy

STYLE = """
:root { color-scheme: light dark; --line: #d0d4da; --good: #0b6b3a; --bad: #a4161a; --dim: #57606a }
@media (prefers-color-scheme: dark) {
  :root { --line: #3a4048; --good: #6fd39a; --bad: #ff9a9a; --dim: #a0a8b2 }
}
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100% }
caption { text-align: left; color: var(--dim); padding-bottom: .5rem }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line);
         vertical-align: top }
.number { text-align: right; font-variant-numeric: tabular-nums }
.done { color: var(--good) } .failed { color: var(--bad) } .waiting, .dim { color: var(--dim) }
"""


def page(
    notebook: str,
    cells: Sequence[Cell],
    records: Mapping[str, Record],
    fixed: Mapping[str, Any],
    folder: Path,
) -> str:
    """HTML without scripts; `records` are of the cells that ended, by their name."""
    axes = list(cells[0].varied)
    states = [records[c.name].state if c.name in records else WAITING for c in cells]
    counts = [(s, states.count(s)) for s in (DONE, FAILED, WAITING)]
    told = ", ".join(f"{n} {s}" for s, n in counts if n)
    given = ", ".join(f"{n} = {_text(v)}" for n, v in fixed.items()) or "as the notebook has them"
    head = "".join(f"<th scope='col'>{html.escape(a)}</th>" for a in axes)
    rows = "\n".join(_row(c, records.get(c.name), folder) for c in cells)
    title = html.escape(notebook)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: {told}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<div class="scroll">
<table>
<caption>{len(cells)} cells: {told}. Other parameters: {html.escape(given)}.</caption>
<thead><tr>{head}<th scope="col">State</th><th scope="col" class="number">Seconds</th>
<th scope="col">Executed copy</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>
</main>
</body>
</html>
"""


def _row(cell: Cell, record: Record | None, folder: Path) -> str:
    values = "".join(f"<td>{html.escape(_text(v))}</td>" for v in cell.varied.values())
    if record is None:
        return f"<tr>{values}<td class='waiting'>{WAITING}</td><td></td><td></td></tr>"
    copy = copy_of(cell, folder)
    if record.state == FAILED:
        copy = failed_copy(copy)
    why = f"<br><span class='dim'>{html.escape(record.stopped)}</span>" if record.stopped else ""
    link = f"<a href='{quote(copy.name)}'>{html.escape(copy.name)}</a>" if copy.exists() else "none"
    return (
        f"<tr>{values}<td><span class='{record.state}'>{record.state}</span>{why}</td>"
        f"<td class='number'>{record.seconds:.1f}</td><td>{link}</td></tr>"
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
