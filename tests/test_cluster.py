"""A cluster gives what this machine gives, also when it loses a node."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch

from initlab import cluster, sweep
from initlab.cluster import ClusterError, on_ray
from initlab.store import Store
from tests.sweep.test_sweep import RUNS, alive, values

pytest.importorskip("ray", reason="needs initlab[ray]")
# Set before Ray starts anything: no dashboard's agents, no reports to anyone.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ADDRESS": ""}


@dataclass(frozen=True)
class Item:
    """Something small to compute."""

    number: int
    seconds: float = 0.0


def squares(group, device):
    time.sleep(group[0].seconds)
    return [(item.number**2, device, torch.get_num_threads(), os.getpid()) for item in group]


def fails(group, device):
    raise LookupError(f"no luck with {group[0].number}")


def dies(group, device):
    os._exit(3)


def tiny(group, device):
    """A subnormal number on this thread: zero when they are flushed."""
    return float(torch.full((8,), 1e-38).mul(1e-3).sum())


@pytest.fixture(scope="module")
def two_nodes():
    """A head without a CPU and two nodes of one CPU each, so that losing one leaves Ray alive."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUIET.items():
            patch.setenv(name, value)
        patch.delenv("RAY_ADDRESS")
        memory = {"object_store_memory": 100 * 2**20}
        nodes = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False, **memory},
        )
        nodes.add_node(num_cpus=1, **memory)
        nodes.add_node(num_cpus=1, **memory)
        nodes.wait_for_nodes()
        yield nodes
        nodes.shutdown()


def groups(count, seconds=0.0):
    return [[Item(2 * n, seconds), Item(2 * n + 1, seconds)] for n in range(count)]


def test_every_group_comes_back_once(two_nodes):
    results = list(on_ray(groups(12, 0.2), squares, address=two_nodes.address))
    assert sorted(r[0] for group in results for r in group) == [n**2 for n in range(24)]
    assert {r[1:3] for group in results for r in group} == {("cpu", 1)}
    assert len({r[3] for group in results for r in group}) >= 2  # both nodes work


def test_workers_flush_denormals(two_nodes):
    assert list(on_ray(groups(1), tiny, address=two_nodes.address)) == [0.0]


def test_groups_are_taken_when_there_is_room(two_nodes):
    taken = []

    def lazily():
        for group in groups(12):
            taken.append(group)
            yield group

    results = on_ray(lazily(), squares, address=two_nodes.address)
    next(results)
    assert len(taken) <= 2 * cluster.IN_FLIGHT
    assert len(list(results)) == 11
    assert len(taken) == 12


def test_giving_up_cancels_what_is_in_flight(two_nodes):
    results = on_ray([*groups(1), *groups(2, 3600.0)], squares, address=two_nodes.address)
    next(results)
    results.close()
    start = time.monotonic()
    assert len(list(on_ray(groups(2), squares, address=two_nodes.address))) == 2
    assert time.monotonic() - start < 120


def test_an_error_of_the_task_comes_through(two_nodes):
    with pytest.raises(LookupError, match="no luck with 0"):
        list(on_ray(groups(1), fails, address=two_nodes.address))


def test_a_task_that_always_dies_is_given_up(two_nodes):
    with pytest.raises(ClusterError, match=r"a group was lost .* stored before is safe"):
        list(on_ray(groups(1), dies, retries=1, address=two_nodes.address))


def held(begun, doomed, group, device):
    """The node that is to be lost keeps its group until then."""
    import ray

    (begun / uuid.uuid4().hex).touch()
    if ray.get_runtime_context().get_node_id() == doomed:
        (begun.parent / "held").touch()
        time.sleep(600)
    return sweep.execute(group, device)


def store_all(results, folder) -> pd.DataFrame:
    store = Store(folder)
    for result in results:
        store.add(result)
    return store.frame()


def test_a_sweep_that_loses_a_node_gives_the_same_frame(two_nodes, tmp_path):
    todo = sweep.groups(RUNS)
    local = store_all((sweep.execute(group) for group in todo), tmp_path / "local")
    begun = tmp_path / "begun"
    begun.mkdir()
    doomed = next(iter(two_nodes.worker_nodes))
    work = partial(held, begun, doomed.node_id)
    results = on_ray(todo, work, address=two_nodes.address)

    def lose_a_node_after_the_first():
        yield next(results)
        until = time.monotonic() + 60
        while not (tmp_path / "held").exists():
            assert time.monotonic() < until, "the node that is to be lost does nothing"
            time.sleep(0.05)
        two_nodes.remove_node(doomed, allow_graceful=False)
        yield from results

    lost = store_all(lose_a_node_after_the_first(), tmp_path / "lost")
    assert len(two_nodes.worker_nodes) == 1
    assert len(list(begun.iterdir())) > len(todo), "nothing was computed twice"
    pd.testing.assert_frame_equal(values(lost), values(local))


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("127.0.0.1:1", "there is no Ray cluster at 127.0.0.1:1: .*refused.* RAY_ADDRESS"),
        ("nowhere", "there is no Ray cluster at nowhere: Invalid address"),
        ("127.0.0.1:99999", "there is no Ray cluster at 127.0.0.1:99999"),
    ],
)
@pytest.mark.parametrize("by", ["argument", "environment"])
def test_an_address_without_a_cluster(monkeypatch, address, says, by):
    if by == "environment":
        monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ClusterError, match=says):
        list(on_ray(groups(1), squares, address=address if by == "argument" else None))


def test_ray_is_asked_for_when_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"pip install 'initlab\[ray\]'"):
        on_ray(groups(1), squares)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"device": "cuda:1", "gpus_per_task": 1.0}, "device must be 'cuda', not 'cuda:1'"),
        ({"device": "cuda"}, "gpus_per_task must be > 0 on 'cuda' and 0 elsewhere, not 0.0"),
        ({"gpus_per_task": 0.5}, "not 0.5 on 'cpu'"),
    ],
)
def test_devices_that_ray_cannot_give(options, says):
    with pytest.raises(ValueError) as error:
        on_ray(groups(1), squares, **options)
    assert says in str(error.value)


OWN = """
import ray
from initlab.cluster import on_ray
from tests.test_cluster import groups, squares

if __name__ == "__main__":
    results = on_ray(groups(3), squares)
    first = next(results)
    assert ray.is_initialized()
    assert len(list(results)) == 2
    assert not ray.is_initialized()
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux's /proc")
def test_a_ray_of_our_own_is_ended(tmp_path):
    script = tmp_path / "own.py"
    script.write_text(OWN)
    environment = os.environ | QUIET | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    # Not the cluster that may run on this machine for other reasons.
    environment["RAY_ADDRESS"] = "local"
    marker = f"INITLAB_TEST_MARK={tmp_path.name}-{os.getpid()}"
    environment |= dict([marker.split("=")])
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    deadline = time.monotonic() + 30
    while left := alive(marker):
        assert time.monotonic() < deadline, f"Ray left processes behind: {left}"
        time.sleep(0.1)
