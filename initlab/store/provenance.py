"""Where results come from, and where they are kept unless told otherwise."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from initlab import folders

PACKAGE = Path(__file__).parent.parent
#: Results that ship inside the package.
RECORDED = PACKAGE / "recorded"


def default_folder() -> Path:
    """`INITLAB_STORE`, or `store` in the platform's cache folder."""
    return folders.named("INITLAB_STORE", "store")


@lru_cache
def provenance() -> dict[str, str]:
    """Commit, versions and machine of this process, as stored with every row."""
    git = ["git", "-C", str(PACKAGE), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        answer = subprocess.run(git, capture_output=True, text=True, timeout=10, check=False)
        commit = answer.stdout.strip() or "unknown"
    except (OSError, subprocess.TimeoutExpired):
        commit = "unknown"
    versions = {"python": platform.python_version()}
    for package in ("initlab", "torch", "numpy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "unknown"
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return {"commit": commit, "versions": json.dumps(versions), "machine": machine}
