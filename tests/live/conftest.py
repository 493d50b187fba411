"""The exported graphs, run by the native onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from initlab.live import network, steps
from initlab.live.export import current, export

BUILT = Path(__file__).parents[2] / "book" / "_static" / "live" / "graphs"


class Graphs:
    """The graphs of a folder, called by name with tensors by position."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = json.loads((folder / "manifest.json").read_text())
        self.session = lru_cache(maxsize=None)(self._session)

    def _session(self, name: str):
        runtime = pytest.importorskip("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        path = self.folder / self.manifest["graphs"][name]["file"]
        return runtime.InferenceSession(str(path), options)

    def __call__(self, name: str, *given: Tensor) -> list[Tensor]:
        session = self.session(name)
        inputs = session.get_inputs()
        assert len(inputs) == len(given), f"{name} takes {[i.name for i in inputs]}"
        named = {i.name: t.numpy() for i, t in zip(inputs, given, strict=True)}
        return [torch.from_numpy(a) for a in session.run(None, named)]

    def step(self, optimizer: str, kind: str, state: Sequence[Tensor], *more: Tensor):
        """New state and what was told, of one step; `more` are x, y and the numbers."""
        x, y, *numbers = more
        out = self(f"{optimizer}_{kind}", *state, x.unsqueeze(0), y.unsqueeze(0), *numbers)
        return out[:-4], [t.squeeze(0) for t in out[-4:]]


@pytest.fixture(scope="session")
def graphs(tmp_path_factory) -> Graphs:
    """As `make` built them, if they are those of the sources, else made for the tests."""
    if current(BUILT):
        return Graphs(BUILT)
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("graphs")
    export(folder)
    return Graphs(folder)


def blank(optimizer: str, params: Sequence[Tensor]) -> list[Tensor]:
    """The state of an optimizer before its first step."""
    buffers = [torch.zeros_like(p) for _ in range(steps.STATES[optimizer]) for p in params]
    return buffers if optimizer == "sgd" else [*buffers, torch.zeros(params[0].shape[0])]


def eager(optimizer: str, phi: str, norm: bool, state: Sequence[Tensor], x, y, *numbers: Tensor):
    """The same as `Graphs.step`, by PyTorch."""
    params, rest = state[:6], state[6:]
    *grads, loss, accuracy, lengths, slopes = network.gradients(params, x, y, phi, norm)
    if optimizer == "sgd":
        new = steps.sgd(params, rest, grads, *numbers)
    else:
        lr, beta1, beta2, eps, decay = numbers
        shared = (lr, decay, beta1, beta2, eps)
        three = params, rest[:6], rest[6:12], rest[12]
        new = steps.adam(*three, grads, *shared, decoupled=optimizer == "adamw")
    return list(new), [loss, accuracy, lengths, slopes]
