"""Pages of the book that compute what they show: they do, and what they say of it is true."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from tests.smoke import PAGE, PAGES, ROOT

pytestmark = pytest.mark.notebook
OWN = ROOT / "book" / "your-own-network.ipynb"


def code_cells(path: Path) -> dict[str, dict]:
    cells = json.loads(path.read_text(encoding="utf8"))["cells"]
    return {c["id"]: c for c in cells if c["cell_type"] == "code"}


def text(cell: dict) -> str:
    """What a cell prints."""
    return "".join("".join(o.get("text", "")) for o in cell["outputs"])


def markup(cell: dict) -> str:
    """What a cell shows, as HTML."""
    return "".join("".join(o.get("data", {}).get("text/html", "")) for o in cell["outputs"])


def table(cell: dict) -> dict[str, list[float]]:
    """The rows of numbers of the table that a cell shows, by what stands before them."""
    found = {}
    for row in re.findall(r"<tr.*?</tr>", markup(cell), re.S):
        names = re.findall(r"<th[^>]*>(.*?)</th>", row, re.S)
        if numbers := re.findall(r"<td[^>]*>\s*([\d.-]+)\s*</td>", row):
            found[names[-1].strip()] = [float(n) for n in numbers]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_smoke_computes_from_an_empty_folder(page, at_smoke):
    outputs = [o for c in code_cells(at_smoke(page).copy).values() for o in c["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]


def test_the_sweep_is_killed_and_goes_on_where_it_was(at_smoke):
    cells = code_cells(at_smoke(OWN).copy)
    assert text(cells["kill"]) == "killed, exit status -9\n"
    runs = 3 * int(str(PAGE["seeds"]))
    assert text(cells["runs"]).startswith(f"{runs} runs: ")
    told = text(cells["resume"])
    before, all_runs = map(int, re.search(r"(\d+) of (\d+) results were stored", told).groups())
    after = int(re.search(r"(\d+) were computed after that", told)[1])
    assert all_runs == runs and before + after == runs
    assert runs // 6 <= before < runs
    assert "the same once more, computing nothing: True" in told


def test_the_figure_shows_what_the_page_says(at_smoke):
    """Every network is there, the clouds overlap, and the better start is the better one."""
    cells = code_cells(at_smoke(OWN).copy)
    found = markup(cells["figure"])
    assert "<figure class='initlab' id='figure-own'" in found and "<svg" in found
    data = base64.b64decode(re.search(r"href='data:text/csv;base64,([^']+)'", found)[1])
    values = pd.read_csv(io.BytesIO(data)).groupby("init").value
    assert dict(values.count()) == dict.fromkeys(
        ("As built", "He normal", "Orthogonal"), PAGE["seeds"]
    )
    assert values.max()["As built"] > values.min()["Orthogonal"]
    assert (values.mean() > 0.7).all()  # they have learned
    rows = table(cells["difference"])
    assert set(rows) == {"He normal − As built", "Orthogonal − As built"}
    difference, low, high, above = rows["Orthogonal − As built"]
    assert 0 < low < difference < high < 1 and 0.5 < above < 1


def test_the_variations_give_what_they_are_to_give(at_smoke):
    cells = code_cells(at_smoke(OWN).copy)
    assert [accuracy > 0.8 for *_, accuracy in table(cells["halves"]).values()] == [True] * 4
    losses = table(cells["regression"])
    assert set(losses) == {"Huber", "MeanSquaredError", "absolute"}
    absolute, loss = losses["absolute"]  # the metric is the loss
    assert absolute == pytest.approx(loss, abs=1e-5)
    for column in ("best_epochs", "best_val_loss", "best_test_accuracy"):
        assert column in markup(cells["stopping"])
    keys = re.findall(r"<td>([0-9a-f]{16})</td>", markup(cells["key"]))
    assert len(set(keys)) == len(keys) == 3


def test_it_is_about_forty_lines():
    """From the class to the figure, without the imports and the kill."""
    cells = code_cells(OWN)
    parts = ("network", "data", "runs", "frame", "figure")
    lines = [line for p in parts for line in "".join(cells[p]["source"]).splitlines() if line]
    assert len(lines) <= 46
