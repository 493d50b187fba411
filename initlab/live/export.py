"""The folder of graphs and data that a page fetches: `python -m initlab.live.export FOLDER`.

Made anew only when something that it is made of has changed. `manifest.json` says what there is.
"""

from __future__ import annotations

import gc
import hashlib
import json
import multiprocessing
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent.parent
#: Sources that the graphs and the data are made of.
SOURCES = (
    *("spec.py", "data.py", "noise.py", "init/*.py", "models/*.py", "train/loss/*.py"),
    *("train/optim/*.py", "reinit/*.py", "packaged/fashion_mnist.npz"),
    *(f"live/{name}.py" for name in ("prng", "initializers", "network", "steps", "samples")),
    *(f"live/{name}.py" for name in ("trace", "onnx_merge", "graphs", "export")),
)
#: Packages whose version may change a graph.
MADE_BY = ("torch", "onnx", "onnxscript", "numpy", "scikit-learn")


def fingerprint() -> str:
    """A hash of all sources and versions."""
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(PACKAGE.glob(pattern)):
            digest.update(path.relative_to(PACKAGE).as_posix().encode())
            digest.update(path.read_bytes())
    digest.update(json.dumps(versions(MADE_BY)).encode())
    return digest.hexdigest()


def versions(packages: Iterable[str] = MADE_BY) -> dict[str, str]:
    """Versions of the packages that the graphs are made by, or of those that are named."""
    return {name: version(name).split("+")[0] for name in packages}


def current(folder: Path) -> bool:
    """Whether the folder holds all files of a manifest, made of what there is now."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        entries = (*manifest["graphs"].values(), *manifest["data"].values())
        whole = all(_hash((folder / e["file"]).read_bytes()) == e["sha256"] for e in entries)
    except (OSError, ValueError, KeyError):
        return False
    return whole and manifest.get("fingerprint") == fingerprint()


def export(folder: Path) -> None:
    """Write graphs, data and manifest; the manifest last, so that it never names what is not there.

    Raises `ModuleNotFoundError` without onnx and onnxscript, which `initlab[book]` brings.
    """
    from initlab.live import graphs, initializers, network, samples, steps

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").unlink(missing_ok=True)
    made = {
        name: {
            **_write(folder, f"{name}.onnx", model.SerializeToString()),
            "inputs": [v.name for v in model.graph.input],
            "outputs": [v.name for v in model.graph.output],
        }
        for name, model in graphs.assembled(_parts())
    }
    # A rule that is a multiple of another one shares its graph.
    rules = {
        f"init_{name}": made[f"init_{initializers.drawn(name)}"] for name in initializers.NAMES
    }
    manifest = {
        "graphs": made | rules,
        **described(),
        "optimizers": list(steps.STATES),
        "data": {name: _data(folder, name) for name in samples.SETS},
        "versions": versions(),
        "commit": _commit(),
        "fingerprint": fingerprint(),
    }
    assert set(manifest["activations"]) == set(network.ACTIVATIONS)
    wanted = {e["file"] for part in ("graphs", "data") for e in manifest[part].values()}
    for path in folder.glob("*.onnx"):
        if path.name not in wanted:
            path.unlink()
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def _parts() -> dict[str, Any]:
    """All parts of the graphs. Tracing is slow and on one core, so two of them do it."""
    from initlab.live import graphs

    # Not forked: this process has threads of torch's. Tracing makes millions of objects that stay,
    # which the collector need not look through again and again.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        2, context, initializer=gc.set_threshold, initargs=(100_000, 50)
    ) as pool:
        return dict(zip(graphs.PARTS, pool.map(graphs.part, graphs.PARTS), strict=True))


def described() -> dict[str, Any]:
    """What the manifest says of activations and rules: their names, labels and gains."""
    from initlab.init import RULES
    from initlab.live import initializers, network

    return {
        "activations": list(network.ACTIVATIONS),
        "rules": {name: RULES[name].label for name in initializers.NAMES},
        "gains": {
            name: {phi: initializers.factor(name, phi) for phi in network.ACTIVATIONS}
            for name in initializers.NAMES
        },
    }


def _data(folder: Path, name: str) -> dict[str, Any]:
    from initlab.live.samples import samples

    found = samples(name)
    mean, std = found.scaling()
    return {
        **_write(folder, f"{name}.bin.gz", found.packed()),
        "inputs": found.images.shape[1],
        "train": found.train,
        "test": found.test,
        "mean": mean,
        "std": std,
    }


def _write(folder: Path, name: str, content: bytes) -> dict[str, Any]:
    (folder / name).write_bytes(content)
    return {"file": name, "bytes": len(content), "sha256": _hash(content)}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _commit() -> str:
    """The commit of the sources, "" outside a checkout."""
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=PACKAGE, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()


def main(arguments: Iterable[str]) -> None:
    """Bring the folder that is given up to date."""
    places = list(arguments)
    if len(places) != 1:
        sys.exit("usage: python -m initlab.live.export FOLDER")
    folder = Path(places[0])
    if current(folder):
        print(f"{folder} is up to date")
        return
    try:
        export(folder)
    except ModuleNotFoundError as error:
        sys.exit(f"{error}; pip install 'initlab[book]' brings what makes the graphs")
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {e["file"]: e["bytes"] for e in manifest["graphs"].values()}
    print(f"{folder}: {len(files)} graphs, {sum(files.values()) / 1e3:.0f} KB")


if __name__ == "__main__":
    main(sys.argv[1:])
