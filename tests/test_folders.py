"""Folders of the user's are found, without a home too, and nobody else's are taken for them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import platformdirs
import pytest

from initlab import files, folders
from initlab.store import default_folder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="users have numbers on POSIX")
NAMED = {"INITLAB_STORE": default_folder, "INITLAB_DATA": files.root}


@pytest.fixture
def no_home(tmp_path, monkeypatch) -> Path:
    """Nothing says where this user's home is; the folder that takes the cache's place."""

    def unknown(name):
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(platformdirs, "user_cache_dir", unknown)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    for variable in NAMED:
        monkeypatch.delenv(variable, raising=False)
    return tmp_path / f"initlab-{os.getuid()}"


@pytest.mark.parametrize("variable", NAMED)
def test_a_tilde_is_the_home(variable, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(variable, "~/results")
    assert NAMED[variable]() == tmp_path / "results"


@pytest.mark.parametrize("variable", NAMED)
def test_a_tilde_without_a_home_is_told(variable, monkeypatch):
    monkeypatch.setenv(variable, "~nobody-of-this-name/results")
    with pytest.raises(FileNotFoundError, match=f"{variable} begins with ~, but this user has no"):
        NAMED[variable]()


@pytest.mark.parametrize("variable", NAMED)
def test_without_a_home_there_is_a_folder_of_ones_own(variable, no_home):
    found = NAMED[variable]()
    assert found.parent == no_home and folders.is_temporary(found)
    assert no_home.stat().st_mode & 0o777 == 0o700
    assert NAMED[variable]() == found


def test_older_versions_leave_the_tilde(no_home, monkeypatch):
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: f"~/.cache/{name}")
    assert folders.cache() == no_home


@pytest.mark.parametrize("how", ["writable", "link"])
def test_a_folder_that_others_have_laid_there_is_refused(no_home, how):
    if how == "writable":
        no_home.mkdir()
        no_home.chmod(0o777)
    else:
        (no_home.parent / "theirs").mkdir()
        no_home.symlink_to(no_home.parent / "theirs")
    with pytest.raises(PermissionError, match="not this user's alone; name folders with"):
        folders.cache()


#: A user whom the system does not know.
UNKNOWN = """
import pwd
def unknown(number):
    raise KeyError(number)
pwd.getpwuid = unknown
"""


def without_a_home(code: str, place: Path) -> subprocess.CompletedProcess:
    """Run Python as a user without a home, whose temporary files lie in `place`."""
    keep = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME", *NAMED)}
    return subprocess.run(
        [sys.executable, "-c", UNKNOWN + code],
        env=keep | {"TMPDIR": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", [["data", "list"], ["store", "list"], ["doctor"]])
def test_commands_work_for_who_has_no_home(words, tmp_path):
    done = without_a_home(
        f"import sys\nfrom initlab.cli import main\nsys.exit(main({words}))", tmp_path
    )
    place = f"{tmp_path}/initlab-{os.getuid()}"
    if words == ["store", "list"]:
        assert f"initlab: there are no results in {place}/store; " in done.stderr
        assert done.returncode == 1
    else:
        assert (done.returncode, done.stderr) == (0, "")
        assert f"{place}/data" in done.stdout
    if words == ["doctor"]:
        assert f"this user has no home: results lie among the temporary files, in {place}" in (
            done.stdout
        )


SWEEP = """
from initlab import MLP, Budget, Data, Run, Store, init, run
one = Run(MLP((8,), inputs=64), init.HeNormal(), data=Data("digits"), budget=Budget(epochs=1))
run([one], recorded=False, workers=1)
print(Store().folder, len(Store().keys()))
"""


def test_who_has_no_home_trains_and_stores(tmp_path):
    done = without_a_home(SWEEP, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [f"{tmp_path}/initlab-{os.getuid()}/store", "1"]


OWN_SWEEP = """
import torch
from initlab import Budget, Network, Run, Store, Tensors, run
from initlab.init import AsBuilt
data = Tensors(train=(torch.randn(40, 5), torch.arange(40) % 3))
one = Run(
    Network("torch.nn:Linear", in_features=5, out_features=3),
    AsBuilt(), data=data, budget=Budget(epochs=1, batch_size=8),
)
run([one], recorded=False, workers=1)
print(len(Store().keys()))
"""


def test_who_has_no_home_trains_networks_of_their_own(tmp_path):
    done = without_a_home(OWN_SWEEP, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1"]
    assert list((tmp_path / f"initlab-{os.getuid()}" / "forms").iterdir())
