"""The page of measurements shows what the file holds, and nothing is shown without it."""

from __future__ import annotations

import copy
import doctest
import json
import re
import sys
from io import StringIO
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = ROOT / "book" / "_ext"
sys.path.insert(0, str(EXTENSION))

from initlab_book import speed  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402
from sphinx.errors import ExtensionError  # noqa: E402
from sphinx.util.docutils import docutils_namespace  # noqa: E402


def row(letter: str, order: str, peer: str, ratio: float, **changes) -> dict:
    return {
        "case": f"case <{letter}>",
        "letter": letter,
        "order": order,
        "peer": peer,
        "unit": "model-samples/s",
        "ours": 1234567.0,
        "theirs": 1234567.0 / ratio,
        "ratio": ratio,
        "spread": [ratio / 1.1, ratio * 1.2],
        "rounds": 7,
        "scaled": False,
    } | changes


MEASURED = {
    "about": {
        "machine": "Linux x86_64, 2 cores",
        "threads": 2,
        "load": 0.07,
        "versions": {"python": "3.11.2", "torch": "2.14.1"},
        "date": "2026-03-04T05:06:07+00:00",
    },
    "rows": [
        row("a", "shared", "a loop", 25.0, scaled=True),
        row("a", "own", "a loop", 12.5, scaled=True),
        row("a", "shared", "JAX", 0.8),
        row("e", "own", "JAX", 2.0, unit="networks/s"),
    ],
    "peak": [
        {
            "case": "case <a>",
            "letter": "a",
            "order": "own",
            "library": "MKL",
            "shape": "2×3×4",
            "gflops": 150.4,
            "share": 0.421,
            "spread": [0.4, 0.5],
        }
    ],
    "parts": [
        {
            "case": "case <a>",
            "letter": "a",
            "order": "shared",
            "networks": 32,
            "milliseconds": {"matrix products": 3.0, "update": 0.75, "the rest": 0.25},
        }
    ],
    "growth": [
        {"networks": n, "seconds_per_network": 0.1 / n, "spread": [0.09 / n, 0.12 / n]}
        for n in (1, 2, 4)
    ],
    "memory": [{"peer": "initlab", "mib": 512}],
    "cluster": [
        {
            "epochs": 80,
            "seconds_on_one_node": 20.0,
            "seconds_on_two_nodes": 11.0,
            "ratio": 1.8,
            "spread": [1.7, 1.9],
        }
    ],
    "diagnosis": [
        {"network": "net", "step": 0.01, "diagnose": 0.02, "steps": 2.0, "spread": [1.9, 2.1]}
    ],
    "plan": [
        {
            "plan": "tiny",
            "models": 15_000,
            "epochs": 30,
            "samples": 5000,
            "core_days": 1.25,
            "gpu_days": 0.002,
            "assumed_gpu_tflops": 50.0,
        }
    ],
}
PAGE = "# Fast\n" + "".join(
    f"\n```{{speed}} {part}\n```\n" for part in ("about", "ratios", "table", "growth")
)
REST = "# More\n" + "".join(
    f"\n```{{speed}} {part}\n```\n"
    for part in ("memory", "peak", "parts", "cluster", "plan", "diagnosis", "file")
)


@pytest.fixture
def build(tmp_path):
    """Build a book of two pages; gives its HTML folder and what Sphinx warned of."""
    (tmp_path / "book").mkdir()
    (tmp_path / "index.md").write_text(PAGE + "\n```{toctree}\nbook/more\n```\n")
    (tmp_path / "book" / "more.md").write_text(REST)

    def make(measured: dict | None) -> tuple[Path, str]:
        if measured is not None:
            (tmp_path / "latest.json").write_text(json.dumps(measured))
        out, warnings = tmp_path / "html", StringIO()
        settings = {
            "extensions": ["myst_nb", "initlab_book.speed"],
            "initlab_benchmarks": "latest.json",
        }
        with docutils_namespace():
            app = Sphinx(
                tmp_path, None, out, tmp_path / "doctrees", "html", settings, None, warnings
            )
            app.build()
        return out, warnings.getvalue()

    return make


def read(page) -> str:
    """A built page, its cells without the names of their columns."""
    return re.sub(r" data-label='[^']*'", "", page.read_text())


def test_a_cell_says_which_column_it_is_of():
    made = speed.table(["Case", "a < b"], [["one", "2"]])
    assert "<td data-label='Case'>one</td><td data-label='a &lt; b'>2</td>" in made


