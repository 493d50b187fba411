"""The same sweep on one and on two nodes of one CPU each, on this machine's loopback.

The nodes start before the clock, and so do their workers: what is measured is how the work is
shared out, not how long Python takes to import torch. One and two nodes take turns, and so do a
short and a long sweep: the last group to finish runs alone, and that weighs more in the short one.
`python -m benchmarks.cluster` prints one line of JSON. It needs two idle cores: `load_before`
should be below 0.5.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time

from initlab.cluster import on_ray
from initlab.data import Data
from initlab.init import HeNormal
from initlab.models import MLP
from initlab.sweep import Run, execute, grid, groups
from initlab.train import Budget

MODEL = MLP.constant(5, 32, inputs=64)


def sweep(epochs: int, count: int) -> list[list[Run]]:
    """`count` groups of eight networks each, all of the same cost."""
    budget = Budget(epochs=epochs, batch_size=32)
    base = Run(MODEL, HeNormal(), data=Data("digits"), budget=budget)
    cut = groups(grid(base, order=range(count), seed=range(8)))
    assert len(cut) == count
    return cut


def seconds(work: list[list[Run]], address: str) -> float:
    start = time.perf_counter()
    results = list(on_ray(work, execute, address=address))
    assert len(results) == len(work)
    return time.perf_counter() - start


def warm(group: list[Run], device: str) -> int:
    execute(group, device)
    time.sleep(1)  # so that no worker can do the work of another that is not there yet
    return os.getpid()


def start(nodes: int):
    """A head without a CPU, and nodes of one CPU each whose workers have imported torch."""
    from ray.cluster_utils import Cluster

    quiet = {"object_store_memory": 100 * 2**20}
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **quiet}
    )
    for _ in range(nodes):
        cluster.add_node(num_cpus=1, **quiet)
    cluster.wait_for_nodes()
    return cluster


def main() -> None:
    import ray

    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--epochs", type=int, nargs="+", default=[80, 320], help="of each of 16 groups, by sweep"
    )
    args = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    load = os.getloadavg()[0]
    times: dict[tuple[int, int], list[float]] = {(n, e): [] for n in (1, 2) for e in args.epochs}
    for _ in range(args.rounds):
        for nodes in (1, 2):
            cluster = start(nodes)
            try:
                # Held until the end: a Ray that is let go takes its workers along.
                ray.init(cluster.address, log_to_driver=False)
                while len(set(on_ray(sweep(1, 2 * nodes), warm, address=cluster.address))) < nodes:
                    pass  # until every node has a worker that has imported all it needs
                for epochs in args.epochs:
                    times[nodes, epochs].append(seconds(sweep(epochs, 16), cluster.address))
            finally:
                ray.shutdown()
                cluster.shutdown()
    rows = []
    for epochs in args.epochs:
        one, two = times[1, epochs], times[2, epochs]
        ratios = [a / b for a, b in zip(one, two, strict=True)]
        rows.append(
            {
                "epochs": epochs,
                "seconds_on_one_node": statistics.median(one),
                "seconds_on_two_nodes": statistics.median(two),
                "ratio": statistics.median(ratios),
                "spread": [min(ratios), max(ratios)],
                "load_before": load,
            }
        )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
