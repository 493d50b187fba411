"""Specs are values: equal specs have equal keys, and come back from their JSON."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initlab.init import HeNormal, Normal, VarianceScaling
from initlab.measure.signal import SecondMoments
from initlab.models import MLP, ResidualMLP
from initlab.spec import canonical, completed, flat, from_plain, key, seed_of, spec, to_plain
from initlab.sweep import Run

RUNS = st.builds(
    Run,
    model=st.one_of(
        st.builds(MLP, widths=st.lists(st.integers(1, 99), min_size=1).map(tuple)),
        st.builds(
            ResidualMLP, modules=st.integers(1, 9), width=st.integers(1, 9), scales=st.floats(0, 2)
        ),
    ),
    init=st.builds(VarianceScaling, scale=st.floats(0, 10)),
    bias=st.builds(Normal, std=st.floats(0, 1)),
    seed=st.integers(0, 2**40),
    measure=st.builds(SecondMoments, reduce=st.booleans()),
)


@given(RUNS)
def test_a_run_comes_back_from_its_json(run):
    again = from_plain(json.loads(canonical(run)))
    assert again == run
    assert key(again) == key(run)


@given(RUNS)
def test_a_completed_run_has_every_field_and_is_the_same_run(run):
    plain = completed(json.loads(canonical(run)))
    assert plain.keys() == {"type", *(f.name for f in dataclasses.fields(Run))}
    assert plain["model"].keys() == {"type", *(f.name for f in dataclasses.fields(run.model))}
    assert plain["seed"] == run.seed and plain["start"] is None
    assert from_plain(plain) == run


def test_of_a_type_that_is_not_known_nothing_is_added():
    plain = {"type": "Nonesuch", "init": {"type": "HeNormal"}, "rules": [{"type": "Normal"}]}
    full = completed(plain)
    assert full.keys() == plain.keys()
    assert full["init"]["scale"] == HeNormal().scale and full["rules"][0]["std"] == Normal().std


@given(RUNS, st.integers(0, 2**40))
def test_a_key_tells_runs_apart(run, seed):
    other = dataclasses.replace(run, seed=seed)
    assert (key(other) == key(run)) == (seed == run.seed)


def test_fields_at_their_default_do_not_change_the_key():
    assert canonical(HeNormal()) == '{"type":"HeNormal"}'
    assert key(HeNormal()) == key(HeNormal(scale=2.0))


def test_keys_do_not_drift():
    # Stored results are found by these: a change here orphans every one of them.
    run = Run(MLP.constant(2, 3), HeNormal(), measure=SecondMoments(), networks=10)
    text = (
        '{"init":{"type":"HeNormal"},"measure":{"type":"SecondMoments"},'
        '"model":{"type":"MLP","widths":[3,3]},"networks":10,"type":"Run"}'
    )
    assert canonical(run) == text
    assert key(run) == "32802fb7c4958b4c"


def test_a_whole_number_where_a_float_is_declared_is_the_same_value():
    assert key(HeNormal(scale=4)) == key(HeNormal(scale=4.0))


@given(RUNS)
def test_the_text_put_together_from_its_parts_is_that_of_the_whole(run):
    for value in (run, run.model, (run.init, run.bias), [1, 2.0, True, None, "ü"]):
        whole = json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"))
        assert canonical(value) == whole


def test_a_text_is_made_once_and_for_one_object(monkeypatch):
    he = HeNormal(scale=4.0)
    runs = [Run(MLP((3,)), he, measure=SecondMoments(), seed=i) for i in range(3)]
    first = [key(r) for r in runs]
    monkeypatch.setattr(json, "dumps", lambda *a, **k: pytest.fail("it was made again"))
    assert [key(r) for r in runs] == first
    assert len(set(first)) == 3
    assert canonical(he) == '{"scale":4.0,"type":"HeNormal"}'


def test_values_that_python_takes_for_equal_keep_their_own_texts():
    @spec
    class Holder:
        what: object = None

    texts = [canonical(Holder(v)) for v in (1, 1.0, True)]
    assert [t.split(",")[-1] for t in texts] == ['"what":1}', '"what":1.0}', '"what":true}']


@given(RUNS, st.integers(0, 2**40))
def test_a_changed_run_has_a_key_of_its_own(run, seed):
    before = key(run)
    changed = dataclasses.replace(run, seed=seed)
    fresh = from_plain(json.loads(json.dumps(to_plain(changed))))
    assert key(changed) == key(fresh)
    assert key(run) == before


def test_what_is_kept_of_a_key_is_no_part_of_the_value():
    one, other = (Run(MLP((3,)), HeNormal(), measure=SecondMoments()) for _ in range(2))
    text, size = repr(one), len(pickle.dumps(one))
    name = key(one)
    assert one == other and hash(one) == hash(other) and repr(one) == text
    assert len(pickle.dumps(one)) == size
    for again in (pickle.loads(pickle.dumps(one)), copy.copy(one), copy.deepcopy(one)):
        assert again == one and key(again) == name


def test_what_may_change_is_not_kept():
    @dataclasses.dataclass
    class Loose:
        size: int

    loose = Loose(1)
    assert canonical(loose) == '{"size":1,"type":"Loose"}'
    loose.size = 2
    assert canonical(loose) == '{"size":2,"type":"Loose"}'


def test_only_plain_values():
    @spec
    class Odd:
        what: object = None

    with pytest.raises(TypeError, match="plain values and other specs, not set"):
        to_plain(Odd({1}))


def test_two_specs_of_one_name_are_refused():
    with pytest.raises(TypeError, match="two specs are called 'HeNormal'"):

        @spec
        class HeNormal:
            pass


def test_unknown_spec_is_refused():
    with pytest.raises(ValueError, match="unknown spec 'HeAbnormal'; this version knows"):
        from_plain({"type": "HeAbnormal"})


def test_flat_columns():
    run = Run(MLP((3, 2)), HeNormal(scale=4.0), measure=SecondMoments())
    columns = flat(run)
    assert columns["model"] == "MLP"
    assert columns["model.widths"] == "3-2"
    assert columns["model.depth"] == 2
    assert columns["init"] == "2× He normal"
    assert columns["init.scale"] == 4.0


@given(
    st.lists(st.integers() | st.text(), min_size=1), st.lists(st.integers() | st.text(), min_size=1)
)
def test_seeds_of_different_purposes_differ(a, b):
    assert 0 <= seed_of(*a) < 2**63
    assert (seed_of(*a) == seed_of(*b)) == (a == b)
