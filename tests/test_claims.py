"""A verdict follows from checks, and nothing else is published."""

from __future__ import annotations

import json
from math import sqrt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from initlab import claims
from initlab.claims import MIME, Check, Claim, Scorecard

GOOD, BAD = Check("growth", 0.301, 0.29, 0.31, (0.295, 0.306)), Check("shift", 2.0, high=1.0)


def claim(checks=(GOOD,), **fields) -> Claim:
    known = {
        "id": "X1",
        "study": "x",
        "statement": "It <grows>",
        "paper": "0.3",
        "n": 1000,
        "preset": "laptop",
        "seconds": 1.23456789,
    }
    return Claim(**(known | {"checks": tuple(checks)} | fields))


@pytest.mark.parametrize(
    ("checks", "preset", "verdict"),
    [
        ([GOOD], "laptop", "reproduced"),
        ([GOOD, GOOD], "paper", "reproduced"),
        ([GOOD, BAD], "laptop", "partly"),
        ([BAD], "laptop", "not reproduced"),
        ([GOOD], "smoke", "not tested at this preset"),
        ([], "laptop", "not tested at this preset"),
    ],
)
def test_verdicts(checks, preset, verdict):
    assert claim(checks, preset=preset).verdict == verdict


@pytest.mark.parametrize(
    ("check", "holds", "wanted"),
    [
        (Check("", 1.0, 0.0, 2.0), True, "0 to 2"),
        (Check("", 2.0, 0.0, 2.0), True, "0 to 2"),
        (Check("", 2.1, 0.0, 2.0), False, "0 to 2"),
        (Check("", 3.0, low=2.5), True, "≥ 2.5"),
        (Check("", 3.0, high=2.5), False, "≤ 2.5"),
        (Check("", float("nan"), high=2.5), False, "≤ 2.5"),
        (Check("", float("inf"), low=2.5), True, "≥ 2.5"),
    ],
)
def test_checks(check, holds, wanted):
    assert check.holds is holds
    assert check.wanted == wanted


def test_plain_claims_are_json():
    plain = claim([GOOD, BAD], headline=1).plain()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["ours"] == "2 (shift)"
    assert plain["verdict"] == "partly"
    assert plain["seconds"] == 1.23457
    assert plain["checks"][0]["interval"] == [0.295, 0.306]
    assert plain["checks"][1]["low"] is None  # JSON has no infinity


def test_what_a_notebook_shows_is_what_programs_read():
    card = Scorecard([claim([GOOD, BAD], left_out="depths > 3"), claim(id="X2")])
    bundle = card._repr_mimebundle_()
    assert bundle[MIME] == card.plain()
    page = bundle["text/html"]
    assert "It &lt;grows&gt;" in page
    assert "It <grows>" not in page
    assert "id='claim-X2'" in page
    assert "depths &gt; 3" in page
    assert page.count("<details>") == 2
    assert "1 reproduced, 1 partly" in bundle["text/plain"]
    assert list(card.frame().holds) == [True, False, True]


def notebook(tmp_path, plain):
    output = {
        "output_type": "display_data",
        "data": {MIME: plain, "text/plain": ""},
        "metadata": {},
    }
    cells = [
        {"cell_type": "markdown", "source": ""},
        {"cell_type": "code", "source": "", "outputs": [output]},
    ]
    path = tmp_path / "run.ipynb"
    path.write_text(json.dumps({"cells": cells}), encoding="utf8")
    return path


def test_publishing_replaces_a_study(tmp_path):
    file = tmp_path / "claims.json"
    assert claims.published(file) == []
    claims.publish([claim(study="a").plain(), claim(study="a", id="X2").plain()], file)
    claims.publish([claim(study="b").plain()], file)
    fresh = claims.collect(notebook(tmp_path, [claim(study="a", id="X3").plain()]))
    claims.publish(fresh, file)
    assert [(c["study"], c["id"]) for c in claims.published(file)] == [("a", "X3"), ("b", "X1")]


