"""Networks of a user's module whose step was recorded once, and runs without Python.

A step of a small module is a few hundred operators of some microseconds each, and Python between
them: threads that train networks side by side then wait for its lock. Recorded, the step of one
network is a program of torch's own operators, loss and gradients among them, which threads run at
the same time. Its products are oneDNN's where these are faster. Numbers differ by float32 rounding
only.

A program does at every step what the module did when it was recorded. So a module that changes its
own attributes in a step is refused here, as is one that looks at numbers to decide what to do.
"""

from __future__ import annotations

import operator
import random
import weakref
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from threading import Lock
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from initlab.models import Network
from initlab.models.products import has_onednn
from initlab.spec import key
from initlab.tensors import Inputs
from initlab.train.ensemble import Batch, channels_last
from initlab.train.functional import FunctionalEnsemble
from initlab.train.loss import LossFn
from initlab.tree import filled, leaves, row_of

#: Multiplications above which a product of oneDNN is the faster one.
LARGE = 2**18
_aten = torch.ops.aten
#: What a program is: the losses of one network on its tensors.
Program = Callable[..., Tensor]
#: What this process has recorded, and that one thread at a time does.
_PROGRAMS: dict[tuple[object, ...], Program] = {}
_RECORDING = Lock()


class TracedEnsemble(FunctionalEnsemble):
    """Networks that are computed one after the other, each by the recorded step of one."""

    model: Network

    def bound(self) -> None:
        """Make room for gradients, and lists of each network's tensors."""
        self.state["theta"] = [channels_last(t) for t in self.theta]
        self.grads = [torch.zeros_like(t) for t in self.theta]
        self.programs: dict[tuple[object, ...], Program] = {}
        stacked = (self.theta, self.state["rest"], self.grads)
        self.trees = [row_of(stacked, row) for row in range(self.count)]
        self.own = [list(leaves(tree)) for tree in self.trees]

    def gradients(self, batch: Batch, loss: LossFn) -> tuple[Tensor, list[Tensor]]:
        """See `Ensemble.gradients`; what it returns is overwritten by the next call."""
        self.skeleton.train()
        drawn = self._masks(batch)
        given = [
            (
                row_of(batch.x, row) if batch.own_x else batch.x,
                batch.y[row : row + 1] if batch.own_y else batch.targets,
                [t[row] for t in drawn],
            )
            for row in range(self.count)
        ]
        program = self._program(loss, given[0])
        losses = [program(*own, *leaves(g)) for own, g in zip(self.own, given, strict=True)]
        return torch.cat(losses), self.grads

    def _program(self, loss: LossFn, given: tuple[Any, ...]) -> Program:
        """The recorded step on inputs, targets and masks like those of one network."""
        like = (loss, *((t.shape, t.dtype) for t in leaves(given)))
        if like not in self.programs:
            of_these = tuple((t.shape, t.dtype) for t in self.own[0])
            name = (key(self.model), of_these, like)
            with _RECORDING:
                if name not in _PROGRAMS:
                    _PROGRAMS[name] = self._recorded(loss, (*self.trees[0], *given))
            self.programs[like] = _PROGRAMS[name]
        return self.programs[like]

    def _recorded(self, loss: LossFn, given: tuple[Any, ...]) -> Program:
        def step(*tensors: Tensor) -> Tensor:
            theta, rest, grads, x, y, drawn = filled(given, tensors)
            trained = [t.detach().requires_grad_() for t in theta]
            losses = loss(self._output(trained, rest, x, drawn).unsqueeze(0), y)
            found = torch.autograd.grad(
                losses.sum(), trained, allow_unused=True, materialize_grads=True
            )
            for grad, of in zip(grads, found, strict=True):
                grad.copy_(of)
            return losses.detach()

        before = _attributes(self.skeleton)
        traced = make_fx(step, decomposition_table=_products())(*(t.clone() for t in leaves(given)))
        if _attributes(self.skeleton) != before:
            raise ValueError(f"{self.model.label} changes its attributes, or draws, in a step")
        return compiled(traced)

    @torch.no_grad()
    def predict(self, x: Inputs, rows: Sequence[int] | None = None, own_x: bool = False) -> Tensor:
        """See `Ensemble.predict`."""
        self.skeleton.eval()
        outputs = []
        for row in range(self.count) if rows is None else rows:
            theta, rest, _ = self.trees[row]
            outputs.append(self._output(theta, rest, row_of(x, row) if own_x else x))
        return torch.stack(outputs)


