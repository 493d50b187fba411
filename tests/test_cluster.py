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
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from initlab import cluster, sweep
from initlab.cluster import ClusterError, on_ray
from initlab.store import Store
from tests.own.test_as_a_loop import every, here
from tests.own.test_resume import SCRIPT
from tests.smoke import papermill
from tests.sweep.test_sweep import RUNS, alive, values
from tests.wait import PATIENCE, until

pytest.importorskip("ray", reason="needs initlab[ray]")
# Set before Ray starts anything: no dashboard's agents, no reports to anyone.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ADDRESS": ""}
#: Ray gives a node up that has not started in 30 seconds, and no argument changes that: here its
#: seconds are longer, for machines that have much else to do.
PATIENT = SimpleNamespace(**vars(time) | {"monotonic": lambda: 30 * time.monotonic() / PATIENCE})


@dataclass(frozen=True)
class Item:
    """Something small to compute."""

    number: int


def squares(group, device):
    return [(item.number**2, device, torch.get_num_threads()) for item in group]


def meets(folder, group, device):
    """Squares, once two workers have come together: each node has one."""
    (folder / str(os.getpid())).touch()
    until(lambda: len(list(folder.iterdir())) > 1, "one node does all the work")
    return squares(group, device)


def stays(folder, group, device):
    """The first group ends; the others are there until their worker is ended."""
    if group[0].number:
        (folder / str(os.getpid())).touch()
        time.sleep(3600)
    return squares(group, device)


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
        given = {"object_store_memory": 100 * 2**20, "node_ip_address": "127.0.0.1"}
        patch.setattr("ray._private.node.time", PATIENT)
        nodes = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False, **given},
        )
        nodes.add_node(num_cpus=1, **given)
        nodes.add_node(num_cpus=1, **given)
        nodes.wait_for_nodes(timeout=PATIENCE)
        yield nodes
        nodes.shutdown()


@pytest.fixture(scope="class")
def joined(two_nodes):
    """The same cluster, with one connection for many tests: each new one starts new workers."""
    with cluster.connected(two_nodes.address):
        yield two_nodes


def groups(count):
    return [[Item(2 * n), Item(2 * n + 1)] for n in range(count)]


def test_every_group_comes_back_once_and_both_nodes_work(two_nodes, tmp_path):
    results = list(on_ray(groups(12), partial(meets, tmp_path), address=two_nodes.address))
    assert sorted(r[0] for group in results for r in group) == [n**2 for n in range(24)]
    assert {r[1:] for group in results for r in group} == {("cpu", 1)}


class TestOneConnection:
    """Workers are those of the first of these tests."""

    def test_workers_flush_denormals(self, joined):
        assert list(on_ray(groups(1), tiny, address=joined.address)) == [0.0]

    def test_groups_are_taken_when_there_is_room(self, joined):
        taken = []

        def lazily():
            for group in groups(12):
                taken.append(group)
                yield group

        results = on_ray(lazily(), squares, address=joined.address)
        next(results)
        assert len(taken) <= 2 * cluster.IN_FLIGHT
        assert len(list(results)) == 11
        assert len(taken) == 12

    def test_giving_up_cancels_what_is_in_flight(self, joined, tmp_path):
        results = on_ray(groups(3), partial(stays, tmp_path), address=joined.address)
        next(results)
        until(lambda: list(tmp_path.iterdir()), "nothing is in flight")
        results.close()
        at_work = [Path("/proc", file.name) for file in tmp_path.iterdir()]
        until(lambda: not any(p.exists() for p in at_work), "what was given up goes on")
        assert len(list(on_ray(groups(2), squares, address=joined.address))) == 2

    def test_an_error_of_the_task_comes_through(self, joined):
        with pytest.raises(LookupError, match="no luck with 0"):
            list(on_ray(groups(1), fails, address=joined.address))

    def test_a_task_that_always_dies_is_given_up(self, joined):
        with pytest.raises(ClusterError, match=r"a group was lost .* stored before is safe"):
            list(on_ray(groups(1), dies, retries=1, address=joined.address))

    def test_networks_that_nobody_here_wrote_train_on_two_nodes(self, joined, shared, tmp_path):
        on_two = sweep.run(
            every(), store=Store(tmp_path), recorded=False, engine="ray", address=joined.address
        )
        assert on_two.key.nunique() == 160
        pd.testing.assert_frame_equal(values(on_two), values(here(shared)), rtol=1e-3, atol=1e-4)


#: The cells of a notebook that defines a network and a loss and trains them there and on Ray.
CELLS = (
    SCRIPT.partition("if __name__")[0],
    """
stores = [initlab.Store(name) for name in ("here", "there")]
here = initlab.run(runs(), store=stores[0], recorded=False)
there = initlab.run(runs(), store=stores[1], recorded=False, engine="ray", address=ADDRESS)
ends = [f[f.statistic == "test_loss"].set_index("key").value.sort_index() for f in (here, there)]
assert len(set(there.key)) == 24 and list(ends[0].index) == list(ends[1].index)
assert (ends[0] - ends[1]).abs().max() < 1e-5
print(Mine.__module__)
""",
)


def test_what_a_notebook_defines_trains_on_two_nodes(two_nodes, tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="needs initlab[book]")
    pytest.importorskip("papermill", reason="needs initlab[book]")
    kernel = {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
    notebook = nbformat.v4.new_notebook(metadata=kernel)
    parameter = nbformat.v4.new_code_cell('ADDRESS = ""', metadata={"tags": ["parameters"]})
    notebook.cells = [parameter, *map(nbformat.v4.new_code_cell, CELLS)]
    nbformat.write(notebook, tmp_path / "mine.ipynb")
    out = tmp_path / "out.ipynb"
    done = papermill(tmp_path / "mine.ipynb", out, tmp_path / "s", ADDRESS=two_nodes.address)
    assert done.returncode == 0, done.stderr
    outputs = nbformat.read(out, 4).cells[-1].outputs
    [printed] = [o.text for o in outputs if o.get("name") == "stdout"]
    assert printed.split() == ["__main__"]


def held(begun, doomed, group, device):
    """The node that is to be lost keeps its group until then."""
    import ray

    (begun / uuid.uuid4().hex).touch()
    if ray.get_runtime_context().get_node_id() == doomed:
        (begun.parent / "held").touch()
        time.sleep(3600)
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
        until((tmp_path / "held").exists, "the node that is to be lost does nothing")
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
import psutil, ray
from initlab.cluster import on_ray
from tests.test_cluster import groups, squares

if __name__ == "__main__":
    results = on_ray(groups(3), squares)
    first = next(results)
    assert ray.is_initialized()
    this = psutil.Process()
    for process in (this, *this.children(recursive=True)):
        for socket in process.net_connections("inet"):
            if socket.status == psutil.CONN_LISTEN:
                print(socket.laddr.ip)
    assert len(list(results)) == 2
    assert not ray.is_initialized()
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux's /proc")
def test_a_ray_of_our_own_is_for_this_machine_and_is_ended(tmp_path):
    script = tmp_path / "own.py"
    script.write_text(OWN)
    mark = f"{tmp_path.name}-{os.getpid()}"
    # Not the cluster that may run on this machine for other reasons.
    environment = os.environ | QUIET | {"RAY_ADDRESS": "local", "INITLAB_TEST_MARK": mark}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    listens = done.stdout.split()
    assert len(listens) > 3
    assert {address.removeprefix("::ffff:") for address in listens} == {"127.0.0.1"}
    until(lambda: not alive(mark), "Ray left processes behind")
