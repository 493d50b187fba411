"""Side by side with what one would use instead: `python -m benchmarks`.

Writes benchmarks/latest.json: `about` (machine, threads, versions, date), `rows` (case, order,
peer, our and their median model-samples per second, the ratio, above 1 where we are faster, and
its spread over rounds) and the tables beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import CASES, ORDERS, Signal, Training
from benchmarks.harness import Work, compared, interleaved
from benchmarks.ours import Ours
from benchmarks.peers import Peer, UnavailableError, peers

TARGET = Path(__file__).parent / "latest.json"


def work(peer: Peer, case: Training | Signal) -> Work:
    """The peer's work on the case, or on fewer of its networks; it gives the model-samples done."""
    case = case.of(case.few) if peer.one_by_one else case
    run = peer.prepare(case)
    return lambda: len(run()) * case.samples


def row(peer: Peer, case: Training | Signal, ours: list[float], theirs: list[float]) -> dict:
    """One line of the table."""
    return {
        "case": case.title,
        "letter": case.letter,
        "order": case.order,
        "peer": peer.name,
        "unit": "networks/s" if isinstance(case, Signal) else "model-samples/s",
        **compared(ours, theirs),
        "scaled": peer.one_by_one and case.few < case.networks,
    }


def measured(case: Training | Signal, everyone: list[Peer], rounds: int) -> Iterator[dict]:
    """Rows of one case in one order."""
    ours = Ours()
    ready: dict[str, Work] = {}
    for peer in [ours, *(p for p in everyone if case.letter in p.letters)]:
        try:
            ready[peer.name] = work(peer, case)
        except UnavailableError as why:
            print(f"  {why}")
    if ours.name not in ready:
        return
    rates = interleaved(ready, rounds)
    for peer in everyone:
        if peer.name in rates:
            yield row(peer, case, rates[ours.name], rates[peer.name])


def orders(case: Training | Signal) -> list[Training | Signal]:
    """The case in every order that it is measured in."""
    if isinstance(case, Signal):
        return [case]
    return [replace(case, order=order) for order in ORDERS]


def about() -> dict[str, Any]:
    """What was measured, and on what."""
    versions = {"python": platform.python_version()}
    for package in ("initlab", "torch", "jax", "lightning"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "versions": versions,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure what is asked for and write it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="a,b", help="cases, by letter; by default all")
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count")
    parser.add_argument("--output", type=Path, default=TARGET)
    given = parser.parse_args(arguments)
    letters = given.only.split(",") if given.only else list(CASES)
    if unknown := [letter for letter in letters if letter not in CASES]:
        parser.error(f"no case {', '.join(unknown)}; known: {', '.join(CASES)}")
    if given.rounds < 1:
        parser.error(f"--rounds must be ≥ 1, not {given.rounds}")
    everyone, missing = peers()
    print(*missing, sep="\n", end="\n" if missing else "")
    rows = []
    for letter in letters:
        for case in orders(CASES[letter]):
            print(f"({letter}) {case.title}, {case.order} order")
            for r in measured(case, everyone, given.rounds):
                rows.append(r)
                low, high = r["spread"]
                print(f"  {r['ratio']:6.2f}× {r['peer']} ({low:.2f} to {high:.2f})", flush=True)
    given.output.write_text(json.dumps({"about": about(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
