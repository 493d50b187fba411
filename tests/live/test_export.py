"""The folder of graphs: whole, described by its manifest, and made anew only when it must be."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest

from initlab.live import export, initializers, network, steps
from initlab.live.export import current


def test_every_graph_of_the_contract_is_there(graphs):
    kinds = [*network.ACTIVATIONS, "relu_bn"]
    wanted = {f"{name}_{kind}" for name in (*steps.STATES, "evaluate") for kind in kinds}
    wanted |= {f"init_{rule}" for rule in initializers.NAMES} | {"mix", "displacement"}
    assert set(graphs.manifest["graphs"]) == wanted
    for name in (*graphs.manifest["graphs"].values(), *graphs.manifest["data"].values()):
        content = (graphs.folder / name["file"]).read_bytes()
        assert name["bytes"] == len(content)
        assert name["sha256"] == hashlib.sha256(content).hexdigest()


def test_the_manifest_names_inputs_in_order(graphs):
    six = list(network.NAMES)
    entry = graphs.manifest["graphs"]["adamw_relu"]
    states = [f"{s}_{p}" for s in "mv" for p in six]
    tail = ["t", "x", "y", "lr", "beta1", "beta2", "eps", "weight_decay"]
    assert entry["inputs"] == [*six, *states, *tail]
    assert entry["outputs"][-5:] == ["new_t", "loss", "accuracy", "act_rms", "grad_rms"]
    entry = graphs.manifest["graphs"]["sgd_relu_bn"]
    velocities = [f"m_{p}" for p in six]
    assert entry["inputs"] == [*six, *velocities, "x", "y", "lr", "momentum", "weight_decay"]
    for name, entry in graphs.manifest["graphs"].items():
        session = graphs.session(name)
        assert [i.name for i in session.get_inputs()] == entry["inputs"], "nothing was dropped"
        assert [o.name for o in session.get_outputs()] == entry["outputs"]


def test_the_manifest_says_by_what_it_was_made(graphs):
    assert graphs.manifest["versions"] == export.versions()
    assert graphs.manifest["fingerprint"] == export.fingerprint()
    assert set(graphs.manifest["gains"]) == set(graphs.manifest["rules"]) == set(initializers.NAMES)


def test_graphs_are_small(graphs):
    files = {e["file"]: e["bytes"] for e in graphs.manifest["graphs"].values()}
    assert max(files.values()) < 60_000
    assert sum(files.values()) < 1_000_000


def test_what_is_current_is_left_alone(graphs, tmp_path, monkeypatch):
    folder = tmp_path / "graphs"
    shutil.copytree(graphs.folder, folder)
    assert current(folder)

    def never(folder):
        raise AssertionError("it was exported again")

    monkeypatch.setattr(export, "export", never)
    export.main([str(folder)])
    monkeypatch.setattr(export, "MADE_BY", ("torch",))
    assert not current(folder), "other versions"
    monkeypatch.undo()
    (folder / "mix.onnx").write_bytes(b"cut")
    assert not current(folder), "a broken file"
    (folder / "mix.onnx").unlink()
    assert not current(folder), "a missing file"
    (folder / "manifest.json").write_text(json.dumps({"graphs": {}, "data": {}}))
    assert not current(folder), "no fingerprint"


def test_every_source_is_found():
    for pattern in export.SOURCES:
        assert list(export.PACKAGE.glob(pattern)), pattern


def test_one_folder_must_be_named():
    with pytest.raises(SystemExit, match="usage"):
        export.main([])
