"""The package as others have it: the wheel in a new environment, at the versions it asks for.

`make fresh` takes the newest version of every dependency, `make lowest` the lowest one that
pyproject.toml allows (`VERSIONS=lowest`). pytest collects this file only where it is named: it
downloads gigabytes, and takes some minutes. What runs it has pytest and papermill and neither torch
nor this package; the new environment has the Python that runs it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = sorted((ROOT / "book").glob("*.ipynb"))
#: With what they are small.
SMALL = dict.fromkeys(NOTEBOOKS, ("-p", "preset", "smoke", "-p", "recorded", "False"))
SMALL |= dict.fromkeys(PAGES, ("-p", "seeds", "40"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
VERSIONS = os.environ.get("VERSIONS", "newest")
#: Tests that need neither the checkout nor an extra other than `data`.
SUITE = (
    *("init", "measure", "models", "reinit", "train", "sweep", "test_augment.py"),
    *("test_data.py", "test_noise.py", "test_parameters.py", "test_plot.py", "test_precision.py"),
    *("test_spec.py", "test_store.py"),
)
KERNEL = "new"


def lowest(requirements: list[str]) -> list[str]:
    """Each requirement at the lowest version that it allows.

    >>> lowest(["torch>=2.4", "click>=8.1"])
    ['torch==2.4', 'click==8.1']
    """
    return [text.replace(">=", "==") for text in requirements]


def bare() -> dict[str, str]:
    """The variables of this process without what leads to a checkout or to a user's results."""
    ours = ("PYTHON", "INITLAB", "PIP_CONSTRAINT")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def call(*command: object, **options) -> str:
    """What a program prints; the test fails with all of it where the program does."""
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout


@dataclass(frozen=True)
class Environment:
    """A virtual environment: its folder, the wheel for it, and the constraints on its versions."""

    folder: Path
    wheel: Path
    constraints: Path

    @property
    def variables(self) -> dict[str, str]:
        """Those of the programs that run in it: nothing stored, nothing cached, its own kernel."""
        return bare() | {
            "JUPYTER_PATH": str(self.folder / "jupyter"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }

    def python(self, *arguments: object, **options) -> str:
        """What its Python prints."""
        options.setdefault("env", self.variables)
        return call(self.folder / "bin" / "python", *arguments, **options)

    def install(self, *arguments: object) -> None:
        """Let pip install something, within the constraints."""
        self.python("-m", "pip", "install", "--quiet", "-c", self.constraints, *arguments)

    def versions(self) -> dict[str, str]:
        """What is installed."""
        listed = json.loads(self.python("-m", "pip", "list", "--format", "json"))
        return {entry["name"].lower(): entry["version"] for entry in listed}


def tracked() -> list[str]:
    """Files of the checkout that git tracks."""
    listed = call("git", "ls-files", "-z", cwd=ROOT).split("\0")
    return [name for name in listed if name and (ROOT / name).is_file()]


def wheel(folder: Path) -> Path:
    """The wheel of what git tracks: a file that only lies in the checkout is missing from it."""
    source = folder / "source"
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps")
    call(*pip, "--wheel-dir", folder, source, env=bare())
    [made] = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def environment() -> Iterator[Environment]:
    """torch and a kernel, as in Colab or JupyterLab, and nothing of this package yet."""
    (ROOT / ".fresh").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".fresh") as name:
        folder = Path(name)
        constraints = folder / "constraints.txt"
        pins = lowest(PROJECT["dependencies"]) if VERSIONS == "lowest" else []
        constraints.write_text("\n".join(pins))
        call(sys.executable, "-m", "venv", folder, env=bare())
        made = Environment(folder, wheel(folder), constraints)
        made.install("torch", "ipykernel")
        kernel = folder / "jupyter" / "kernels" / KERNEL
        kernel.mkdir(parents=True)
        start = [str(folder / "bin" / "python"), "-m", "ipykernel_launcher"]
        described = {"argv": [*start, "-f", "{connection_file}"], "display_name": KERNEL}
        (kernel / "kernel.json").write_text(json.dumps(described | {"language": "python"}))
        yield made


@pytest.fixture(scope="module")
def plain(environment) -> Environment:
    """The same with the plain wheel."""
    environment.install(environment.wheel)
    return environment


@pytest.fixture(scope="module")
def reading(plain) -> Environment:
    """The same with what reads real data sets, installed as the package says."""
    plain.python("-m", "pip", "install", "--quiet", *remedy(plain).split()[2:])
    return plain


def remedy(environment: Environment) -> str:
    """The command that installs a torchvision, as the package tells it."""
    says = "from initlab.files import torchvision_remedy; print(torchvision_remedy())"
    return environment.python("-c", says).strip()