def _attributes(module: nn.Module) -> list[object]:
    """What a module holds that is no tensor of its state, to see whether a step changes it, and
    where the generators of Python and numpy are.
    """
    held: list[object] = [random.getstate(), repr(np.random.get_state())]
    for part in module.modules():
        for name, value in vars(part).items():
            if name not in ("_parameters", "_buffers", "_modules"):
                held.append((name, _held(value)))
    return held


def _held(value: object) -> object:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return [(str(name), _held(v)) for name, v in value.items()]
    if isinstance(value, list | tuple):  # recurrent networks keep lists of their weights
        return [None if isinstance(v, Tensor) else _held(v) for v in value]
    return type(value) if isinstance(value, weakref.ref) else id(value)


def compiled(traced: GraphModule) -> Program:
    """A recorded graph as a program.

    Args:
        traced: What `make_fx` gives.

    Raises:
        ValueError: If there is more in it than operators of torch.
    """
    names: dict[Node, str] = {}
    taken, held, lines = [], [], []
    for i, node in enumerate(traced.graph.nodes):
        names[node] = f"v{i}"
        if node.op == "placeholder":
            taken.append(names[node])
        elif node.op == "get_attr":
            taken.append(names[node])
            held.append(operator.attrgetter(node.target)(traced))
        elif node.op == "output":
            lines.append(f"return {_written(node.args[0], names)}")
        elif node.target is operator.getitem:
            lines.append(f"{names[node]} = {names[node.args[0]]}[{node.args[1]}]")
        elif node.target is _aten.detach.default:
            names[node] = names[node.args[0]]
        elif isinstance(node.target, torch._ops.OpOverload):
            space, _, operation = node.target._schema.name.partition("::")
            given = [_written(a, names) for a in node.args]
            given += [f"{name}={_written(a, names)}" for name, a in node.kwargs.items()]
            lines.append(f"{names[node]} = torch.ops.{space}.{operation}({', '.join(given)})")
        else:
            raise ValueError(f"{node.target} is no operator of torch")
    source = f"def step({', '.join(taken)}):\n    " + "\n    ".join(lines) + "\n"
    step = torch.jit.CompilationUnit(source).step
    return (lambda *tensors: step(*tensors, *held)) if held else cast(Program, step)


def _written(value: object, names: dict[Node, str]) -> str:
    """An argument of an operator as source."""
    if isinstance(value, Node):
        return names[value]
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_written(v, names) for v in value) + "]"
    if isinstance(value, torch.device):
        return f"torch.device('{value}')"
    if isinstance(value, float) and not isfinite(value):
        return f"float('{value}')"
    return repr(value)


def _products() -> dict[Any, Callable[..., Tensor]]:
    """Products by oneDNN, where there is one."""
    return {_aten.mm.default: _mm, _aten.addmm.default: _addmm} if has_onednn() else {}


def _mm(a: Tensor, b: Tensor) -> Tensor:
    """a b: (m, k), (k, n) → (m, n)."""
    if not _large(a, b):
        return NotImplemented
    # The first factor is made contiguous: the smaller one, where both have to be.
    if not a.is_contiguous() and not b.mT.is_contiguous() and b.numel() < a.numel():
        return _onednn(b.mT, a, None).mT
    return _onednn(a, b.mT, None)


def _addmm(c: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """c + a b: (n,), (m, k), (k, n) → (m, n)."""
    if not _large(a, b) or c.dim() != 1 or beta != 1 or alpha != 1:
        return NotImplemented
    return _onednn(a, b.mT, c)


def _large(a: Tensor, b: Tensor) -> bool:
    on_cpu = a.device.type == "cpu" and a.dtype == b.dtype == torch.float32
    return on_cpu and len(a) * b.numel() >= LARGE


def _onednn(x: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
    """x Wᵀ + b."""
    return torch.ops.mkldnn._linear_pointwise(x, W, b, "none", [], "")
