"""The book's Sphinx extension: which executed copies it takes, and what it makes of them."""

from __future__ import annotations

import copy
import doctest
import json
import sys
from io import StringIO
from pathlib import Path

import pytest

EXTENSION = Path(__file__).resolve().parents[2] / "book" / "_ext"
sys.path.insert(0, str(EXTENSION))

from initlab_book import chapter, docstrings, executed, scorecard  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402
from sphinx.util.docutils import docutils_namespace  # noqa: E402

from initlab import claims  # noqa: E402
from initlab.claims import registry  # noqa: E402
from initlab.claims.registry import parse  # noqa: E402

DOCNAME = "notebooks/01-a-study"


REGISTRY = """
study = "a-study"
title = "A study"

[[claim]]
id = "H1"
statement = "The norm is kept & held."
source = "he_2015, Figure 1"
said = "0.5"
asked = "afterwards"
settles = "more seeds"
figure = "figure-1"
design = {drawn = "weights", replicates = 9, tuning = "nothing is tuned", control = "none"}

[[claim.criterion]]
id = "H1.slope"
what = "slope"
low = 0.4
high = 0.6
bound_by = "ours"
reason = "a tenth"
part = "necessary"
"""
STUDY = parse(REGISTRY, "a-study")


@pytest.fixture(autouse=True)
def registry_of_one_study(monkeypatch):
    monkeypatch.setattr(registry, "study", lambda name: STUDY)
    monkeypatch.setattr(claims, "study", lambda name: STUDY)
    monkeypatch.setattr(scorecard, "registry_text", lambda name: REGISTRY)


def claim(**changes) -> dict:
    estimate = claims.Estimate(0.51, 9, lambda error: (0.4, 0.6))
    [entry] = claims.judged(
        STUDY, {"H1.slope": estimate}, preset="laptop", costs={"H1": (100, 1.0)}
    )
    return entry.plain() | changes


def measured(**changes) -> list[dict]:
    """Criteria of the claim, with other numbers."""
    return [claim()["criteria"][0] | changes]


def code(source: str, tags: tuple[str, ...] = (), outputs: tuple[dict, ...] = ()) -> dict:
    metadata = {"tags": list(tags)} if tags else {}
    count = 1 if outputs else None
    return {
        "cell_type": "code",
        "metadata": metadata,
        "source": source,
        "execution_count": count,
        "outputs": list(outputs),
        "id": f"c{abs(hash(source)) % 10**6}",
    }


def markdown(source: str, tags: tuple[str, ...] = ()) -> dict:
    return {"cell_type": "markdown", "metadata": {"tags": list(tags)}, "source": source, "id": "m"}