def test_a_built_page(build):
    out, warnings = build(MEASURED)
    assert warnings == ""
    front = read(out / "index.html")
    assert "2026-03-04: Linux x86_64, 2 cores, 2 threads; python 3.11.2, torch 2.14.1" in front
    assert "<td>(a) case &lt;a&gt;</td><td>shared</td><td>a loop*</td>" in front
    assert "<td>1,230,000 model-samples/s</td><td>49,400 model-samples/s</td>" in front
    assert "<td>25× (22.7 to 30)</td>" in front and "<td>0.8× (0.727 to 0.96)</td>" in front
    assert len(re.findall(r"<figure[^>]* id='speed-(?:ratios|growth)'", front)) == 2
    assert front.count("<svg") == 3, "a panel for each case, and the growth"
    more = read(out / "book" / "more.html")
    assert "<td>initlab</td><td>512 MiB</td>" in more
    assert "<td>150 GFLOP/s</td><td>42% (40% to 50%)</td>" in more
    assert "<td>32</td><td>3.00 (75%)</td><td>0.75 (19%)</td><td>0.25 (6%)</td>" in more
    assert "<td>80</td><td>20</td><td>11</td><td>1.8× (1.7 to 1.9)</td>" in more
    assert "<td>30 × 5,000</td><td>1.25 days</td><td>0.002 days at 50 TFLOP/s</td>" in more
    assert f"href='../{speed.FILE}'" in more
    assert json.loads((out / speed.FILE).read_text()) == MEASURED


def test_a_page_of_what_a_gpu_measured(build, tmp_path):
    (tmp_path / "index.md").write_text(
        "# Fast\n"
        + "".join(
            f"\n```{{speed}} {part}\n:device: cuda\n```\n"
            for part in ("about", "ratios", "table", "growth")
        )
        + "\n```{toctree}\nbook/more\n```\n"
    )
    there = {name: MEASURED[name] for name in ("rows", "growth")}
    there["rows"] = [row("a", "shared", "a loop", 400.0)]
    there["about"] = MEASURED["about"] | {"card": "Card 1"}
    (tmp_path / "cuda.json").write_text(json.dumps(there))
    out, warnings = build(MEASURED)
    assert warnings == ""
    front = read(out / "index.html")
    assert "2026-03-04: Card 1, beside it Linux x86_64, 2 cores" in front
    assert "<td>400× (364 to 480)</td>" in front and "25× (" not in front
    assert len(re.findall(r"<figure[^>]* id='speed-(?:ratios|growth)-gpu'", front)) == 2


def test_a_page_is_made_anew_when_it_was_measured_again(build):
    build(MEASURED)
    again = copy.deepcopy(MEASURED)
    again["rows"][0]["ratio"] = 28.0
    out, _ = build(again)
    assert "28× (" in (out / "index.html").read_text()


def test_without_the_file_the_build_fails(build):
    with pytest.raises(ExtensionError, match=r"latest\.json cannot be read .*`make bench` writes"):
        build(None)


@pytest.mark.parametrize("name", ["rows", "parts", "growth", "memory", "plan", "diagnosis"])
def test_a_partial_run_is_not_published(build, name):
    with pytest.raises(ExtensionError, match=rf"has no {name}; `make bench` without options"):
        build({**MEASURED, name: []})


def test_bars_start_at_one_and_end_at_the_ratio():
    frame = pd.DataFrame(MEASURED["rows"][:3])
    frame[["low", "high"]] = frame.pop("spread").to_list()
    ax = speed.ratio_bars(frame, plt.figure().add_subplot())
    ends = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches)
    assert [e for pair in ends for e in pair] == pytest.approx([1, 0.8, 1, 12.5, 1, 25])
    assert ax.get_xscale() == "log"
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a loop", "JAX"]
    low, high = ax.get_xlim()
    assert low < 0.8 / 1.1 and high > 25 * 1.2
    plt.close(ax.figure)
    near = speed.ratio_bars(frame.assign(ratio=2.0, low=1.5, high=2.5), plt.figure().add_subplot())
    assert list(near.get_xticks()) == [0.5, 1, 2]
    plt.close(near.figure)


def test_examples_in_docstrings():
    results = doctest.testmod(speed)
    assert results.attempted > 0 and results.failed == 0


def test_every_part_can_show_what_is_published():
    measured = speed.read(ROOT / "benchmarks" / "latest.json")
    for name, part in speed.PARTS.items():
        assert re.search(r"\d", part(measured)), name
    on_gpu = speed.read(ROOT / "benchmarks" / "cuda.json", "cuda")
    assert {row["letter"] for row in on_gpu["rows"]} == set("abcde")
    for name in speed.WHOLE["cpu"]:
        if name in on_gpu and name != "rows":
            assert re.search(r"\d", speed.PARTS[name](on_gpu)), name
