"""The registry: one schema with clear errors, criteria that can decide, and no result before its
criterion."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from math import exp, isfinite
from pathlib import Path

import pytest

from initlab import claims
from initlab.claims import registry
from initlab.claims.power import ENOUGH, TOO_OFTEN, chances
from initlab.claims.registry import Power, RegistryError, parse
from initlab.store import RECORDED, Store

ROOT = Path(__file__).parents[2]
GOOD = """
study = "x"
title = "A study"

[[claim]]
id = "X1"
statement = "It grows."
source = "he_2015, Figure 1"
said = "no number given"
asked = "afterwards"

[claim.design]
drawn = "weights"
replicates = 10
tuning = "nothing is tuned"
control = "the same without"

[[claim.criterion]]
id = "X1.a"
what = "growth per layer"
low = 0
bound_by = "ours"
reason = "growth is more than nothing"
part = "necessary"

[claim.criterion.power]
kind = "mean"
n = 10
truth = 1.0
wrong = -1.0
sd = 1.0
"""


def test_a_registry_is_read_into_typed_values():
    study = parse(GOOD, "x")
    [claim] = study.claims
    assert (study.title, claim.id, claim.study) == ("A study", "X1", "x")
    assert claim.criteria[0].low == 0.0 and claim.criteria[0].high == float("inf")
    assert claim.criteria[0].power == Power(kind="mean", n=10, truth=1.0, wrong=-1.0, sd=1.0)
    assert list(study.criteria()) == ["X1.a"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("study =", "study", "x.toml is not TOML"),
        ('study = "x"', 'study = "y"', "study must be 'x', not 'y'"),
        ('said = "no number given"', "", "claim X1: said must be given"),
        ('said = "no number given"', 'said = ""', "said must not be empty"),
        ('statement = "It grows."', "statement = 3", "statement must be a text, not 3"),
        ('asked = "afterwards"', 'asked = "later"', "asked must be one of before, afterwards"),
        ("replicates = 10", "replicates = 1.5", "design: replicates must be a whole number"),
        ("low = 0", "lowest = 0", "criterion X1.a: unknown field lowest; known: id, what"),
        ("low = 0", "low = 2\nhigh = 1", "low ≤ high"),
        ("low = 0", "low = 0\nleast = 0\nmost = 1", "no value from 0 to 1 lies outside its bound"),
        ("low = 0", "low = 2\nmost = 1", "no value from -inf to 1 lies within its bound"),
        ("low = 0", "", "lies outside its bound"),
        ('reason = "growth is more than nothing"', "", "a bound of ours needs its reason"),
        ('part = "necessary"', 'part = "supporting"', "claim X1 has no necessary criterion"),
        ('bound_by = "ours"', 'bound_by = "mine"', "bound_by must be one of source, ours"),
        ('kind = "mean"', 'kind = "median"', "power.kind must be one of mean, log, share"),
        (
            'asked = "afterwards"',
            'asked = "before"',
            None,
        ),
    ],
)
def test_what_the_registry_cannot_hold_is_refused_by_name(old, new, says):
    assert GOOD.count(old) >= 1
    text = GOOD.replace(old, new, 1)
    if says is None:
        text = text.replace("sd = 1.0", "sd = 1.0\n").replace(
            'part = "necessary"', 'part = "necessary"\nunderpowered = true'
        )
        says = "asked before its results and must not be underpowered"
    with pytest.raises(RegistryError) as error:
        parse(text, "x")
    assert says in str(error.value)


def test_names_are_used_once():
    again = GOOD + GOOD[GOOD.index("[[claim]]") :]
    with pytest.raises(RegistryError, match="more than one claim is called X1"):
        parse(again, "x")


def test_an_unknown_study_is_refused():
    with pytest.raises(RegistryError, match="unknown study 'nosuch'; known: "):
        claims.study("nosuch")


STUDIES = registry.names()
#: Sources that have no entry in the bibliography.
UNPUBLISHED = ("this book", "the essay behind this chapter")
CRITERIA = [
    pytest.param(name, claim, k, id=k.id)
    for name in STUDIES
    for claim in claims.study(name).claims
    for k in claim.criteria
]


@pytest.mark.parametrize("name", STUDIES)
def test_every_source_is_in_the_bibliography(name):
    known = (ROOT / "book" / "references.bib").read_text(encoding="utf8")
    for claim in claims.study(name).claims:
        keys = claim.source.split(",")[0].split(";")
        for source in keys:
            assert source.strip() in UNPUBLISHED or f"{{{source.strip()}," in known, claim.id
        if claim.source.startswith("this book"):
            assert claim.said == "no number given", claim.id
            assert all(k.bound_by == "ours" for k in claim.criteria), claim.id


def members(name: str, criterion) -> int:
    if not criterion.family:
        return 1
    return sum(k.family == criterion.family for k in claims.study(name).criteria().values())


def beyond(k) -> float:
    """A value of the estimand that lies well outside the bound, within what it can be."""
    reach = max(k.power.sd, 0.5 * abs(k.power.truth - k.power.wrong), 1e-9)
    if k.power.kind == "log":
        below, above = k.low * exp(-3 * reach), k.high * exp(3 * reach)
    else:
        below, above = max(k.least, k.low - 3 * reach), min(k.most, k.high + 3 * reach)
    found = [value for value, end in ((below, k.low), (above, k.high)) if isfinite(end)]
    return next(value for value in found if not k.low <= value <= k.high)


@pytest.mark.parametrize(("name", "claim", "criterion"), CRITERIA)
def test_every_criterion_can_be_met_and_refuted(name, claim, criterion):
    """By its power entry; a number without sampling error has none."""
    if criterion.power is None:
        results = {k["id"]: k for p in claims.published() for k in p["criteria"]}
        assert results[criterion.id]["exact"], f"{criterion.id} needs a power entry"
        return
    power = criterion.power
    assert criterion.low <= power.truth <= criterion.high, "the claim's truth is within the bound"
    assert not criterion.low < power.wrong < criterion.high, "what is wrong lies outside, or on it"
    found = chances(criterion, members(name, criterion))
    enough = found.met_if_true >= ENOUGH and found.met_if_wrong <= TOO_OFTEN
    assert criterion.underpowered == (not enough), f"{criterion.id}: {found}"
    many = chances(replace(criterion, power=replace(power, wrong=beyond(criterion), n=1000)))
    assert many.met_if_true > 0.2, f"{criterion.id}: no data could meet it"
    assert many.refuted_if_wrong > 0.5, f"{criterion.id}: no data could refute it"


def test_power_of_a_criterion_is_that_of_the_t_test():
    from scipy import stats

    k = parse(GOOD, "x").criteria()["X1.a"]
    t = stats.t.ppf(0.975, 9)
    exact = stats.nct.sf(t, 9, 1.0 * 10**0.5)
    assert chances(k).met_if_true == pytest.approx(exact, abs=0.03)
    assert chances(k).met_if_wrong == 0.0


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"git {arguments[0]}: {done.stderr.strip() or 'failed'}")
    return done.stdout.strip()


def last_change(study: str, claim_id: str) -> str:
    """The commit that last changed a criterion's bounds in the registry."""
    path = f"initlab/studies/{study}.toml"
    now = {k.id: k for c in claims.study(study).claims if c.id == claim_id for k in c.criteria}
    last = ""
    for commit in git("log", "--format=%H", "--", path).splitlines():
        text = git("show", f"{commit}:{path}")
        try:
            then = {
                k.id: k for c in parse(text, study).claims if c.id == claim_id for k in c.criteria
            }
        except RegistryError:
            break
        if {i: (k.low, k.high, k.what, k.part) for i, k in then.items()} != {
            i: (k.low, k.high, k.what, k.part) for i, k in now.items()
        }:
            break
        last = commit
    return last


