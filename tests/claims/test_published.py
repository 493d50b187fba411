"""Published results are numbers; wording and verdicts come from the registry."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from initlab import claims
from initlab.claims import registry
from initlab.claims.registry import parse
from tests.claims.test_registry import GOOD
from tests.claims.test_verdicts import fixed


@pytest.fixture
def study(monkeypatch):
    """A registry of one study, x."""
    found = parse(GOOD, "x")
    monkeypatch.setattr(registry, "study", lambda name: found)
    return found


def judged(study, estimate=None, preset="laptop"):
    estimates = {"X1.a": estimate or fixed(1, 2)}
    costs = {"X1": (100, 2.5)}
    return [c.plain() for c in claims.judged(study, estimates, preset=preset, costs=costs)]


def test_what_is_published_is_what_was_judged(study, tmp_path):
    file = tmp_path / "claims.json"
    assert claims.published(file) == []
    claims.publish(judged(study), file)
    assert claims.published(file) == judged(study)
    assert "It grows" not in file.read_text(), "wording is kept in the registry alone"


@pytest.mark.parametrize(
    "estimate", [fixed(1, 2), fixed(-1, 1), claims.exact(3.0), claims.unknown(1.0, 2)]
)
def test_every_kind_of_estimate_comes_back(study, tmp_path, estimate):
    file = tmp_path / "claims.json"
    claims.publish(judged(study, estimate), file)
    assert claims.published(file) == judged(study, estimate)


def test_a_changed_bound_changes_the_verdict_at_once(study, tmp_path, monkeypatch):
    file = tmp_path / "claims.json"
    claims.publish(judged(study), file)
    stricter = parse(GOOD.replace("low = 0", "low = 5"), "x")
    monkeypatch.setattr(registry, "study", lambda name: stricter)
    [claim] = claims.published(file)
    assert claim["verdict"] == "not reproduced"


def test_publishing_replaces_a_study(study, tmp_path):
    file = tmp_path / "claims.json"
    claims.publish(judged(study, fixed(1, 2)), file)
    claims.publish(judged(study, fixed(3, 4)), file)
    [claim] = claims.published(file)
    assert claim["criteria"][0]["interval"] == [3.0, 4.0]


@pytest.mark.parametrize("preset", [None, "smoke"])
def test_only_laptop_claims_are_published(study, tmp_path, preset):
    file = tmp_path / "claims.json"
    found = [] if preset is None else judged(study, preset=preset)
    with pytest.raises(ValueError, match="only claims of the laptop preset"):
        claims.publish(found, file)
    assert not file.exists()


def test_results_of_another_registry_are_refused(study, tmp_path, monkeypatch):
    file = tmp_path / "claims.json"
    claims.publish(judged(study), file)
    other = parse(GOOD.replace("X1", "X2"), "x")
    monkeypatch.setattr(registry, "study", lambda name: other)
    with pytest.raises(ValueError, match="not those of its registry: run its chapter"):
        claims.published(file)


def test_a_notebook_gives_its_claims(study, tmp_path):
    output = {"output_type": "display_data", "metadata": {}}
    output["data"] = {claims.MIME: judged(study), "text/plain": ""}
    cells = [
        {"cell_type": "markdown", "source": ""},
        {"cell_type": "code", "source": "", "outputs": [output]},
    ]
    path = tmp_path / "run.ipynb"
    path.write_text(json.dumps({"cells": cells}), encoding="utf8")
    assert claims.collect(path) == judged(study)


def test_every_study_is_published_and_outcomes_follow_from_intervals():
    known = claims.published()
    assert {c["study"] for c in known} == set(registry.names())
    for claim in known:
        assert claim["preset"] == "laptop"
        for k in claim["criteria"]:
            low = float("-inf") if k["low"] is None else k["low"]
            high = float("inf") if k["high"] is None else k["high"]
            if k["exact"]:
                expected = "met" if low <= k["value"] <= high else "refuted"
            elif k["interval"] is None:
                expected = "undecided"
            else:
                ends = k["interval"]
                below = float("-inf") if ends[0] is None else ends[0]
                above = float("inf") if ends[1] is None else ends[1]
                within, out = low <= below and above <= high, above < low or below > high
                expected = "met" if within else "refuted" if out else "undecided"
            assert k["outcome"] == expected, k["id"]
        outcomes = {k["outcome"] for k in claim["criteria"] if k["part"] == "necessary"}
        verdict = (
            claims.NOT
            if "refuted" in outcomes
            else claims.UNDECIDED
            if "undecided" in outcomes
            else claims.REPRODUCED
        )
        assert claim["verdict"] == verdict
        if verdict != claims.REPRODUCED:
            assert claim["settles"], f"{claim['id']} does not say what would settle it"


def test_registries_ship_with_the_package():
    shipped = {f.name for f in files("initlab.studies").iterdir() if f.name.endswith(".toml")}
    assert shipped == {f"{name}.toml" for name in registry.names()}
