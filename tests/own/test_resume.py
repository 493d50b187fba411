"""A sweep of somebody's networks is killed, and goes on where it was."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from initlab import Budget, Store, grid, run
from tests.own.networks import cases
from tests.own.test_as_a_loop import BATCH, SLOW, base
from tests.sweep.test_sweep import values
from tests.wait import until

CASES = cases()


def runs_of(name: str) -> list:
    """Twenty runs in five groups."""
    epochs = 1 if name in SLOW else 4
    some = base(CASES[name], budget=Budget(epochs=epochs, batch_size=BATCH))
    return grid(some, order=range(5), seed=range(4))


def sweep_on(folder: Path, name: str) -> None:
    run(runs_of(name), store=Store(folder), recorded=False, workers=1)


@pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="needs a fork server"
)
@pytest.mark.parametrize("name", CASES)
def test_a_killed_sweep_goes_on(name, tmp_path):
    context = multiprocessing.get_context("forkserver")
    # It has imported all that takes seconds, and computed nothing: threads do not survive a fork.
    context.set_forkserver_preload(["initlab.sweep", "timm", "torch_geometric.nn"])
    process = context.Process(target=sweep_on, args=[tmp_path / "killed", name], daemon=True)
    process.start()
    store = Store(tmp_path / "killed")
    until(store.keys, "the sweep gets nowhere", pause=0.002)
    process.kill()
    process.join()
    kept = store.keys()
    assert process.exitcode == -9, "the sweep ended before the kill"
    assert 0 < len(kept) < 20
    before = store.frame(kept)
    again = run(runs_of(name), store=store, recorded=False, workers=1)
    whole = run(runs_of(name), store=Store(tmp_path / "whole"), recorded=False, workers=1)
    pd.testing.assert_frame_equal(values(again), values(whole), rtol=1e-3, atol=1e-4)
    stayed = values(store.frame(kept))
    pd.testing.assert_frame_equal(stayed, values(before), check_exact=True)


SCRIPT = """
import torch
from torch import nn
import initlab
from initlab.init import AsBuilt

class Mine(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 2))

    def forward(self, x):
        return self.layers(x)

def cubed(outputs, targets):
    return (outputs - targets).abs().pow(3).mean()

def runs():
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    data = initlab.Tensors(train=(x[:30], x[:30, :2]), test=(x[30:], x[30:, :2]))
    base = initlab.Run(
        initlab.Network(Mine, width=6), AsBuilt(), data=data,
        loss=initlab.FunctionLoss.of(cubed), budget=initlab.Budget(epochs=2, batch_size=10),
    )
    return initlab.grid(base, seed=range(6), order=range(4))

if __name__ == "__main__":
    stores = [initlab.Store(f"store-{n}") for n in (1, 2)]
    one, two = (initlab.run(runs(), store=s, workers=n) for n, s in enumerate(stores, 1))
    assert len(set(two.key)) == 24 and set(one.key) == set(two.key)
    ends = [f[f.statistic == "test_loss"].set_index("key").value.sort_index() for f in (one, two)]
    assert (ends[0] - ends[1]).abs().max() < 1e-5
    print("same")
"""


def test_what_a_script_defines_goes_to_other_processes(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["same"]
