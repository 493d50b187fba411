"""Sweeps: nothing computed twice, nothing lost when killed, the same frame in the end."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from initlab import sweep
from initlab.data import Data
from initlab.init import HeNormal, LecunNormal, Zeros
from initlab.measure.signal import SecondMoments
from initlab.models import MLP, ResidualMLP, ResNet9, ResNet18
from initlab.spec import key
from initlab.store import Store
from initlab.sweep import Run, engine, grid, groups, local
from initlab.train import Budget
from initlab.train.memory_estimate import group_bytes
from tests.wait import until

DIGITS = Data("digits")
TRAIN = Run(
    MLP((8, 8), inputs=64),
    HeNormal(),
    data=DIGITS,
    budget=Budget(epochs=2, batch_size=256, target_test_accuracy=0.9),
)
LOOK = Run(
    MLP.constant(5, 6, inputs=6, outputs=None), HeNormal(), measure=SecondMoments(), networks=50
)
RUNS = [*grid(LOOK, init=[HeNormal(), LecunNormal()], seed=range(3)), *grid(TRAIN, seed=range(3))]
#: Of 8, 256 and 65536 numbers in the widest layer, for each of 256 examples.
LARGE = [
    MLP((8, 8), inputs=64),
    ResNet9(width=2, input_shape=(1, 8, 8)),
    ResNet18(input_shape=(1, 32, 32)),
]
VALUES = ["key", "network", "layer", "step", "statistic", "value"]


def values(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[VALUES].sort_values(VALUES[:-1]).reset_index(drop=True)


def test_grid_is_a_product():
    runs = grid(LOOK, init=[HeNormal(), LecunNormal()], seed=range(3))
    assert [(r.init.label, r.seed) for r in runs[:4]] == [
        ("He normal", 0),
        ("He normal", 1),
        ("He normal", 2),
        ("LeCun normal", 0),
    ]
    with pytest.raises(ValueError, match="a run has no field 'sed'; it has model, data"):
        grid(LOOK, sed=[1])


def test_a_frame_describes_itself(tmp_path):
    frame = sweep.run(RUNS, store=Store(tmp_path))
    assert {"model", "model.widths", "init", "init.scale", "seed", "statistic", "value"} <= set(
        frame
    )
    assert frame.drop_duplicates("key").key.tolist() == [key(r) for r in RUNS]
    lengths = sweep.select(frame, RUNS[:6], "second_moment")
    assert set(lengths.layer) == {0, 5}
    assert len(lengths) == 6 * 2 * 50
    trained = sweep.select(frame, RUNS[6:])
    assert set(trained.statistic) >= {"epochs", "reached", "diverged", "test_accuracy"}


def test_nothing_is_computed_twice(tmp_path, monkeypatch):
    store = Store(tmp_path)
    first = sweep.run(RUNS, store=store)
    monkeypatch.setattr(local, "execute", lambda *a: pytest.fail("computed again"))
    pd.testing.assert_frame_equal(first, sweep.run(RUNS, store=store))


def test_only_what_is_missing_is_computed(tmp_path, monkeypatch):
    store, computed, execute = Store(tmp_path), [], sweep.execute
    sweep.run(RUNS[:4], store=store)
    monkeypatch.setattr(local, "execute", lambda g, d: computed.extend(g) or execute(g, d))
    sweep.run([*RUNS, RUNS[0]], store=store)
    assert sorted(map(key, computed)) == sorted(map(key, RUNS[4:]))


def test_recorded_results_are_found(tmp_path, monkeypatch):
    recorded = Store(tmp_path / "recorded")
    sweep.run(RUNS, store=recorded, recorded=False)
    monkeypatch.setattr(engine, "RECORDED", recorded.folder)
    execute = sweep.execute
    monkeypatch.setattr(local, "execute", lambda *a: pytest.fail("computed again"))
    mine = Store(tmp_path / "mine")
    frame = sweep.run(RUNS, store=mine)
    assert not mine.folder.exists()
    monkeypatch.setattr(local, "execute", execute)
    again = sweep.run(RUNS, store=mine, recorded=False)
    pd.testing.assert_frame_equal(values(frame), values(again))


def test_processes_give_the_same_frame(tmp_path, monkeypatch):
    one = sweep.run(RUNS, store=Store(tmp_path / "one"), workers=1)
    monkeypatch.setattr(local, "here", None)  # few as they are, two workers are two
    two = sweep.run(RUNS, store=Store(tmp_path / "two"), workers=2)
    pd.testing.assert_frame_equal(values(one), values(two), rtol=1e-5)


def test_groups_hold_what_can_train_together():
    other = grid(TRAIN, model=[ResidualMLP(2, 5, inputs=64, outputs=10)], seed=range(2))
    cut = groups([*RUNS, *other])
    assert sorted(map(key, RUNS + other)) == sorted(key(r) for g in cut for r in g)
    for group in cut:
        assert len({r.model for r in group}) == 1
        assert len({r.data for r in group}) == 1
        assert group[0].budget is not None or len(group) == 1


def test_groups_fit_into_the_memory_that_is_allowed():
    for model in LARGE:
        runs = grid(dataclasses.replace(TRAIN, model=model), seed=range(40))
        one = group_bytes(model, TRAIN.budget.batch_size, TRAIN.optimizer, 1)
        for memory in (one, 3 * one, 100 * one):
            cut = groups(runs, memory=memory)
            assert sum(map(len, cut)) == 40
            for g in cut:
                assert group_bytes(model, 256, TRAIN.optimizer, len(g)) <= memory
        with pytest.raises(ValueError, match="allow more memory, or take smaller batches"):
            groups(runs, memory=one - 1)


def test_images_train_and_are_looked_at_like_vectors(tmp_path):
    model = ResNet9(width=2, input_shape=(1, 8, 8))
    budget = Budget(epochs=1, batch_size=512)
    runs = grid(dataclasses.replace(TRAIN, model=model, budget=budget), seed=range(2))
    plain = dataclasses.replace(model, norm="none")
    looks = [dataclasses.replace(LOOK, model=plain, data=DIGITS, measure=SecondMoments(image=0))]
    frame = sweep.run([*runs, *looks], store=Store(tmp_path))
    assert frame.value[frame.statistic == "train_loss"].between(0, 10).all()
    assert len(sweep.select(frame, looks, "second_moment")) == 2 * LOOK.networks


def test_a_run_comes_back_from_a_stored_row(tmp_path):
    store = Store(tmp_path)
    sweep.run(RUNS, store=store)
    assert {sweep.from_json(text) for text in store.frame().run} == set(RUNS)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Run(LOOK.model, HeNormal()), "either a budget (it trains) or a measure"),
        (lambda: Run(TRAIN.model, HeNormal(), budget=Budget()), "needs data"),
        (
            lambda: Run(TRAIN.model, HeNormal(), data=DIGITS, budget=Budget(), networks=2),
            "trains one network",
        ),
        (lambda: Run(LOOK.model, HeNormal(), measure=SecondMoments(image=0)), "an image of data"),
        (
            lambda: Run(LOOK.model, HeNormal(), measure=SecondMoments(), networks=0),
            "networks must be ≥ 1",
        ),
        (lambda: sweep.run([LOOK], engine="slurm"), "unknown engine 'slurm'; known: local, ray"),
        (
            lambda: sweep.execute(
                [
                    Run(
                        MLP((3,), inputs=64),
                        Zeros(),
                        data=DIGITS,
                        measure=SecondMoments(image=99_999),
                    )
                ]
            ),
            "image 99999 is not among the",
        ),
    ],
)
def test_bad_runs_are_refused(make, says):
    with pytest.raises(ValueError) as error:
        make()
    assert says in str(error.value)


class Mortal(Store):
    """A store that kills its process, without warning, once it has taken so many groups."""

    def __init__(self, folder: str, groups: str) -> None:
        super().__init__(folder)
        self.left = int(groups)

    def add(self, group) -> None:
        super().add(group)
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)


SWEEP = """
import sys
from initlab.sweep import run
from tests.sweep.test_sweep import KILLED, Mortal

