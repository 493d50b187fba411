"""Every chapter runs from top to bottom, at smoke, from any folder, with papermill itself."""

from __future__ import annotations

import json
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest

from initlab import claims, parameters
from initlab.notebook import schema_of
from initlab.parameters import ParameterError
from tests.smoke import NOTEBOOKS, papermill

pytestmark = pytest.mark.notebook
UNKNOWN = [
    ("depht", 5, "unknown parameter depht; this notebook takes"),
    ("preset", "huge", "unknown preset 'huge'; choose one of smoke, laptop, paper"),
    ("recorded", "not sure", "recorded must be true or false, not 'not sure'"),
    ("engine", "slurm", "unknown engine 'slurm'; choose one of local, ray"),
    ("seed", 10**30, "seed must be a whole number from 0 to 4,294,967,295, not 1000"),
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
def test_every_value_of_every_preset_is_one_that_the_chapter_takes(notebook):
    presets = study_of(notebook).PRESETS
    for name, parameter in parameters.schema(presets).items():
        assert parameter.says, f"nothing says what {name} decides"
        for value in parameter.presets.values():
            assert parameter.take(value) == value
            # As plain papermill hands a list or a truth value on.
            assert parameter.take(str(value)) == value


#: Chapters whose sets and rules are marked as such in their settings.
NAMED = {
    1: ("dataset", "image_dataset", "schemes"),
    2: ("dataset", "other_dataset"),
    3: ("dataset", "other_datasets"),
    4: ("datasets", "residual"),
    5: ("dataset",),
}


@pytest.mark.parametrize(("number", "names"), NAMED.items())
def test_a_text_that_names_something_must_name_what_there_is(number, names):
    known = parameters.schema(study_of(NOTEBOOKS[number - 1]).PRESETS)
    texts = {name for name, p in known.items() if p.kind is str} - {*parameters.COMMON}
    assert texts == {*names}
    for name in names:
        value = ["nosuch"] if known[name].many else "nosuch"
        with pytest.raises(ParameterError, match=f"unknown {name} .*nosuch.*; choose one"):
            known[name].take(value)


def test_a_notebook_is_known_by_its_study(tmp_path):
    """Whatever its file is called, and without its study only what every chapter takes."""
    source = NOTEBOOKS[0].read_text(encoding="utf8")
    assert schema_of(source).keys() == parameters.assigned(_cell(source))
    assert schema_of(source)["depths"].kind is int
    other = source.replace("how_to_start_training as study", "how_to_start_training as other")
    assert schema_of(other) == parameters.common()
    gone = source.replace("import how_to_start_training as study", "import no_such_study as study")
    assert schema_of(gone) == parameters.common()


def _cell(source: str) -> str:
    cells = json.loads(source)["cells"]
    [given] = [c for c in cells if "parameters" in c["metadata"].get("tags", ())]
    return "".join(given["source"])


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_chapters_parameters_are_the_settings_of_its_study(notebook):
    cells = json.loads(notebook.read_text(encoding="utf8"))["cells"]
    code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    [given] = [c for c in cells if "parameters" in c["metadata"].get("tags", ())]
    names = {field.name for field in fields(study_of(notebook).PRESETS["laptop"])}
    assert parameters.assigned("".join(given["source"])) == names
    assert sum("parameters.read(globals(), study.PRESETS)" in source for source in code) == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"depht": 5}, "unknown parameter depht; this notebook takes"),
        ({"depths": 5}, "depths must be a list of one or more whole numbers ≥ 1, such as [5, 10]"),
    ],
)
def test_papermill_refuses_what_is_unknown(tmp_path, given, says):
    done = papermill(NOTEBOOKS[0], tmp_path / "out.ipynb", tmp_path / "store", **given)
    assert done.returncode != 0
    assert says in done.stderr
