"""The check of recorded results can fail, and passes on what is true."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pyarrow as pa
import pytest

from initlab import sweep
from initlab.models import MLP
from initlab.spec import key
from initlab.store import RECORDED, SCHEMA, Store, parts
from initlab.train import SGD, Budget, Curves
from initlab.verify import relative_difference, verify
from tests.sweep.test_sweep import LOOK, RUNS, TRAIN


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("recorded"))
    sweep.run(RUNS, store=store, recorded=False)
    return store


def changed(recorded, tmp_path, run, statistic, factor) -> Store:
    """A copy in which one statistic of one run is off by a factor."""
    frame = recorded.frame([key(run)])
    frame.loc[frame.statistic == statistic, "value"] *= factor
    store = Store(tmp_path)
    parts.write(
        [pa.Table.from_pandas(frame, SCHEMA, preserve_index=False)], tmp_path / "part.parquet"
    )
    return store


def test_true_results_pass(recorded):
    results = list(verify(sample=len(RUNS), seconds=1e9, seed=0, store=recorded))
    assert len(results) == len(RUNS)
    assert not [r for r in results if r.differences]
    assert all(r.values > 0 for r in results)


@pytest.mark.parametrize(
    ("run", "statistic", "factor"),
    [
        (LOOK, "second_moment", 1.01),
        (LOOK, "second_moment", 0.99),
        (TRAIN, "train_loss", 1.5),
        (TRAIN, "epochs", 2),
    ],
)
def test_a_changed_value_is_found(recorded, tmp_path, run, statistic, factor):
    store = changed(recorded, tmp_path, run, statistic, factor)
    [result] = verify(sample=1, seconds=1e9, store=store)
    assert result.differences
    assert statistic in result.differences[0]


#: At this depth and rate the last digits of the start decide where it goes.
WILD = replace(
    TRAIN,
    model=MLP((16,) * 8, inputs=64),
    optimizer=SGD(lr=0.3),
    budget=Budget(epochs=12, batch_size=32),
    curves=Curves(("norm", "train_accuracy"), 0.3),
)


@pytest.fixture(scope="module")
def wild(tmp_path_factory):
    """The frame of that run."""
    store = Store(tmp_path_factory.mktemp("wild"))
    sweep.run([WILD], store=store, recorded=False)
    return store.frame([key(WILD)])


def stored(frame, tmp_path) -> Store:
    table = pa.Table.from_pandas(frame, SCHEMA, preserve_index=False)
    parts.write([table], tmp_path / "part.parquet")
    return Store(tmp_path)


def test_what_rounding_makes_is_no_difference(wild, tmp_path):
    """Runs from starts with another last digit pass for the recorded one: all but one at most."""
    results = []
    for nudge in range(10, 15):
        [(_, _, _, rows)] = sweep.execute([WILD], nudge=nudge)
        other = pd.DataFrame(rows, columns=["network", "layer", "step", "statistic", "new"])
        frame = wild.merge(other).drop(columns="value").rename(columns={"new": "value"})
        assert len(frame) == len(wild)
        (tmp_path / str(nudge)).mkdir()
        results += verify(sample=1, seconds=1e9, store=stored(frame, tmp_path / str(nudge)))
    assert sum(bool(r.differences) for r in results) <= 1
    assert sum(r.rounding for r in results) >= 5
    assert {r.values for r in results} == {len(wild)}


def test_what_rounding_cannot_make_is_one(wild, tmp_path):
    """As long as it has not grown."""
    early = (wild.step == 0) | ((wild.step > 0) & (wild.step <= 2) & (wild.statistic == "norm"))
    assert early.sum() >= 4
    frame = wild.assign(value=wild.value.where(~early, 2 * wild.value + 1))
    [result] = verify(sample=1, seconds=1e9, store=stored(frame, tmp_path))
    assert len(result.differences) == early.sum()
    assert result.rounding == 0


def test_late_values_of_a_tame_run_are_compared(tmp_path):
    run = replace(TRAIN, curves=Curves(("norm",), 0.5))
    store = Store(tmp_path / "true")
    sweep.run([run], store=store, recorded=False)
    frame = store.frame([key(run)])
    late = frame.step == frame.step.max()
    frame.loc[late, "value"] *= 2
    (tmp_path / "false").mkdir()
    [result] = verify(sample=1, seconds=1e9, store=stored(frame, tmp_path / "false"))
    assert len(result.differences) == late.sum() > 0


def test_a_missing_value_is_found(recorded, tmp_path):
    frame = recorded.frame([key(LOOK)]).iloc[1:]
    store = Store(tmp_path)
    parts.write(
        [pa.Table.from_pandas(frame, SCHEMA, preserve_index=False)], tmp_path / "part.parquet"
    )
    [result] = verify(sample=1, seconds=1e9, store=store)
    assert "missing on one side" in result.differences[0]


def test_the_sample_is_random_and_can_be_repeated(recorded):
    def sample(seed):
        return [r.key for r in verify(sample=3, seconds=1e9, seed=seed, store=recorded)]

    assert sample(1) == sample(1)
    assert len({tuple(sample(s)) for s in range(5)}) > 1


def test_no_more_is_computed_than_allowed(recorded):
    assert not list(verify(sample=5, seconds=0.0, store=recorded))
    assert len(list(verify(sample=2, seconds=1e9, store=recorded))) == 2


def test_shipped_results_are_true(tmp_path):
    """A sample of what ships with the package, of quick runs that need no download."""
    shipped = Store(RECORDED)
    first = shipped.frame().drop_duplicates("key")
    quick = first[first.seconds <= 1]
    embedded = {k for k, text in zip(quick.key, quick.run, strict=True) if '"data"' not in text}
    assert len(embedded) > 100
    local = Store(tmp_path)
    shipped.export(embedded, tmp_path / "embedded.parquet")
    results = list(verify(sample=12, seconds=12.0, store=local))
    assert len(results) == 12
    assert not [r for r in results if r.differences]


def test_runs_differ_by_seed_only():
    """A control: another seed does not pass for the recorded one."""
    [(_, _, _, one)] = sweep.execute([LOOK])
    [(_, _, _, two)] = sweep.execute([replace(LOOK, seed=99)])
    pairs = list(zip(one, two, strict=True))
    assert (
        sum(
            relative_difference(a[4], b[4]) <= 1e-3
            for a, b in pairs
            if a[3] == "second_moment" and a[1] > 0
        )
        < 3
    )


@pytest.mark.parametrize(("value", "found"), [(float("nan"), False), (0.5, True)])
def test_a_statistic_that_a_network_has_none_of(recorded, tmp_path, value, found):
    """In a group with networks that have it, such a network was recorded with no number."""
    frame = recorded.frame([key(TRAIN)])
    more = frame[frame.statistic == "train_loss"].assign(statistic="wrong_fitted", value=value)
    table = pa.Table.from_pandas(pd.concat([frame, more]), SCHEMA, preserve_index=False)
    parts.write([table], tmp_path / "part.parquet")
    [result] = verify(sample=1, seconds=1e9, store=Store(tmp_path))
    assert bool(result.differences) == found
