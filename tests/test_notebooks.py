"""Every chapter runs from top to bottom, at smoke, from any folder, with papermill itself."""

from __future__ import annotations

import json

import pytest

from initlab import claims
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


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
@pytest.mark.parametrize(("name", "value", "says"), UNKNOWN)
def test_every_chapter_refuses_what_is_unknown(notebook, name, value, says):
    """Its two first cells, with papermill's own between them, as in a kernel."""
    cells = json.loads(notebook.read_text(encoding="utf8"))["cells"]
    [given] = [c for c in cells if "parameters" in c["metadata"].get("tags", ())]
    reads = next(c for c in cells if "parameters.read(" in "".join(c["source"]))
    injected = f"# Parameters\n{name} = {value!r}\n"
    names: dict = {"In": [injected]}
    with pytest.raises(ParameterError) as error:
        for source in ("".join(given["source"]), injected, "".join(reads["source"])):
            exec(compile(source, notebook.name, "exec"), names)
    assert says in str(error.value)


def test_papermill_refuses_what_is_unknown(tmp_path):
    done = papermill(NOTEBOOKS[0], tmp_path / "out.ipynb", tmp_path / "store", depht=5)
    assert done.returncode != 0
    assert "unknown parameter depht; this notebook takes" in done.stderr