def notebook(*cells: dict) -> dict:
    return {
        "cells": [{**c, "id": f"cell-{i}"} for i, c in enumerate(cells)],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def shown(data: dict) -> dict:
    return {"output_type": "display_data", "metadata": {}, "data": data}


FIGURE = "<figure class='initlab' id='figure-1'><svg></svg></figure>"
LIVE = '<div class="initlab-live" data-live="{}"><svg></svg></div>'


@pytest.fixture
def source() -> dict:
    return notebook(
        markdown("# A study\n"),
        markdown("**Question.** Why?", ("chapter-card",)),
        code("preset = 'laptop'", ("parameters",)),
        code("scorecard"),
        code("figure"),
        code("live"),
    )


@pytest.fixture
def run(source: dict) -> dict:
    """What papermill leaves of `source`: outputs, and a cell of its own."""
    ran = copy.deepcopy(source)
    ran["cells"][3]["outputs"] = [shown({claims.MIME: [claim()], "text/plain": "THE TABLE"})]
    ran["cells"][4]["outputs"] = [shown({"text/html": FIGURE, "text/plain": "a figure"})]
    ran["cells"][5]["outputs"] = [shown({"text/html": LIVE, "text/plain": "a live section"})]
    ran["cells"].insert(3, code("# Parameters\npreset = 'laptop'", ("injected-parameters",)))
    ran["metadata"]["papermill"] = {"parameters": {"preset": "laptop"}, "exception": False}
    ran["metadata"]["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    return ran


def test_outputs_come_from_the_copy_and_nothing_else(source, run):
    run["cells"][0]["source"] = "# Another title\n"
    merged = executed.merge(source, run)
    assert [c["source"] for c in merged["cells"]] == [c["source"] for c in source["cells"]]
    assert merged["cells"][4]["outputs"] == run["cells"][5]["outputs"]
    assert not source["cells"][4]["outputs"], "the source was changed"


def test_claims_are_taken_out_of_what_is_rendered(source, run):
    merged = executed.merge(source, run)
    assert merged["cells"][3]["outputs"][0]["data"] == {"text/plain": "THE TABLE"}
    assert executed.shown_claims(run) == [claim()]


def test_a_progress_bar_that_has_ended_is_not_shown(source, run):
    bar = shown({executed.WIDGET: {}, "text/plain": "  0%|          | 0/10 [00:00<?, ?run/s]"})
    slider = shown({executed.WIDGET: {}, "text/plain": "VBox(children=())"})
    run["cells"][5]["outputs"] = [bar, slider]
    assert executed.merge(source, run)["cells"][4]["outputs"] == [slider]


def test_a_page_keeps_the_state_of_widgets_that_it_shows_and_of_no_others(source, run):
    run["metadata"]["widgets"] = {"state": {}}
    live = shown({executed.WIDGET: {}, "text/html": "<div></div>", "text/plain": "Live()"})
    run["cells"][5]["outputs"] = [live]
    merged = executed.merge(source, run)
    [output] = merged["cells"][4]["outputs"]
    assert output["data"] == {"text/html": "<div></div>", "text/plain": "Live()"}
    assert "widgets" not in merged["metadata"], "it would bring scripts that nothing needs"
    run["cells"][5]["outputs"].append(shown({executed.WIDGET: {}, "text/plain": "VBox()"}))
    assert executed.merge(source, run)["metadata"]["widgets"] == {"state": {}}


@pytest.mark.parametrize("preset, noted", [("laptop", False), ("smoke", True)])
def test_a_page_says_when_it_was_not_made_at_the_laptop_preset(source, run, preset, noted):
    run["metadata"]["papermill"]["parameters"]["preset"] = preset
    text = json.dumps(executed.merge(source, run))
    assert ("made at the `smoke` preset" in text) == noted


def test_a_good_copy_has_no_problems(source, run):
    assert list(executed.problems(source, run)) == []


def test_a_copy_of_other_code_is_stale(source, run):
    source["cells"][4]["source"] = "another figure"
    assert [kind for kind, _ in executed.problems(source, run)] == ["stale"]


def test_a_copy_with_a_cell_too_few_is_stale(source, run):
    del run["cells"][5]
    assert [kind for kind, _ in executed.problems(source, run)] == ["stale"]


def test_a_copy_that_ended_in_an_exception_failed(source, run):
    run["metadata"]["papermill"]["exception"] = True
    assert [kind for kind, _ in executed.problems(source, run)] == ["failed"]


def test_a_copy_that_shows_an_error_failed(source, run):
    run["cells"][4]["outputs"] = [{"output_type": "error", "ename": "E", "traceback": []}]
    assert [kind for kind, _ in executed.problems(source, run)] == ["failed"]


def test_a_copy_that_was_killed_failed(source, run):
    run["cells"][5]["metadata"]["papermill"] = {"status": "pending"}
    assert [kind for kind, _ in executed.problems(source, run)] == ["failed"]


@pytest.mark.parametrize(
    "theirs, expected",
    [
        ([claim()], 0),
        ([claim(seconds=9.0)], 0),
        ([claim(criteria=measured(interval=[0.400001, 0.6]))], 0),
        ([claim(criteria=measured(interval=[0.41, 0.6]))], 1),
        ([claim(criteria=measured(interval=None))], 1),
        ([claim(criteria=measured(value=0.52))], 1),
        ([claim(verdict="undecided")], 1),
        ([claim(criteria=[])], 1),
        ([], 1),
        ([claim(), claim(id="H2")], 1),
        ([claim(), claim(study="another")], 0),
    ],
)
def test_shown_claims_are_held_against_the_published(theirs, expected):
    found = list(executed.claim_differences([claim()], theirs, {"a-study"}))
    assert len(found) == expected, found


def test_claims_of_another_preset_are_not_compared():
    smoke = claim(preset="smoke", verdict="not tested")
    assert not list(executed.claim_differences([smoke], [], {"a-study"}))


def test_only_what_was_registered_before_is_counted():
    before = [claim(asked="before"), claim(asked="before", verdict="undecided")]
    text = scorecard.summary([*before, claim(), claim(verdict="undecided")])
    assert "2 claims registered before the results" in text
    assert "<b>1</b> <span class='verdict undecided'>undecided</span>" in text
    assert "<b>0</b> <span class='verdict not-reproduced'>" in text
    assert "2 asked afterwards, not counted" in text
    assert "not tested" not in text


@pytest.mark.parametrize("module", [chapter, docstrings, executed, scorecard])
def test_examples_in_docstrings(module):
    assert doctest.testmod(module).failed == 0


INDEX = f"""# Front

```{{claims-marks}}
```

```{{chapter-figure}} {DOCNAME}
:name: figure-1
```

```{{chapter-live}} {DOCNAME}
```

```{{claims-table}}
:study: a-study
```

```{{claims-file}}
```

```{{verdicts}}
:study: a-study
```

```{{toctree}}
{DOCNAME}
```
"""


@pytest.fixture
def build(tmp_path, source, run):
    """Build a book of two pages; gives its HTML folder and what Sphinx warned of."""
    (tmp_path / "_executed" / "notebooks").mkdir(parents=True)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "index.md").write_text(INDEX)
    claims.publish([claim()], tmp_path / "claims.json")

    def make(written: dict | None = run) -> tuple[Path, str]:
        (tmp_path / f"{DOCNAME}.ipynb").write_text(json.dumps(source))
        if written is not None:
            (tmp_path / "_executed" / f"{DOCNAME}.ipynb").write_text(json.dumps(written))
        out, warnings = tmp_path / "html", StringIO()
        settings = {
            "extensions": ["myst_nb", "initlab_book"],
            "exclude_patterns": ["_executed"],
            "nb_execution_mode": "off",
            "myst_enable_extensions": ["colon_fence"],
            "initlab_claims": "claims.json",
            "html_theme_options": {},
            "html_sourcelink_suffix": "",
        }
        with docutils_namespace():
            app = Sphinx(
                tmp_path, None, out, tmp_path / "doctrees", "html", settings, None, warnings
            )
            app.config.html_theme_options = {
                "repository_url": "https://example.org/own/er",
                "repository_branch": "trunk",
                "launch_buttons": {"colab_url": "https://colab.example"},
            }
            app.build()
        return out, warnings.getvalue()

    return make


def test_a_built_book(build, source):
    out, warnings = build()
    assert warnings == ""
    front = (out / "index.html").read_text()
    assert (
        "<a class='mark reproduced afterwards' href='notebooks/01-a-study.html#claim-H1'" in front
    )
    assert "<span class='verdict reproduced'>reproduced</span>" in front
    assert "The norm is kept &amp; held." in front
    line = 1 + REGISTRY.splitlines().index('id = "H1"')
    place = f"https://example.org/own/er/blob/trunk/initlab/studies/a-study.toml#L{line}"
    assert f"<a href='{place}'>" in front
    assert "<a href='notebooks/01-a-study.html#figure-1'>its figure</a>" in front
    assert "src='_static/table-filter.js'" in front
    assert "<option value='reproduced'>reproduced</option>" in front
    assert FIGURE in front
    assert LIVE in front
    assert "id='claim-H1'" in front
    counted = f"<p class='scorecard-summary'>{scorecard.summary([claim()])}</p>"
    assert counted in front and "1 asked afterwards" in counted
    assert json.loads((out / scorecard.FILE).read_text()) == [claim()]

    page = (out / f"{DOCNAME}.html").read_text()
    assert "THE TABLE" in page and FIGURE in page
    assert "injected" not in page and "# Parameters" not in page
    assert "https://colab.example/github/own/er/blob/trunk/notebooks/01-a-study.ipynb" in page
    assert 'class="chapter-card' in page and "<strong>Question.</strong>" in page
    assert json.loads((out / "_sources" / f"{DOCNAME}.ipynb").read_text()) == source


def test_a_missing_copy_warns(build):
    _, warnings = build(None)
    assert "no executed copy at _executed/notebooks/01-a-study.ipynb" in warnings
    assert "no figure 'figure-1'" in warnings
    assert "no live section" in warnings


def test_a_claim_that_is_not_the_published_one_warns(build, run):
    run["cells"][4]["outputs"][0]["data"][claims.MIME][0]["verdict"] = "undecided"
    _, warnings = build(run)
    assert "claim H1 of a-study: verdict is 'undecided', published 'reproduced'" in warnings


def test_a_page_is_made_anew_when_its_copy_changes(build, run):
    build()
    run["cells"][5]["outputs"][0]["data"]["text/html"] = FIGURE.replace("svg", "picture")
    out, _ = build(run)
    assert "<picture>" in (out / f"{DOCNAME}.html").read_text()
    assert "<picture>" in (out / "index.html").read_text()
