"""Outcomes follow from intervals, verdicts from necessary criteria, and Holm's correction holds."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from initlab import claims
from initlab.claims import Estimate, judged, outcome
from initlab.claims.registry import Claim, Criterion, Design, Study
from initlab.claims.verdicts import decides_at

DESIGN = Design(drawn="weights", replicates=10, tuning="nothing is tuned", control="none")


def criterion(id: str = "X1.a", **fields) -> Criterion:
    known = dict(id=id, what="growth <per layer>", bound_by="ours", part="necessary", reason="a")
    return Criterion(**(known | {"low": 0.0} | fields))


def claim(*criteria: Criterion, id: str = "X1", **fields) -> Claim:
    known = dict(id=id, study="x", statement="It <grows>", source="he_2015, Figure 1")
    known |= dict(said="no number given", asked="afterwards", design=DESIGN, criteria=criteria)
    return Claim(**(known | fields))


def fixed(low: float, high: float, value: float | None = None, n: int = 10) -> Estimate:
    return Estimate((low + high) / 2 if value is None else value, n, lambda error: (low, high))


@pytest.mark.parametrize(
    ("ends", "bound", "expected"),
    [
        ((1.0, 2.0), (0.5, 2.5), "met"),
        ((1.0, 2.0), (1.0, 2.0), "met"),
        ((1.0, 2.0), (1.5, inf), "undecided"),
        ((1.0, 2.0), (-inf, 1.5), "undecided"),
        ((1.0, 2.0), (1.2, 1.8), "undecided"),
        ((1.0, 2.0), (2.1, inf), "refuted"),
        ((1.0, 2.0), (-inf, 0.9), "refuted"),
        ((-inf, inf), (0.0, inf), "undecided"),
        ((1.0, inf), (0.0, inf), "met"),
    ],
)
def test_an_outcome_is_that_of_the_whole_interval(ends, bound, expected):
    k = criterion(low=bound[0], high=bound[1])
    assert outcome(fixed(*ends, value=1.6), k) == expected


def test_the_point_decides_only_where_it_is_exact():
    k = criterion(low=0.0)
    assert outcome(claims.exact(1.0), k) == "met"
    assert outcome(claims.exact(-1.0), k) == "refuted"
    assert outcome(claims.unknown(1.0), k) == "undecided"
    assert outcome(Estimate(nan, 3, lambda error: (1.0, 2.0)), k) == "undecided"


@given(
    low=st.floats(-5, 5),
    width=st.floats(0, 5),
    values=st.lists(st.floats(-10, 10), min_size=2, max_size=12),
)
def test_two_bounds_that_meet_leave_one_undecided_or_opposite(low, width, values):
    """What is met within a bound cannot be met outside of it."""
    estimate = claims.mean(values)
    inside = outcome(estimate, criterion(low=low, high=low + width))
    below = outcome(estimate, criterion(low=-inf, high=np.nextafter(low, -inf)))
    assert not (inside == "met" and below == "met")
    assert not (inside == "met" and below == "undecided")


def judge(study_criteria, estimates, preset="laptop"):
    one = claim(*study_criteria)
    study = Study(study="x", title="X", claims=(one,))
    [found] = judged(study, estimates, preset=preset, costs={"X1": (7, 1.23456789)})
    return found


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        (["met", "met"], "reproduced"),
        (["met", "refuted"], "not reproduced"),
        (["undecided", "refuted"], "not reproduced"),
        (["met", "undecided"], "undecided"),
    ],
)
def test_a_verdict_needs_all_necessary_criteria(outcomes, verdict):
    ends = {"met": (1.0, 2.0), "refuted": (-2.0, -1.0), "undecided": (-1.0, 1.0)}
    criteria = [criterion(f"X1.{i}") for i in range(len(outcomes))]
    estimates = {f"X1.{i}": fixed(*ends[o]) for i, o in enumerate(outcomes)}
    assert judge(criteria, estimates).verdict == verdict


def test_supporting_criteria_decide_nothing():
    criteria = [criterion("X1.a"), criterion("X1.b", part="supporting")]
    found = judge(criteria, {"X1.a": fixed(1, 2), "X1.b": fixed(-2, -1)})
    assert found.verdict == "reproduced"
    assert [k.outcome for k in found.criteria] == ["met", "refuted"]


def test_smoke_judges_nothing():
    assert judge([criterion()], {"X1.a": fixed(1, 2)}, preset="smoke").verdict == "not tested"


def test_estimates_and_criteria_belong_together():
    with pytest.raises(ValueError, match=r"no estimate for X1.a; estimate for Y, which x.toml"):
        judge([criterion()], {"Y": fixed(1, 2)})
    one = Study(study="x", title="X", claims=(claim(criterion()),))
    with pytest.raises(ValueError, match="no cost for X1"):
        judged(one, {"X1.a": fixed(1, 2)}, preset="laptop", costs={})


def test_a_p_value_is_where_the_interval_reaches_the_bound():
    estimate = claims.mean([1.0, 2.0, 3.0, 4.0])
    p = decides_at(estimate, criterion(low=0.0))
    assert estimate.interval(p)[0] == pytest.approx(0.0, abs=1e-6)
    assert decides_at(claims.unknown(1.0), criterion(low=0.0)) == 1.0
    assert decides_at(claims.exact(1.0), criterion(low=0.0)) == pytest.approx(0.0, abs=1e-9)


def shifted(by: float) -> Estimate:
    """With this distance from zero, in standard errors."""
    return claims.mean(by * 0.25 + np.array([-1.0, 1.0] * 8) * 0.25 * 16**0.5 * (15 / 16) ** 0.5)


def test_holm_corrects_a_family_step_by_step():
    # p-values near 0.001, 0.02, 0.03 and 0.5: alone, three of four would decide.
    estimates = {f"X1.{i}": shifted(t) for i, t in enumerate((4.07, 2.6, 2.4, 0.7))}
    alone = judge([criterion(name) for name in estimates], estimates)
    assert [k.outcome for k in alone.criteria] == ["met", "met", "met", "undecided"]
    family = judge([criterion(name, family="F") for name in estimates], estimates)
    assert [k.outcome for k in family.criteria] == ["met", "undecided", "undecided", "undecided"]
    assert [round(k.error, 5) for k in family.criteria] == [0.0125, *[round(0.05 / 3, 5)] * 3]
    for k in family.criteria:  # what is printed is the interval that decided
        low, _ = k.interval
        assert (k.outcome == "met") == (low >= 0)


def test_a_family_rejects_a_true_null_as_seldom_as_it_says():
    rng = np.random.default_rng(0)
    criteria = [criterion(f"X1.{i}", family="F") for i in range(6)]
    wrong = 0
    for _ in range(400):
        estimates = {k.id: claims.mean(rng.normal(size=10)) for k in criteria}
        wrong += any(k.outcome != "undecided" for k in judge(criteria, estimates).criteria)
    # The bound is at the truth, so that each decision is an error of one side or the other.
    assert wrong / 400 < 0.05 + 4 * (0.05 * 0.95 / 400) ** 0.5


def test_plain_claims_are_json_with_the_fields_that_programs_read():
    criteria = [criterion("X1.a", high=2.5), criterion("X1.b", part="supporting", low=-inf, high=3)]
    plain = judge(criteria, {"X1.a": fixed(1, 2), "X1.b": claims.exact(nan)}).plain()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    wanted = "id study statement source said asked verdict n seconds settles criteria"
    assert set(wanted.split()) <= set(plain)
    assert (plain["n"], plain["seconds"]) == (7, 1.23457)
    first, second = plain["criteria"]
    wanted = "what value interval exact low high bound_by part outcome n"
    assert set(wanted.split()) <= set(first)
    assert first["interval"] == [1.0, 2.0] and first["high"] == 2.5
    assert second["value"] is None and second["interval"] is None and second["exact"]
    assert second["low"] is None


def test_an_unknown_interval_is_null_and_one_open_end_is_too():
    plain = judge([criterion()], {"X1.a": claims.unknown(1.0, 3)}).plain()["criteria"][0]
    assert (plain["interval"], plain["exact"], plain["outcome"]) == (None, False, "undecided")
    plain = judge([criterion()], {"X1.a": fixed(0.5, inf, 1.0)}).plain()["criteria"][0]
    assert (plain["interval"], plain["outcome"]) == ([0.5, None], "met")


def test_what_a_notebook_shows_is_what_programs_read():
    card = claims.Scorecard([judge([criterion()], {"X1.a": fixed(1, 2)})])
    bundle = card._repr_mimebundle_()
    assert bundle[claims.MIME] == card.plain()
    page = bundle["text/html"]
    assert "It &lt;grows&gt;" in page and "It <grows>" not in page
    assert "id='claim-X1'" in page and "id='criterion-X1.a'" in page
    assert "asked afterwards" in page and page.count("<details>") == 1
    assert "1 reproduced" in bundle["text/plain"]
    assert list(card.frame().outcome) == ["met"]


def test_the_source_and_we_never_share_a_column():
    ours = judge([criterion()], {"X1.a": fixed(1, 2)})
    page = claims.table([ours.plain()])
    cells = page.split("<td>")
    assert "no number given" in cells[2] and "1.5" not in cells[2]
    assert "ours: a" in page
    theirs = replace(
        ours,
        criteria=(replace(ours.criteria[0], criterion=criterion(reason="", bound_by="source")),),
    )
    assert "the source&#x27;s" in claims.table([theirs.plain()]) or "the source's" in claims.table(
        [theirs.plain()]
    )
