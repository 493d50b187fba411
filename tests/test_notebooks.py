"""Every chapter runs from top to bottom, at smoke, from any folder, with papermill itself."""

from __future__ import annotations

import json
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest

from initlab import claims, parameters
from initlab.parameters import ParameterError
from tests.smoke import NOTEBOOKS, papermill

pytestmark = pytest.mark.notebook
UNKNOWN = [
    ("depht", 5, "unknown parameter depht; this notebook takes"),
    ("preset", "huge", "unknown preset 'huge'; choose one of smoke, laptop, paper"),
]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_smoke_computes_everything_from_an_empty_folder(notebook, at_smoke):
    """Only the notebook, in an empty folder; nothing recorded and nothing stored is used."""
    ran = at_smoke(notebook)
    assert list(ran.store.glob("*.parquet")), "nothing was computed"
    judged = claims.collect(ran.copy)
    assert judged
    assert {c["verdict"] for c in judged} == {claims.UNTESTED}
    cells = json.loads(ran.copy.read_text(encoding="utf8"))["cells"]
    outputs = [o for c in cells for o in c.get("outputs", ())]
    assert not [o for o in outputs if o["output_type"] == "error"]
    assert not [o for o in outputs if o.get("name") == "stderr"], "a chapter writes to stderr"
    pages = ["".join(o.get("data", {}).get("text/html", "")) for o in outputs]
    assert sum("<figure class='initlab'" in page for page in pages) > 3


def study_of(notebook: Path):
    """The module of a chapter's study."""
    return import_module(f"initlab.studies.{notebook.stem.split('-', 1)[1].replace('-', '_')}")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
@pytest.mark.parametrize(("name", "value", "says"), UNKNOWN)
def test_every_chapter_refuses_what_is_unknown(notebook, name, value, says):
    """Its settings, read as in a kernel into which papermill put a cell."""
    presets = study_of(notebook).PRESETS
    usual = {field.name: None for field in fields(presets["laptop"])}
    common = {n: getattr(presets["laptop"], n) for n in parameters.COMMON}
    injected = {"In": [f"# Parameters\n{name} = {value!r}\n"], name: value}
    with pytest.raises(ParameterError) as error:
        parameters.read(usual | common | injected, presets)
    assert says in str(error.value)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_chapters_parameters_are_the_settings_of_its_study(notebook):
    cells = json.loads(notebook.read_text(encoding="utf8"))["cells"]
    code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    [given] = [c for c in cells if "parameters" in c["metadata"].get("tags", ())]
    names = {field.name for field in fields(study_of(notebook).PRESETS["laptop"])}
    assert parameters.assigned("".join(given["source"])) == names
    assert sum("parameters.read(globals(), study.PRESETS)" in source for source in code) == 1


def test_papermill_refuses_what_is_unknown(tmp_path):
    done = papermill(NOTEBOOKS[0], tmp_path / "out.ipynb", tmp_path / "store", depht=5)
    assert done.returncode != 0
    assert "unknown parameter depht; this notebook takes" in done.stderr
