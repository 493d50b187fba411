"""A module imports only from lines above its own; what only reads results does without torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "initlab"
#: Layers of the package, lowest first. Modules of one line may use each other.
LAYERS = [
    [
        "spec",
        "folders",
        "files",
        "packaged",
        "generator",
        "imported",
        "tensors",
        "tree",
        "pictures",
        "data",
        "augment",
        "noise",
        "threads",
        "devices",
        "precision",
    ],
    ["models"],
    ["init"],
    ["reinit"],
    ["train"],
    ["measure"],
    ["store", "cluster"],
    ["sweep"],
    ["verify", "parameters", "claims", "plot", "progress", "ticks", "execution"],
    ["studies", "live", "notebook"],
    ["batch", "doctor"],
    ["cli"],
    ["__main__"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
#: Stricter than the order of layers.
NEVER = {
    "measure": {"train"},
    "store": {"data", "models", "init", "train", "measure"},
    "cluster": {"data", "models", "init", "train", "measure", "store"},
}
TORCHLESS = ["store", "claims", "plot", "parameters", "notebook", "batch", "doctor", "cli"]


def modules() -> dict[str, list[Path]]:
    """Top-level module → its files."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        top = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        found.setdefault(top, []).append(path)
    found.pop("__init__")
    return found


def imported(path: Path) -> set[str]:
    """Top-level modules of the package that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            names = [node.module or ""]
            if node.module == "initlab":
                names = [f"initlab.{a.name}" for a in node.names]
        else:
            continue
        found |= {n.split(".")[1] for n in names if n.startswith("initlab.")}
    return found


def test_every_module_has_a_layer():
    assert set(modules()) == set(LEVEL)


@pytest.mark.parametrize("name", LEVEL)
def test_imports_point_down(name):
    for path in modules()[name]:
        used = imported(path) - {name}
        wrong = {u for u in used if LEVEL[u] > LEVEL[name] or u in NEVER.get(name, set())}
        assert not wrong, f"{path.name} imports {wrong}"


#: What makes graphs, serves the book or is papermill's may need an extra from its first line.
WITH_EXTRAS = {"initlab.live." + name for name in ("trace", "onnx_merge", "graphs", "server")}
WITH_EXTRAS.add("initlab.execution")
EXTRAS = ("torchvision", "onnx", "onnxscript", "papermill", "yaml", "jupyter_server", "ray", "jax")


def test_modules_import_without_the_extras():
    names = []
    for path in sorted(PACKAGE.rglob("*.py")):
        dotted = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        names.append(dotted.removesuffix(".__init__"))
    wanted = [n for n in names if n not in WITH_EXTRAS and not n.endswith("__main__")]
    assert len(wanted) + len(WITH_EXTRAS) + 1 == len(names)
    code = (
        "import sys; from importlib import import_module\n"
        f"sys.modules.update(dict.fromkeys({EXTRAS}))\n"
        f"for name in {wanted}: import_module(name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_layer_test_can_fail(tmp_path):
    file = tmp_path / "x.py"
    file.write_text(
        "from initlab import train\nfrom initlab.measure.signal import second_moments\n"
    )
    assert imported(file) == {"train", "measure"}


@pytest.mark.parametrize("name", TORCHLESS)
def test_reading_results_needs_no_torch(name):
    code = f"import sys, initlab.{name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_package_is_at_hand_without_anything():
    """Not even its version, which half of what an import takes goes into."""
    code = (
        "import sys; before = set(sys.modules); import initlab;"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(*sorted(new - sys.stdlib_module_names), 'importlib.metadata' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["initlab", "False"]


def test_a_run_is_at_hand_without_what_only_some_need():
    slow = ["matplotlib", "ray", "sklearn", "torchvision", "torch._dynamo"]
    slow += [f"scipy.{name}" for name in ("integrate", "ndimage", "optimize", "special", "stats")]
    code = f"import sys; from initlab import Run; print(*[m for m in {slow} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []


def test_every_public_name_is_there():
    import initlab

    for name in initlab.__all__:
        assert getattr(initlab, name) is not None
    assert set(initlab.__all__) <= set(dir(initlab))
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = initlab.Nonsense
