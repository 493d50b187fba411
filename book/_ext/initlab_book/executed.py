"""Show papermill's executed copies while git keeps notebooks without outputs.

Prose and code come from the source, outputs from the copy. A copy that is missing, unfinished,
failed or stale gives a warning, and so do claims that are not the published ones: with
warnings as errors, the book cannot be built from them.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

from initlab import claims

log = logging.getLogger(__name__)

Notebook = dict[str, Any]
Problem = tuple[str, str]
WIDGET = "application/vnd.jupyter.widget-view+json"
CARD_TAG = "chapter-card"
#: Cells that papermill adds to a copy.
ADDED_TAGS = {"injected-parameters", "papermill-error-cell-tag"}


def published_path(app: Sphinx) -> Path:
    """The file of the published claims."""
    return Path(app.confdir, app.config.initlab_claims)


def copy_path(app: Sphinx, docname: str) -> Path:
    """Where papermill leaves the executed copy of a notebook."""
    return Path(app.confdir, app.config.initlab_executed, f"{docname}.ipynb")


def study(docname: str) -> str:
    """The study that a chapter is about, from its file name.

    >>> study("notebooks/01-how-to-start-training")
    'how-to-start-training'
    """
    return re.sub(r"^\d+-", "", docname.rsplit("/", 1)[-1])


def preset(executed: Notebook) -> str:
    """The preset that a copy was run at; the one that is published when none was given."""
    given = executed["metadata"].get("papermill", {}).get("parameters", {})
    return str(given.get("preset", "laptop"))


def merge(source: Notebook, executed: Notebook) -> Notebook:
    """The source with the outputs of its copy, ready to be rendered."""
    merged = copy.deepcopy(source)
    code = [cell for cell in merged["cells"] if cell["cell_type"] == "code"]
    for cell, run in zip(code, _code_cells(executed), strict=False):
        cell["execution_count"] = run["execution_count"]
        cell["outputs"] = [_for_a_page(o) for o in run["outputs"] if not _is_progress(o)]
    known = ["language_info"]  # only once it ran
    if any(WIDGET in output.get("data", {}) for cell in code for output in cell["outputs"]):
        known.append("widgets")
    for name in known:
        if name in executed["metadata"]:
            merged["metadata"][name] = executed["metadata"][name]
    if preset(executed) != "laptop":
        merged["cells"].insert(1, _markdown_cell(_notice(preset(executed))))
    return merged


def frame_cards(notebook: Notebook) -> Notebook:
    """Cells tagged `chapter-card` become the directive; in JupyterLab they are plain Markdown."""
    for cell in notebook["cells"]:
        if CARD_TAG in _tags(cell):
            cell["source"] = f"::::{{chapter-card}}\n{_source(cell)}\n::::"
    return notebook


def problems(source: Notebook, executed: Notebook) -> Iterator[Problem]:
    """What forbids publishing this copy, as (kind, message)."""
    cells = _code_cells(executed)
    if executed["metadata"].get("papermill", {}).get("exception") or any(
        output["output_type"] == "error" for cell in cells for output in cell["outputs"]
    ):
        yield "failed", "ended in an exception"
    elif any(
        cell["metadata"].get("papermill", {}).get("status", "completed") != "completed"
        for cell in cells
    ):
        yield "failed", "did not run to its end"
    if [_source(c) for c in _code_cells(source)] != [_source(c) for c in cells]:
        yield "stale", "was made from other code than the notebook now holds"


def shown_claims(executed: Notebook) -> list[dict[str, Any]]:
    """The claims that a copy's cells gave out."""
    outputs = [output for cell in _code_cells(executed) for output in cell["outputs"]]
    return [claim for o in outputs for claim in o.get("data", {}).get(claims.MIME, ())]


def claim_differences(
    shown: list[dict[str, Any]], published: list[dict[str, Any]], studies: set[str]
) -> Iterator[str]:
    """Where the shown claims of the laptop preset are not the published ones of these studies.

    The seconds that a claim took differ from run to run and are not compared.
    """

    def index(entries: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
        return {
            (entry["study"], entry["id"]): entry
            for entry in entries
            if entry["study"] in studies and entry["preset"] == "laptop"
        }

    here, there = index(shown), index(published)
    for key in sorted(here.keys() | there.keys()):
        name = f"claim {key[1]} of {key[0]}"
        if key not in here or key not in there:
            yield f"{name} is {'published but not shown' if key in there else 'not published'}"
            continue
        for field in sorted((here[key].keys() | there[key].keys()) - {"seconds"}):
            ours, theirs = here[key].get(field), there[key].get(field)
            if not _same(ours, theirs):
                yield f"{name}: {field} is {ours!r}, published {theirs!r}"


def _same(a: Any, b: Any) -> bool:
    # Published numbers are rounded to six digits; another machine may round the last one apart.
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, float) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=2e-5, abs_tol=1e-12)
    return bool(a == b)


def _tags(cell: dict[str, Any]) -> list[str]:
    return cell["metadata"].get("tags", [])


def _source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def _code_cells(notebook: Notebook) -> list[dict[str, Any]]:
    return [
        cell
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and not ADDED_TAGS & set(_tags(cell))
    ]


def _for_a_page(output: dict[str, Any]) -> dict[str, Any]:
    """Without claims, and without a widget where HTML says the same: a page has no kernel."""
    if "data" not in output:
        return output
    needless = {claims.MIME, WIDGET} if "text/html" in output["data"] else {claims.MIME}
    data = {mime: value for mime, value in output["data"].items() if mime not in needless}
    return {**output, "data": data}


def _is_progress(output: dict[str, Any]) -> bool:
    """Whether this is the bar of a computation that has ended: nothing to show to a reader."""
    data = output.get("data", {})
    return WIDGET in data and "%|" in "".join(data.get("text/plain", ""))


def _markdown_cell(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _notice(preset: str) -> str:
    return (
        f":::{{warning}}\nThis page was made at the `{preset}` preset. "
        "The published book shows the laptop preset.\n:::"
    )


def _on_source_read(app: Sphinx, docname: str, source: list[str]) -> None:
    if not app.env.doc2path(docname).endswith(".ipynb"):
        return
    file = copy_path(app, docname)
    notebook = json.loads(source[0])
    app.env.note_dependency(str(file))
    app.env.note_dependency(str(published_path(app)))

    def warn(kind: str, message: str) -> None:
        log.warning(message, type="initlab", subtype=kind, location=docname)

    if file.is_file():
        executed = json.loads(file.read_text(encoding="utf8"))
        for kind, message in problems(notebook, executed):
            warn(kind, f"the executed copy {message}; run the notebook again")
        shown = shown_claims(executed)
        studies = {claim["study"] for claim in shown}
        if preset(executed) == "laptop":
            studies.add(study(docname))
            published = claims.published(published_path(app))
            for difference in claim_differences(shown, published, studies):
                warn("claims", difference)
        notebook = merge(notebook, executed)
    else:
        warn("missing", f"no executed copy at {file.relative_to(app.confdir)}; run the notebook")
    source[0] = json.dumps(frame_cards(notebook))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the settings and the hook."""
    app.add_config_value("initlab_executed", "_executed", "env")
    app.add_config_value("initlab_claims", "initlab/recorded/claims.json", "env")
    app.connect("source-read", _on_source_read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
