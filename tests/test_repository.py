"""The repository agrees with itself: pins, addresses, notebooks, workflows."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from initlab import claims
from tests.smoke import NOTEBOOKS, PAGES, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins() -> dict[str, Version]:
    found = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            [only] = requirement.specifier
            assert only.operator == "==", line
            found[canonicalize_name(requirement.name)] = Version(only.version)
    return found


def tracked() -> list[Path]:
    """Files that git tracks, or, outside a checkout, all but what is built."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> dict[str, str]:
    found = {}
    for path in tracked():
        try:
            found[str(path.relative_to(ROOT))] = path.read_text(encoding="utf8")
        except UnicodeDecodeError:
            continue
    return found


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"]
    every = [*PROJECT["dependencies"], *(r for group in extras.values() for r in group)]
    return [r for r in map(Requirement, every) if r.name != PROJECT["name"]]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_dependency_is_pinned_within_its_range(requirement):
    known = pins()
    name = canonicalize_name(requirement.name)
    assert name in known
    assert requirement.specifier.contains(known[name], prereleases=True)


def test_no_pin_refuses_a_python_that_the_package_allows():
    """A machine's Python is often the first of its line: Debian 12 has 3.11.2."""
    known = pins()
    lowest = PROJECT["requires-python"].removeprefix(">=") + ".0"
    asked = {
        canonicalize_name(d.name): d.metadata.get("Requires-Python")
        for d in distributions()
        if known.get(canonicalize_name(d.name)) == Version(d.version)
    }
    assert len(asked) > len(known) / 2, "this environment is not the pinned one"
    wrong = {n: r for n, r in asked.items() if r and not SpecifierSet(r).contains(lowest)}
    assert not wrong


def test_torch_and_torchvision_are_a_pair():
    known = pins()
    assert (str(known["torch"]), str(known["torchvision"])) == ("2.14.1", "0.29.1")


def test_the_package_itself_is_loose():
    """Colab brings its own torch and numpy: the package asks for no exact version."""
    for text in PROJECT["dependencies"]:
        assert {s.operator for s in Requirement(text).specifier} <= {">="}, text


def test_environment_yml_reuses_and_duplicates_nothing():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    names = [d for d in listed if isinstance(d, str)]
    [pip] = [d["pip"] for d in listed if isinstance(d, dict)]
    assert sorted(re.split("[=<>]", n)[0] for n in names) == ["pip", "python"]
    assert pip == ["-c constraints.txt", "-e .[book]"]
    [python] = [n for n in names if n.startswith("python=")]
    lowest = PROJECT["requires-python"].removeprefix(">=")
    assert Version(python.removeprefix("python=")) >= Version(lowest)


LAYOUT = """
README.md LICENSE LICENSE-prose CITATION.cff CONTRIBUTING.md CHANGELOG.md Makefile pyproject.toml
constraints.txt environment.yml _config.yml _toc.yml package.json .ci/run .pre-commit-config.yaml
book notebooks initlab benchmarks tests
"""


def test_layout():
    for name in LAYOUT.split():
        assert (ROOT / name).exists(), name


def test_no_file_names_a_place_on_some_machine():
    place = re.compile(r"(?<![\w.\-/])/(?:wo" + r"rk|ro" + r"ot|ho" + r"me|tm" + r"p|Users)/\w")
    wrong = {file: m[0] for file, text in texts().items() if (m := place.search(text))}
    assert not wrong


EXECUTED = [*NOTEBOOKS, *PAGES]


