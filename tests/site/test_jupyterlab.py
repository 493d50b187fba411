"""A live section in a real JupyterLab: the kernel's PyTorch answers, and nothing else is asked."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.site.servers import AS_ROOT, TOKEN, free_port, running
from tests.wait import WAIT

pytestmark = pytest.mark.site

ROOT = Path(__file__).resolve().parents[2]
CODE = 'from initlab.live import Live\nLive("start", depth=10, width=16, lr=0.05)'
#: The section that the cell shows.
LIVE = "[...document.querySelectorAll('.jp-OutputArea-output *')].find((e) => e.live)?.live"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a notebook with one cell, in a JupyterLab of its own."""
    pytest.importorskip("jupyterlab")
    if not (ROOT / "book" / "_static" / "live" / "widget.js").is_file():
        pytest.fail("the front end is not built: run `make vendor`")
    folder = tmp_path_factory.mktemp("lab")
    cell = {
        "cell_type": "code", "id": "one", "metadata": {}, "source": CODE, "outputs": [],
        "execution_count": None,
    }  # fmt: skip
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {
        "cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5,
    }  # fmt: skip
    (folder / "one.ipynb").write_text(json.dumps(notebook))
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    options = ["--no-browser", f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1", *AS_ROOT]
    own = {"JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_DATA_DIR": str(folder / "data")}
    own |= {"JUPYTER_TOKEN": TOKEN, "JUPYTER_PATH": f"{sys.prefix}/share/jupyter"}
    with running("jupyterlab", *options, address=f"{address}login", cwd=folder, **own):
        yield address


def test_a_section_trains_on_the_kernel_and_restarts(browser, lab):
    context = browser.new_context(viewport={"width": 1280, "height": 1400})
    problems: list[str] = []
    asked: list[str] = []
    try:
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.on("pageerror", lambda e: problems.append(f"uncaught: {e}"))
        page.on("request", lambda r: asked.append(r.url))
        page.goto(f"{lab}lab/tree/one.ipynb?token={TOKEN}")
        page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
        page.wait_for_selector(".jp-NotebookPanel-toolbar .jp-Notebook-ExecutionIndicator")
        page.wait_for_function(
            "document.querySelector('.jp-Notebook-ExecutionIndicator').dataset.status === 'idle'"
        )
        page.keyboard.press("Shift+Enter")
        page.wait_for_function(f"{LIVE}?.trainer.run.step >= 30")
        assert "in this notebook's kernel" in page.evaluate(f"{LIVE}.trainer.label")
        drawn = page.evaluate(f"{LIVE}.trainer.run.generation")
        page.get_by_role("slider", name="hidden layers").focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function(
            f"{LIVE}.trainer.run.generation > {drawn} && {LIVE}.trainer.run.step > 5"
        )
        assert page.evaluate(f"{LIVE}.settings.depth") == 15
        loss = page.evaluate(f"Array.from({LIVE}.trainer.run.now.loss)")
        assert 0 < loss[0] < 10
    finally:
        context.close()
    assert problems == []
    assert [url for url in asked if not url.startswith((lab, "data:", "blob:"))] == []