# The tests follow one another as a user's steps do.


def test_the_wheel_holds_the_whole_package(environment):
    """All but the sources of the widget, which is in it as it is built."""
    package = {name for name in tracked() if name.startswith("initlab/")}
    wanted = {name for name in package if not name.startswith("initlab/live/front/")}
    assert "initlab/live/widget.js" in wanted
    assert wanted <= set(ZipFile(environment.wheel).namelist())


def test_installing_leaves_torch_as_it_is(environment):
    report = environment.folder / "report.json"
    environment.python(
        *("-m", "pip", "install", "--quiet", "--dry-run", "--report", report, environment.wheel)
    )
    named = [e["metadata"]["name"].lower() for e in json.loads(report.read_text())["install"]]
    assert "initlab" in named and "pandas" in named
    assert not [n for n in named if n.startswith(("torch", "nvidia", "triton"))]


def test_versions_are_those_that_are_asked_for(plain):
    found = plain.versions()
    for text in PROJECT["dependencies"]:
        name, _, least = text.partition(">=")
        if VERSIONS == "lowest":
            assert f"{found[name]}.".startswith(f"{least}.")
    assert not {"torchvision", "onnx", "papermill", "jupyter-book"} & set(found)
    print("\n", ", ".join(f"{name} {version}" for name, version in found.items()))
    where = Path(plain.python("-c", "import initlab; print(initlab.__file__)", cwd=plain.folder))
    assert where.is_relative_to(plain.folder)


@pytest.mark.parametrize("notebook", SMALL, ids=lambda p: p.stem)
def test_a_notebook_runs_alone_in_an_empty_folder(plain, notebook, tmp_path):
    shutil.copy(notebook, tmp_path)
    call(
        *(sys.executable, "-m", "papermill", notebook.name, "out.ipynb", "--no-progress-bar"),
        *("-k", KERNEL, *SMALL[notebook]),
        cwd=tmp_path,
        env=plain.variables | {"INITLAB_STORE": str(tmp_path / "store")},
    )
    computed = bool(list((tmp_path / "store").glob("*.parquet")))
    assert computed == (notebook in NOTEBOOKS), "a chapter computes, a page has its own store"
    cells = json.loads((tmp_path / "out.ipynb").read_text(encoding="utf8"))["cells"]
    assert not [o for c in cells for o in c.get("outputs", ()) if o.get("name") == "stderr"]
    [first] = [c for c in cells if "install" in c["metadata"].get("tags", ())]
    assert first["execution_count"] == 1 and not first["outputs"]


def test_commands_know_what_is_missing(plain):
    found = json.loads(plain.python("-m", "initlab", "doctor", "--json"))
    assert set(found["extras"].values()) == {None}
    assert [line for line in found["advice"] if line.endswith(remedy(plain))]
    assert json.loads(plain.python("-m", "initlab", "claims", "--json"))


def test_torchvision_comes_without_another_torch(reading):
    assert reading.versions()["torch"] == remedy(reading).partition("torch==")[2]
    reading.python("-c", "from initlab.files import torchvision_class; torchvision_class('mnist')")


def test_the_suite_passes(reading, tmp_path):
    reading.install("pytest", "pytest-xdist", "hypothesis", "mpmath")
    for name in ("tests", "notebooks"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("pyproject.toml", "book/references.bib", "CONTRIBUTING.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    selected = [f"tests/{name}" for name in SUITE]
    print(reading.python("-m", "pytest", "-n", "2", "--dist", "loadfile", *selected, cwd=tmp_path))


def test_the_first_cell_installs_what_is_missing(plain):
    """From this checkout's last commit, to which git is led in place of the published one."""
    plain.python("-m", "pip", "uninstall", "--quiet", "--yes", "initlab")
    before = plain.versions()
    assert "initlab" not in before
    [cell, *_] = [
        "".join(c["source"])
        for c in json.loads(NOTEBOOKS[0].read_text(encoding="utf8"))["cells"]
        if c["cell_type"] == "code"
    ]
    address = cell.partition("git+")[2].strip()
    led = {"GIT_CONFIG_KEY_0": f"url.{ROOT.as_uri()}.insteadOf", "GIT_CONFIG_VALUE_0": address}
    run = (
        "import sys; from IPython.core.interactiveshell import InteractiveShell as Shell\n"
        "Shell.instance().run_cell(sys.argv[1]).raise_error(); import initlab.claims"
    )
    plain.python(
        *("-c", run, cell),
        cwd=plain.folder,
        env=plain.variables | led | {"GIT_CONFIG_COUNT": "1"},
    )
    assert plain.versions() == before | {"initlab": PROJECT["version"]}