@pytest.mark.parametrize("found", [[], [claim(preset="smoke").plain()]])
def test_only_laptop_claims_are_published(tmp_path, found):
    file = tmp_path / "claims.json"
    with pytest.raises(ValueError, match="only claims of the laptop preset"):
        claims.publish(found, file)
    assert not file.exists()


def test_an_interval_covers_as_often_as_it_says():
    """Of 200 intervals for a known mean about 95 % hold it (4 standard errors allowed)."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        low, high = claims.interval(rng.normal(3.0, 1.0, 60), resamples=150)
        held += low <= 3.0 <= high
    assert abs(held / 200 - 0.94) < 4 * sqrt(0.94 * 0.06 / 200)


def test_a_paired_interval_uses_the_pairs():
    rng = np.random.default_rng(1)
    common = rng.normal(0, 10, 50)
    a, b = common + 1, common + rng.normal(0, 0.1, 50)

    def difference(x, y):
        return x.mean() - y.mean()

    low, high = claims.interval(a, b, statistic=difference, paired=True)
    wide = claims.interval(a, b, statistic=difference)
    assert 0.9 < low < 1 < high < 1.1
    assert wide[1] - wide[0] > 10 * (high - low)


@given(rate=st.floats(0.02, 0.98), n=st.integers(5, 40))
@settings(max_examples=10)
def test_the_interval_of_a_share_covers_it(rate, n):
    """Over all outcomes of n trials, by how likely they are; Wilson's dips to 0.83."""
    chances = stats.binom.pmf(np.arange(n + 1), n, rate)
    ends = [claims.share([True] * k + [False] * (n - k)) for k in range(n + 1)]
    covered = sum(c for c, (low, high) in zip(chances, ends, strict=True) if low <= rate <= high)
    assert covered > 0.8
    assert ends[0][0] == pytest.approx(0.0, abs=1e-12) and ends[0][1] > 0.05
    assert ends[n][1] == pytest.approx(1.0) and ends[n][0] < 0.95


def test_intervals_are_repeatable():
    x = np.arange(20.0)
    assert claims.interval(x) == claims.interval(x)


def test_means_of_groups():
    frame = pd.DataFrame({"d": [1, 1, 2], "value": [1.0, 3.0, 5.0]})
    means = claims.means(frame, ["d"])
    assert list(means["mean"]) == [2.0, 5.0]
    assert list(means.n) == [2, 1]
    assert (means.low <= means["mean"]).all()
    assert list(means.loc[1, ["low", "high"]]) == [5.0, 5.0]


def test_the_published_claims_are_of_this_form():
    known = claims.published()
    assert known, "no claims are published"
    for c in known:
        assert c["preset"] == "laptop"
        assert c["verdict"] in claims.VERDICTS
        assert c["verdict"] == verdict_again(c)
        assert c["interval"] or "(exact)" in c["ours"], f"{c['id']} has no interval"


def verdict_again(c) -> str:
    """The verdict, from the published numbers alone."""
    held = [
        k["value"] is not None
        and (k["low"] is None or k["value"] >= k["low"])
        and (k["high"] is None or k["value"] <= k["high"])
        for k in c["checks"]
    ]
    return claims.REPRODUCED if all(held) else claims.PARTLY if any(held) else claims.NOT


def test_a_statistic_without_a_value_has_no_interval_and_does_not_warn(recwarn):
    def correlation(x):
        return float(stats.spearmanr([1, 2, 3], x).statistic)

    low, high = claims.interval([1.0, 1.0, 2.0], statistic=correlation)
    assert np.isnan(low) and np.isnan(high) and not list(recwarn)
    claim = Claim(
        "X1", "s", "s", "p", 1, "laptop", 0.0, (Check("c", 0.5, interval=(low, high)),)
    ).plain()
    assert claim["interval"] in (None, [None, None], (None, None))
    assert "–" in claims.table([claim]) and "nan" not in claims.table([claim])
