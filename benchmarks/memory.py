"""Peak memory of case (a), each in a process of its own: `python -m benchmarks.memory NAME`."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES
from benchmarks.ours import Ours
from benchmarks.peers import Peer, peers

#: Whose memory is measured.
NAMES = ("initlab", "PyTorch loop, tensors", "JAX")
_MIB = 2**20


def peak() -> int:
    """The most memory that this process has held, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux hands getrusage's value on to a started program: it would be the starter's.
        return 1024 * int(re.search(r"VmHWM:\s*(\d+)", status.read_text())[1])  # type: ignore[index]
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def memory() -> list[dict[str, Any]]:
    """Rows (peer, peak in MiB) of everyone who is installed."""
    rows = []
    for peer in _everyone():
        child = [sys.executable, "-m", "benchmarks.memory", peer.name]
        answer = subprocess.run(child, capture_output=True, text=True, check=True)
        rows.append(json.loads(answer.stdout.splitlines()[-1]))
    return rows


def _everyone() -> list[Peer]:
    known: list[Peer] = [Ours(), *peers()[0]]
    return [peer for peer in known if peer.name in NAMES and "a" in peer.letters]


if __name__ == "__main__":
    [wanted] = [peer for peer in _everyone() if peer.name == sys.argv[1]]
    wanted.prepare(CASES["a"])()
    print(json.dumps({"peer": wanted.name, "mib": round(peak() / _MIB)}))
