"""Side by side with what one would use instead: `python -m benchmarks`.

A complete run writes benchmarks/latest.json: `about` (machine, threads, versions, date), `rows`
(case, order, peer, our and their median model-samples per second, the ratio, above 1 where we are
faster, and its spread over rounds) and the tables `peak`, `growth`, `memory`, `cluster`,
`plan` and `diagnosis` (how many training steps `diagnose` costs).
With `--device cuda` everyone computes there, in float32 proper, and a complete run writes `about`,
`rows` and `growth` into benchmarks/cuda.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from benchmarks import peak
from benchmarks.cases import CASES, ORDERS, Signal, Training
from benchmarks.diagnosis import diagnosis
from benchmarks.growth import NETWORKS, growth
from benchmarks.harness import Work, compared, interleaved
from benchmarks.memory import memory
from benchmarks.ours import OnProcesses, Ours
from benchmarks.own import OWN, OwnTraining
from benchmarks.parts import parts
from benchmarks.peers import Peer, UnavailableError, peers
from benchmarks.plan import plan
from initlab.devices import present
from initlab.train import native

#: What a complete run on a device replaces.
TARGETS = {
    "cpu": Path(__file__).parent / "latest.json",
    "cuda": Path(__file__).parent / "cuda.json",
}
#: Every case; networks that users bring are measured on the processor.
EVERY: dict[str, Training | Signal] = {**CASES, **OWN}
#: Cases whose share of the machine's peak is reported.
AGAINST_PEAK = "ab"
Table = list[dict[str, Any]]


def work(peer: Peer, case: Training | Signal) -> Work:
    """The peer's work on the case, or on fewer of its networks; it gives the model-samples done."""
    case = case.of(case.few) if peer.one_by_one else case
    run = peer.prepare(case)
    longer = isinstance(peer, OnProcesses) and isinstance(case, OwnTraining)
    samples = case.samples * (case.passes if longer else 1)
    # On a GPU the values that are given may still be on their way.
    return lambda: len(run().cpu()) * samples


def measured(case: Training | Signal, everyone: list[Peer], rounds: int) -> tuple[Table, Table]:
    """Rows of one case in one order: beside the peers, and beside the machine's peak."""
    ours = Ours()
    ready: dict[Any, Work] = {}
    for peer in [ours, *(p for p in everyone if case.letter in p.letters)]:
        try:
            ready[peer.name] = work(peer, case)
        except UnavailableError as why:
            print(f"  {why}")
    if ours.name not in ready:
        return [], []
    products = {}
    if case.letter in AGAINST_PEAK and case.device == "cpu":
        products = peak.products()
    rates = interleaved(ready | products, rounds)
    mine = rates[ours.name]
    where = {"case": case.title, "letter": case.letter, "order": case.order}
    rows = [
        {
            **where,
            "peer": peer.name,
            "unit": "networks/s" if isinstance(case, Signal) else "model-samples/s",
            **compared(mine, rates[peer.name]),
            "scaled": peer.one_by_one and case.few < case.networks,
        }
        for peer in everyone
        if peer.name in ready and case.letter in peer.letters
    ]
    shares = [
        {**where, "library": way[0], "shape": way[1], **peak.share(case.model, mine, rates[way])}
        for way in products
    ]
    return rows, shares


def orders(case: Training | Signal) -> list[Training | Signal]:
    """The case in every order that it is measured in."""
    if isinstance(case, Signal):
        return [case]
    if isinstance(case, OwnTraining):  # seeds of a loop have orders of their own
        return [replace(case, order="own")]
    return [replace(case, order=order) for order in ORDERS]


def smaller(case: Training | Signal) -> Training | Signal:
    """Few networks and samples: to see that all runs, not to compare."""
    case = case.of(min(case.few, 4))
    case = replace(case, passes=1) if isinstance(case, OwnTraining) else case
    return case if isinstance(case, Signal) else replace(case, samples=2 * case.batch)


