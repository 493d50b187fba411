"""The package's store beside two in an SQLite database: `python -m benchmarks.store`.

A complete run writes benchmarks/store.json: `about`, `rows` (case, peer, our and their median
rate, the ratio, above 1 where the package's store is faster, and its spread over rounds), `disk`
(bytes), `damage` (what is read after one bit of a file has changed), `kills` (what is lost when one
of two writers is killed) and `unlocked` (what is lost where locks exclude nobody). All take turns
in every round.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.harness import Work, compared, interleaved
from benchmarks.store.faults import damage, kills, unlocked
from benchmarks.store.stores import OURS, STORES, WRITERS, Table, drawn, fill, size

FILE = Path(__file__).parent.parent / "store.json"
#: What `initlab.sweep.run` asks for.
COLUMNS = ("key", "network", "layer", "step", "statistic", "value", "seconds", "commit")


class Folders:
    """Everyone's folders on one file system."""

    def __init__(self, parent: Path) -> None:
        """In the folder `parent`."""
        self.parent = parent
        self.filled: dict[tuple[str, tuple], Path] = {}

    def at(self, name: str, which: tuple) -> Path:
        """Where a store holds the drawn groups."""
        if (name, which) not in self.filled:
            self.filled[name, which] = Path(tempfile.mkdtemp(dir=self.parent))
            fill(name, self.filled[name, which], *which)
        return self.filled[name, which]

    def written(self, *jobs: tuple, pool: ProcessPoolExecutor | None = None) -> dict[str, Work]:
        """Fill an empty folder; with a pool, by a process for each of the jobs at the same time."""

        def way(name: str) -> Work:
            def work() -> int:
                with tempfile.TemporaryDirectory(dir=self.parent) as fresh:
                    if pool is None:
                        return sum(fill(name, Path(fresh), *job) for job in jobs)
                    started = [pool.submit(fill, name, Path(fresh), *job) for job in jobs]
                    return sum(one.result() for one in started)

            return work

        return {name: way(name) for name in WRITERS}

    def read(self, which: tuple, look: Callable[[Any], int], anew: bool = True) -> dict[str, Work]:
        """Look at the store that holds the drawn groups, opened for it or before."""

        def way(name: str) -> Work:
            folder = self.at(name, which)
            opened = STORES[name](folder)
            return lambda: look(STORES[name](folder) if anew else opened)

        return {name: way(name) for name in STORES}

    def disk(self) -> Table:
        """Bytes of what was read from."""
        return [
            {"peer": name, "rows": which[0], "groups": len(drawn(*which)), "bytes": size(folder)}
            for (name, which), folder in self.filled.items()
        ]


def timed(folders: Folders, rounds: int, rows: int, runs: int) -> Table:
    """All that is timed."""
    large, many = (rows,), (5 * runs, 1, 5)
    every = [key for group in drawn(*large) for key, *_ in group]
    some = [key for group in drawn(*many) for key, *_ in group][:: max(1, runs // 300)]

    def out(keys: list[str] | None) -> Callable[[Any], int]:
        return lambda store: len(store.frame(keys, COLUMNS))

    def keys(store: Any) -> int:
        return len(store.keys())

    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        cases: list[tuple[str, str, dict[str, Work]]] = [
            (f"{rows:,} rows in", "rows/s", folders.written(large)),
            (f"{rows:,} rows out", "rows/s", folders.read(large, out(every))),
            (f"{runs:,} runs of 5 rows in", "rows/s", folders.written(many)),
            (f"{runs:,} runs of 5 rows out", "rows/s", folders.read(many, out(None))),
            (f"{len(some)} of {runs:,} runs out", "rows/s", folders.read(many, out(some))),
            (f"keys of {runs:,} runs, opened anew", "runs/s", folders.read(many, keys)),
            (f"keys of {runs:,} runs, again", "runs/s", folders.read(many, keys, anew=False)),
            (
                f"two writers at once, {rows // 5:,} rows each",
                "rows/s",
                folders.written((rows // 5, 2), (rows // 5, 3), pool=pool),
            ),
        ]
        table = []
        for case, unit, ways in cases:
            print(case, flush=True)
            rates = interleaved(ways, rounds)
            for name in list(ways)[1:]:
                row = compared(rates[OURS], rates[name])
                table.append({"case": case, "peer": name, "unit": unit, **row})
                low, high = row["spread"]
                print(f"  {row['ratio']:7.3f}× {name} ({low:.3f} to {high:.3f})", flush=True)
    return table


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="tiny: to see that all runs")
    parser.add_argument("--folder", type=Path, help="on the file system that is measured")
    given = parser.parse_args()
    from benchmarks.__main__ import about

    rows, runs, trials, times = (2000, 100, 3, 2) if given.quick else (1_000_000, 20_000, 200, 20)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        folders = Folders(Path(folder))
        result = {"about": about(), "rows": timed(folders, given.rounds, rows, runs)}
        result["disk"] = folders.disk()
        result["damage"] = damage(Path(folder), trials)
        result["kills"] = kills(Path(folder), times)
        result["unlocked"] = unlocked(Path(folder), times)
    if not given.quick:
        FILE.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
