"""The first cell of a notebook brings the package where it is missing, and else does nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import smoke

ROOT = smoke.ROOT
NOTEBOOKS = [*smoke.NOTEBOOKS, *smoke.PAGES]
#: Run a cell's text as a notebook does, with the package or with nothing in its place.
RUN = """
import sys
from IPython.core.interactiveshell import InteractiveShell
if sys.argv[2] == "hidden":
    sys.modules["initlab"] = None
InteractiveShell.instance().run_cell(sys.argv[1]).raise_error()
"""
#: Tells what it is asked for, and what it was asked with.
PIP = "import sys; print('pip', *sys.argv[1:])"


def first_cell(notebook: Path) -> str:
    cells = json.loads(notebook.read_text(encoding="utf8"))["cells"]
    return next("".join(c["source"]) for c in cells if c["cell_type"] == "code")


def says(cell: str, package: str, folder: Path) -> str:
    """What the cell writes where pip only repeats what it is told."""
    (folder / "pip.py").write_text(PIP)
    path = os.pathsep.join([str(folder), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", RUN, cell, package],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "IPYTHONDIR": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr


def test_it_is_the_same_in_every_notebook():
    assert len(NOTEBOOKS) > 1
    assert len({first_cell(notebook) for notebook in NOTEBOOKS}) == 1


def test_the_address_is_that_of_the_repository(tmp_path):
    """_config.yml is the one place that names it. Neither an extra nor a torch is asked for."""
    address = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    told = says(first_cell(NOTEBOOKS[0]), "hidden", tmp_path)
    [line] = [line for line in told.splitlines() if line.startswith("pip ")]
    assert line == f"pip install --quiet git+{address}"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_where_the_package_is_nothing_happens(notebook, tmp_path):
    assert says(first_cell(notebook), "there", tmp_path) == ""