def cluster() -> Any:
    """What benchmarks/cluster.py prints as its last line, if there is one and Ray is installed."""
    for module in ("benchmarks.cluster", "ray"):
        if find_spec(module) is None:
            print(f"the cluster is left out: there is no {module}")
            return None
    child = [sys.executable, "-m", "benchmarks.cluster"]
    answer = subprocess.run(child, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


def on_cuda() -> None:
    """Everyone computes there, and in float32: by default some round inputs of products to TF32."""
    os.environ["JAX_PLATFORMS"] = "cuda,cpu"
    os.environ["JAX_DEFAULT_MATMUL_PRECISION"] = "highest"
    torch.backends.cudnn.allow_tf32 = False


def about(device: str = "cpu") -> dict[str, Any]:
    """What is measured, and on what."""
    versions = {"python": platform.python_version()}
    for package in (
        "initlab",
        "torch",
        "jax",
        "lightning",
        "torchvision",
        "timm",
        "torch-geometric",
    ):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    card = {"card": torch.cuda.get_device_name()} if device == "cuda" else {}
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        **card,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "versions": versions,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The options; ends with one clear line when they make no sense."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="a,b", help="these cases alone, without the tables")
    parser.add_argument("--rounds", type=int, help="rounds that count; by default 7")
    parser.add_argument("--quick", action="store_true", help="tiny: to see that all runs")
    parser.add_argument(
        "--device", choices=list(TARGETS), default="cpu", help="where all compute; by default cpu"
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="file to write; by default latest.json or cuda.json, if all is measured",
    )
    given = parser.parse_args(arguments)
    known = EVERY if given.device == "cpu" else CASES
    given.letters = given.only.split(",") if given.only else list(known)
    if unknown := [letter for letter in given.letters if letter not in known]:
        parser.error(f"there is no case {', '.join(unknown)}; known: {', '.join(known)}")
    if given.rounds is None:
        given.rounds = 1 if given.quick else 7
    if given.rounds < 1:
        parser.error(f"--rounds must be ≥ 1, not {given.rounds}")
    if given.output is None and not given.only and not given.quick:
        given.output = TARGETS[given.device]
    if given.device not in present():
        parser.error(f"this machine has no {given.device}; it has {', '.join(present())}")
    return given


def main(arguments: list[str] | None = None) -> None:
    """Measure what is asked for, print it and write it."""
    given = parsed(arguments)
    if given.device == "cuda":
        on_cuda()
    result: dict[str, Any] = {"about": about(given.device), "rows": []}
    if given.device == "cpu":
        result |= {"peak": [], "parts": []}
    if result["about"]["load"] > 0.5:
        print(f"This machine is busy (load {result['about']['load']}): spreads will be wide.")
    everyone, missing = peers()
    everyone.append(OnProcesses())
    for line in missing:
        print(line)
    for letter in given.letters:
        for case in orders(EVERY[letter]):
            print(f"({letter}) {case.title}, {case.order} order", flush=True)
            case = smaller(case.on(given.device)) if given.quick else case.on(given.device)
            rows, shares = measured(case, everyone, given.rounds)
            result["rows"] += rows
            if shares:
                result["peak"] += shares
            for row in rows:
                low, high = row["spread"]
                print(f"  {row['ratio']:6.2f}× {row['peer']} ({low:.2f} to {high:.2f})")
            for row in shares:
                print(f"  {row['share']:6.1%} of {row['library']}, {row['shape']}")
    networks = NETWORKS[:4] if given.quick else NETWORKS
    if not given.only:
        result["growth"] = growth(given.rounds, networks, given.device)
        for row in result["growth"]:
            print(f"{row['networks']:6d} networks: {row['seconds_per_network']:.2g} s each")
    if not given.only and given.device == "cpu":
        if not native.available():
            print("No C compiler: the parts of a step, which the book shows, are not measured.")
        cases = [c for letter in AGAINST_PEAK for c in orders(CASES[letter])]
        for case in cases if native.available() else []:
            result["parts"].append(parts(smaller(case) if given.quick else case, given.rounds))
        result["memory"] = memory()
        result["cluster"] = cluster()
        result["plan"] = plan()
        result["diagnosis"] = diagnosis(given.rounds)
        for row in result["diagnosis"]:
            print(f"{row['steps']:6.2f} steps: diagnose, {row['network']}")
        for row in result["memory"]:
            print(f"{row['mib']:6d} MiB {row['peer']}")
    if given.output is not None:
        given.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
