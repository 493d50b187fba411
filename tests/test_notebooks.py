"""Every chapter runs from top to bottom, at smoke, from any folder, with papermill itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from initlab import claims

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
pytestmark = pytest.mark.notebook


def papermill(notebook: Path, out: Path, *parameters: str, store: Path, cwd: Path):
    command = [sys.executable, "-m", "papermill", str(notebook), str(out), "--no-progress-bar"]
    for name, value in zip(parameters[::2], parameters[1::2], strict=True):
        command += ["-p", name, value]
    environment = os.environ | {"INITLAB_STORE": str(store)}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=600
    )


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_smoke_computes_everything_from_an_empty_folder(notebook, tmp_path):
    """Only the notebook, in an empty folder; nothing recorded and nothing stored is used."""
    shutil.copy(notebook, tmp_path)
    out, store = tmp_path / "out.ipynb", tmp_path / "store"
    done = papermill(
        tmp_path / notebook.name,
        out,
        "preset",
        "smoke",
        "recorded",
        "False",
        store=store,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(store.glob("*.parquet")), "nothing was computed"
    judged = claims.collect(out)
    assert judged
    assert {c["verdict"] for c in judged} == {claims.UNTESTED}
    outputs = [
        o for c in json.loads(out.read_text(encoding="utf8"))["cells"] for o in c.get("outputs", ())
    ]
    assert not [o for o in outputs if o["output_type"] == "error"]
    assert not [o for o in outputs if o.get("name") == "stderr"], "a chapter writes to stderr"
    pages = ["".join(o.get("data", {}).get("text/html", "")) for o in outputs]
    assert sum("<figure class='initlab'" in page for page in pages) > 3


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        (("depht", "5"), "unknown parameter depht; this notebook takes"),
        (("preset", "huge"), "unknown preset 'huge'; choose one of smoke, laptop, paper"),
    ],
)
def test_papermill_refuses_what_is_unknown(notebook, parameters, says, tmp_path):
    out = tmp_path / "out.ipynb"
    done = papermill(notebook, out, *parameters, store=tmp_path / "store", cwd=tmp_path)
    assert done.returncode != 0
    assert says in done.stderr