@pytest.mark.parametrize("path", EXECUTED, ids=lambda p: p.stem)
def test_notebooks_are_sources_that_install_and_take_parameters_first(path):
    code = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    assert not [c for c in code if c["outputs"] or c["execution_count"] is not None]
    assert code[0]["metadata"]["tags"] == ["install", "hide-input"]
    assert code[1]["metadata"]["tags"][0] == "parameters"
    for name in () if path in PAGES else ("preset", "device", "seed", "engine", "recorded"):
        assert re.search(rf"^{name} = ", "".join(code[1]["source"]), re.M)
    listed = yaml.safe_load((ROOT / "_toc.yml").read_text())
    assert f'"{path.relative_to(ROOT).with_suffix("")}"' in json.dumps(listed)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_readme_counts_the_published_verdicts(path):
    study = path.stem.partition("-")[2]
    found = claims.counts([c for c in claims.published() if c["study"] == study])
    assert sum(found.values()) > 0 and not found.pop(claims.UNTESTED)
    counts = ", ".join(f"{n} {name}" for name, n in found.items())
    lines = (ROOT / "README.md").read_text().splitlines()
    [row] = [line for line in lines if line.startswith("|") and path.name in line]
    assert row.endswith(f"| {counts} |")


@pytest.mark.parametrize("path", EXECUTED, ids=lambda p: p.stem)
def test_cells_can_be_read(path):
    """No cell above forty lines, and none hidden behind the first figure, which is to be seen at
    once; in front of it nothing is defined out of sight.
    """
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    lengths = [len("".join(c["source"]).splitlines()) for c in cells]
    assert max(lengths) <= 40
    tags = [set(c["metadata"].get("tags", ())) for c in cells]
    hidden = [k for k, own in enumerate(tags) if {"hide-input", "hide-cell"} & own]
    hidden = [k for k in hidden if "install" not in tags[k]]
    shown = [k for k, c in enumerate(cells) if "plot.show(" in "".join(c["source"])]
    assert max(hidden, default=-1) <= shown[0]
    for cell in (cells[k] for k in hidden):
        tree = ast.parse("".join(cell["source"]))
        kinds = {type(node) for node in tree.body}
        assert kinds <= {ast.Import, ast.ImportFrom, ast.Expr, ast.Assign}


@pytest.mark.parametrize("path", EXECUTED, ids=lambda p: p.stem)
def test_papermill_understands_every_parameter(path):
    """A comment that papermill cannot parse hides the parameter from it."""
    import papermill

    cells = json.loads(path.read_text())["cells"]
    [cell] = [c for c in cells if "parameters" in c["metadata"].get("tags", ())]
    assigned = set(re.findall(r"^(\w+) = ", "".join(cell["source"]), re.M))
    assert set(papermill.inspect_notebook(str(path))) == assigned


#: Jobs that run on several versions of Python.
MATRICES = ("fresh", "lowest")


def test_workflows_have_no_logic_of_their_own():
    targets = re.findall(r"^(\w+):.*##|^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    known = {a or b for a, b in targets}
    files = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert [f.stem for f in files] == ["ci", "nightly", "pages"]
    for file in files:
        for job in yaml.safe_load(file.read_text())["jobs"].values():
            for step in job["steps"]:
                if "run" in step:
                    make, target = step["run"].split()
                    assert make == "make"
                    assert target in known


def test_every_python_that_is_promised_is_tried():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text())["jobs"]
    tried = {name: jobs[name]["strategy"]["matrix"]["python-version"] for name in MATRICES}
    version = re.compile(r"Programming Language :: Python :: (3\.\d+)")
    assert tried["fresh"] == [m[1] for m in map(version.fullmatch, PROJECT["classifiers"]) if m]
    assert tried["lowest"][0] == tried["fresh"][0] == PROJECT["requires-python"].removeprefix(">=")


def test_ci_runs_the_readmes_test_command_without_data_and_then_what_needs_them():
    assert "make test" in (ROOT / "README.md").read_text()
    script = (ROOT / ".ci" / "run").read_text()
    assert "set -euo pipefail" in script
    assert "\nINITLAB_DATA='' make test\n" in script
    assert "INITLAB_DATA=$data .venv/bin/python -m pytest -m data\n" in script


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]


def test_the_suite_for_other_environments_names_what_there_is():
    from tests.fresh import SUITE

    assert [name for name in SUITE if not (ROOT / "tests" / name).exists()] == []
