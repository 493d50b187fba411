"""What must be true of the book's sources before anything is built."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_the_repository_address_stands_in_one_place():
    """Notebooks repeat it, for they are opened alone; tests/test_first_cell.py compares it."""
    owner_and_name = CONFIG["repository"]["url"].split("://")[1].split("/", 1)[1].encode()
    naming = [
        p.relative_to(ROOT).as_posix() for p in _tracked() if owner_and_name in p.read_bytes()
    ]
    assert [name for name in naming if not name.endswith(".ipynb")] == ["_config.yml"]


def test_no_root_static_folder():
    """Jupyter Book would load every script below it on every page."""
    assert not (ROOT / "_static").exists()


def test_browser_packages_are_pinned_and_the_lock_names_no_address():
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    lock = json.loads((ROOT / "package-lock.json").read_text())
    assert lock["lockfileVersion"] == 3
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
    for name, version in wanted.items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version


def test_the_front_page_example_runs(tmp_path):
    """The five lines for a researcher do what they say, as they stand on the page."""
    page = (ROOT / "book" / "index.md").read_text(encoding="utf8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    program = code + "\nassert len(frame) and frame.value.notna().all(), frame\n"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"INITLAB_STORE": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
