"""Two processes, one store, twenty kills: nothing that was finished is lost or changed."""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path

import pandas as pd
import pytest

from initlab import sweep
from initlab.init import HeNormal
from initlab.models import MLP
from initlab.store import Store
from initlab.sweep import Run, grid
from initlab.sweep.groups import WORTH_SHARING
from initlab.train import Budget
from tests.sweep.test_sweep import DIGITS, values
from tests.wait import until

KILLS = 20
# Enough groups (one for each order) that the last kill still falls into the middle.
RUNS = grid(
    Run(MLP((8, 8), inputs=64), HeNormal(), data=DIGITS, budget=Budget(epochs=10, batch_size=128)),
    order=range(150),
    seed=range(WORTH_SHARING),
)


def sweep_on(folder: Path) -> None:
    """What each process does: tidy up first, so that kills fall on compactions too."""
    store = Store(folder)
    store.compact()
    sweep.run(RUNS, store=store, recorded=False, workers=1)


@pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="needs a fork server"
)
def test_twenty_kills_of_two_processes_change_nothing(tmp_path):
    # The server has imported all that takes seconds, so that starting again does not.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["initlab.sweep", "sklearn.datasets"])

    def start(folder: str) -> multiprocessing.process.BaseProcess:
        process = context.Process(target=sweep_on, args=[tmp_path / folder], daemon=True)
        process.start()
        return process

    undisturbed = start("whole")
    undisturbed.join()
    assert undisturbed.exitcode == 0
    whole = Store(tmp_path / "whole").frame()
    assert whole.key.nunique() == len(RUNS)
    of_one_group = WORTH_SHARING * whole.drop_duplicates("key").seconds.median()

    chance = random.Random(20)
    store = Store(tmp_path / "killed")
    kept: set[str] = set()
    processes = [start("killed"), start("killed")]
    for _ in range(KILLS):
        # Something new can be lost.
        until(lambda before=kept: store.keys() - before, "the sweep gets nowhere", pause=0.002)
        time.sleep(chance.uniform(0, of_one_group))
        seen = store.keys()
        which = chance.randrange(2)
        processes[which].kill()
        processes[which].join()
        assert processes[which].exitcode == -9, "the sweep ended before the kill"
        now = store.keys()
        assert kept <= seen <= now
        kept = now
        processes[which] = start("killed")
    assert len(kept) < len(RUNS)
    for process in processes:
        process.join()
        assert process.exitcode == 0
    again = store.frame()
    assert kept <= set(again.key)
    assert not list((tmp_path / "killed").glob("*.damaged"))
    pd.testing.assert_frame_equal(values(whole), values(again), check_exact=True)