def registered(study: str, claim_id: str, commits: set[str]) -> bool:
    """Whether the criteria's last change is an ancestor of all commits of the rows they judge."""
    change = last_change(study, claim_id)
    for commit in commits:
        done = subprocess.run(
            ["git", "merge-base", "--is-ancestor", change, commit], cwd=ROOT, capture_output=True
        )
        if done.returncode:
            return False
    return bool(change)


@pytest.mark.parametrize("name", STUDIES)
def test_what_is_asked_before_was_registered_before_its_rows(name):
    before = [c for c in claims.study(name).claims if c.asked == "before"]
    if not before:
        pytest.skip("all claims of this study are asked afterwards")
    if git("rev-parse", "--is-shallow-repository") == "true":
        pytest.skip("the history is shallow: ancestors cannot be asked for")
    module = pytest.importorskip(f"initlab.studies.{name.replace('-', '_')}")
    rows = Store(RECORDED).frame()
    grid = module.grid(module.PRESETS["laptop"])
    from initlab.spec import key

    for claim in before:
        keys = {key(run) for sweep in module.BEHIND[claim.id] for run in grid[sweep]}
        commits = set(rows[rows.key.isin(keys)].commit)
        assert commits, f"{claim.id} has no recorded rows"
        assert registered(name, claim.id, commits), f"{claim.id} was registered after its rows"


def test_the_order_of_commits_is_told():
    """On this repository's own history: a first commit is an ancestor, a later one is not."""
    if git("rev-parse", "--is-shallow-repository") == "true":
        pytest.skip("the history is shallow: ancestors cannot be asked for")
    if not STUDIES:
        pytest.skip("no registry yet")
    study = STUDIES[0]
    claim = claims.study(study).claims[0].id
    change = last_change(study, claim)
    if not change:
        pytest.skip("the registry is not committed yet")
    assert registered(study, claim, {change})
    assert not registered(study, claim, {git("rev-list", "--max-parents=0", "HEAD").split()[0]})