if __name__ == "__main__":
    store, workers = Mortal(*sys.argv[1:3]), int(sys.argv[3])
    run(KILLED, store=store, recorded=False, workers=workers)
"""
#: 24 groups: half of them are looked at, half are trained.
KILLED = grid(LOOK, seed=range(12)) + [
    run
    for width in range(3, 15)
    for run in grid(TRAIN, model=[MLP((width,) * 4, inputs=64)], seed=range(3))
]


def alive(marker: str) -> list[int]:
    """Processes whose environment carries `marker`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marker.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux's /proc")
def test_a_sweep_killed_three_times_ends_with_the_same_frame(tmp_path):
    script = tmp_path / "sweep_script.py"
    script.write_text(SWEEP)
    whole, store = (Store(tmp_path / name) for name in ("whole", "killed"))
    expected = sweep.run(KILLED, store=whole, recorded=False, workers=1)
    mark, kept = f"{tmp_path.name}-{os.getpid()}", 0
    for groups_more, workers in ((1, 2), (4, 1), (7, 1)):
        done = subprocess.run(
            [sys.executable, str(script), str(store.folder), str(groups_more), str(workers)],
            env=os.environ | {"INITLAB_TEST_MARK": mark, "OMP_NUM_THREADS": "1"},
            cwd=tmp_path,
            stderr=subprocess.DEVNULL,
        )
        assert done.returncode == -signal.SIGKILL
        now = len(store.keys())
        assert kept < now < len(KILLED)
        kept = now
        until(lambda: not alive(mark), "a killed sweep left workers behind")
    again = sweep.run(KILLED, store=store, recorded=False, workers=1)
    pd.testing.assert_frame_equal(values(expected), values(again))
