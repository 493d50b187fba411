"""What is made once for all processes of a run of the tests: chapters and pages, at their least."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
#: Pages of the book that compute what they show.
PAGES = sorted((ROOT / "book").glob("*.ipynb"))
#: With what they are small: a chapter computes everything, a page has fewer networks.
CHAPTER: dict[str, object] = {"preset": "smoke", "recorded": False}
PAGE: dict[str, object] = {"seeds": 40}


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder`, filled by `make(folder)` in the first process that asks; others wait for it.

    What fails is not tried again: it fails for all who ask.
    """
    failed = folder.with_name(f"{folder.name}.failed")
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if failed.exists():
            pytest.fail(failed.read_text(encoding="utf8"))
        if not folder.exists():
            folder.mkdir()
            try:
                make(folder)
            except BaseException as error:
                failed.write_text(str(error), encoding="utf8")
                raise
    return folder


def papermill(notebook: Path, out: Path, store: Path, **parameters: object):
    """Run a notebook with papermill itself, in the folder of the copy."""
    command = [sys.executable, "-m", "papermill", str(notebook), str(out), "--no-progress-bar"]
    for name, value in parameters.items():
        command += ["-p", name, str(value)]
    return subprocess.run(
        command,
        cwd=out.parent,
        env=os.environ | {"INITLAB_STORE": str(store)},
        capture_output=True,
        text=True,
        check=False,
    )


@dataclass(frozen=True)
class Smoke:
    """An executed copy, and the store into which a chapter's results went."""

    copy: Path
    store: Path


def smoke(shared: Path, notebook: Path) -> Smoke:
    """A notebook that ran at its least, alone in an empty folder, nothing recorded.

    It runs once in `shared`, whichever test needs it first. Fails the test if it stops.
    """

    def make(folder: Path) -> None:
        shutil.copy(notebook, folder)
        given = PAGE if notebook in PAGES else CHAPTER
        done = papermill(folder / notebook.name, out, store, **given)
        if done.returncode:
            pytest.fail(f"{notebook.name} stopped:\n{done.stderr[-3000:]}")

    folder = shared / notebook.stem
    out, store = folder / "out.ipynb", folder / "store"
    once(folder, make)
    return Smoke(out, store)
