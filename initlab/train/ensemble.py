"""How the gradients of many networks are computed, whose parameters are stacked along a first axis.

`StackedEnsemble`: a model of this package computes all networks in one graph. `ModuleEnsemble`: one
module for each network, its parameters and buffers rows of the stacked tensors, for networks that
gain nothing from being computed together. One optimizer step moves all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from initlab.generator import drawing_from
from initlab.models import AnyModel, Model, Network, Params, call
from initlab.reinit.normalize import NAME as NORMALIZED
from initlab.reinit.normalize import restore
from initlab.spec import seed_of
from initlab.tensors import Inputs
from initlab.train.dropout import Drawn, seeded
from initlab.train.loss import LossFn
from initlab.tree import Each, Stateful, apply, first, row_of

#: Examples that are evaluated at once.
EVALUATED = 2048
#: Networks that a CUDA device computes at the same time, where they are modules of their own.
STREAMS = 8


@dataclass(frozen=True)
class Batch:
    """Inputs and targets of a step, for all networks alike or with a first axis of networks."""

    x: Inputs
    y: Tensor
    own_x: bool = False
    own_y: bool = False

    @property
    def targets(self) -> Tensor:
        """Targets with a first axis, of one entry where all networks share them."""
        return self.y if self.own_y else self.y.unsqueeze(0)


class Ensemble(Stateful):
    """R networks. The state holds `theta`, the trained parameters in the order of `names`, and
    `rest`, their other tensors by name: buffers and frozen parameters. All are (R, *shape).
    """

    def __init__(self, model: AnyModel, params: Params) -> None:
        """Copies of `params`, (R, *shape) each."""
        self.model = model
        self.names = list(params)
        theta = [p.detach().clone(memory_format=torch.contiguous_format) for p in params.values()]
        self.state = {"theta": theta, "rest": {}}
        self.bound()

    @property
    def theta(self) -> list[Tensor]:
        """The trained parameters, (R, *shape) each."""
        theta: list[Tensor] = self.state["theta"]
        return theta

    @property
    def count(self) -> int:
        """R."""
        return len(self.theta[0])

    def params(self) -> dict[str, Tensor]:
        """All tensors that training changes, and frozen parameters, by name, (R, *shape)."""
        return dict(zip(self.names, self.theta, strict=True)) | self.state["rest"]

    def copy(self) -> Ensemble:
        """The networks as they are, apart from what becomes of these."""
        return type(self)(self.model, apply(Tensor.clone, self.params()))

    def gradients(self, batch: Batch, loss: LossFn) -> tuple[Tensor, list[Tensor]]:
        """Losses (R,) on one batch, and the gradient of each trained parameter."""
        raise NotImplementedError

    def predict(self, x: Inputs, rows: Sequence[int] | None = None, own_x: bool = False) -> Tensor:
        """Outputs (R, B, …) in evaluation mode, of the networks in `rows`, or of all; with `own_x`
        each of all has inputs of its own.
        """
        raise NotImplementedError

    def module(self, row: int) -> nn.Module:
        """One network as a module, only to be read."""
        raise NotImplementedError


class StackedEnsemble(Ensemble):
    """Networks computed as one."""

    model: Model

    def gradients(self, batch: Batch, loss: LossFn) -> tuple[Tensor, list[Tensor]]:
        """See `Ensemble.gradients`."""
        leaves = [t.detach().requires_grad_() for t in self.theta]
        outputs = self.model.forward(dict(zip(self.names, leaves, strict=True)), batch.x)
        losses = loss(outputs, batch.targets)
        return losses.detach(), list(torch.autograd.grad(losses.sum(), leaves))

    @torch.no_grad()
    def predict(self, x: Inputs, rows: Sequence[int] | None = None, own_x: bool = False) -> Tensor:
        """See `Ensemble.predict`."""
        params = self.params()
        if rows is not None:
            params = {name: t[list(rows)] for name, t in params.items()}
        return self.model.forward(params, x)

    def module(self, row: int) -> nn.Module:
        """See `Ensemble.module`."""
        return built(self.model, self.params(), row)


class ModuleEnsemble(Ensemble):
    """Networks computed one after the other."""

    def __init__(
        self,
        model: AnyModel,
        params: Params,
        noise: Sequence[int] | None = None,
        draws: bool = True,
    ) -> None:
        """Copies of `params`; buffers that are not among them start as the module's own.

        Where `noise` is given, what network r draws itself comes from seed `noise[r]`: the masks of
        its `nn.Dropout` modules and, if it `draws` from PyTorch's global generator, these numbers.
        """
        self.model = model
        device = next(iter(params.values())).device
        modules = [model.build(device) for _ in next(iter(params.values()))]
        for row, module in enumerate(modules):
            restore(module, {name: t[row] for name, t in params.items()})
        like = modules[0]
        self.names = [name for name, p in like.named_parameters() if p.requires_grad]
        frozen = [name for name, p in like.named_parameters() if not p.requires_grad]
        rest = {name: params[name].detach().clone() for name in frozen}
        for name, _ in like.named_buffers():
            if f".{NORMALIZED}." in f".{name}":
                continue  # it takes its statistics when it sees its first batch
            given = params.get(name)
            own = [m.get_buffer(name) for m in modules] if given is None else given.detach()
            rest[name] = torch.stack(own) if isinstance(own, list) else own.clone()
        drawn = [Drawn(g) for g in generators_of(noise or (), device)]
        dropping = [seeded(m, source) for m, source in zip(modules, drawn, strict=False)]
        self.step, self.draws = 0, draws
        self.streams: list[Any] = []
        if device.type == "cuda":
            self.streams = [torch.cuda.Stream(device) for _ in range(STREAMS)]
        self.state = {
            "theta": [params[n].detach() for n in self.names],  # copied where they are bound
            "rest": rest,
            "modules": Each(modules),
            "noise": Each(noise) if noise is not None and (draws or any(dropping)) else None,
        }
        self.bound()

    @property
    def modules(self) -> list[nn.Module]:
        """The networks."""
        modules: list[nn.Module] = self.state["modules"]
        return modules

    def bound(self) -> None:
        """Make the modules' parameters, gradients and buffers rows of the stacked tensors."""
        self.state["theta"] = [channels_last(t) for t in self.theta]
        self.grads = [torch.zeros_like(t) for t in self.theta]
        for row, module in enumerate(self.modules):
            own = dict(module.named_parameters())
            for name, t, g in zip(self.names, self.theta, self.grads, strict=True):
                own[name].data, own[name].grad = t[row], g[row]
            for name, t in self.state["rest"].items():
                if name in own:
                    own[name].data = t[row]
                else:
                    path, _, last = name.rpartition(".")
                    module.get_submodule(path)._buffers[last] = t[row]

    def params(self) -> dict[str, Tensor]:
        """See `Ensemble.params`; of buffers those of floating point."""
        found = super().params()
        for name, _ in self.modules[0].named_buffers():
            if name not in found:
                found[name] = torch.stack([m.get_buffer(name) for m in self.modules])
        return {name: t for name, t in found.items() if t.is_floating_point()}

    def copy(self) -> ModuleEnsemble:
        """See `Ensemble.copy`."""
        return ModuleEnsemble(self.model, self.params(), self.state["noise"], self.draws)

    def gradients(self, batch: Batch, loss: LossFn) -> tuple[Tensor, list[Tensor]]:
        """See `Ensemble.gradients`."""

        def value(row: int) -> Tensor:
            module = self.modules[row].train()
            x = row_of(batch.x, row) if batch.own_x else batch.x
            with self._drawing(row):
                out = logits(self.model, module, x)
            return loss(out.unsqueeze(0), batch.y[row : row + 1] if batch.own_y else batch.targets)

        self.step += 1
        if first(batch.x).device.type == "cuda":
            return self._side_by_side(value), self.grads
        for g in self.grads:
            g.zero_()
        losses = []
        for row in range(len(self.modules)):
            losses.append(value(row))
            losses[-1].sum().backward()
        return torch.cat(losses).detach(), self.grads

    def _drawing(self, row: int) -> Any:
        """Let a network draw from its own seed, where it draws and has one."""
        seeds = self.state["noise"]
        if seeds is None or not self.draws:
            return nullcontext()
        return drawing_from(seed_of(seeds[row], "noise", self.step), self.theta[0].device)

    def _side_by_side(self, value: Callable[[int], Tensor]) -> Tensor:
        """The losses, and the gradients in their place: networks on streams of their own, since
        one small network leaves most of the device idle.
        """
        streams = self.streams[: len(self.modules)]
        now = torch.cuda.current_stream(streams[0].device)
        losses = []
        for row, module in enumerate(self.modules):
            stream = streams[row % len(streams)]
            stream.wait_stream(now)
            with torch.cuda.stream(stream):
                losses.append(value(row))
                trained = [p for p in module.parameters() if p.requires_grad]
                found = torch.autograd.grad(
                    losses[-1].sum(), trained, allow_unused=True, materialize_grads=True
                )
                torch._foreach_copy_([g[row] for g in self.grads], list(found))
        for stream in streams:
            now.wait_stream(stream)
        return torch.cat(losses).detach()

    @torch.no_grad()
    def predict(self, x: Inputs, rows: Sequence[int] | None = None, own_x: bool = False) -> Tensor:
        """See `Ensemble.predict`."""
        chosen = range(len(self.modules)) if rows is None else rows
        return torch.stack(
            [
                logits(self.model, self.modules[r].eval(), row_of(x, r) if own_x else x)
                for r in chosen
            ]
        )

    def module(self, row: int) -> nn.Module:
        """One network itself, only to be read."""
        return self.modules[row]


def generators_of(seeds: Sequence[int], device: torch.device) -> Each:
    """A generator for each network, from which it draws masks."""
    return Each(torch.Generator(device).manual_seed(seed_of(s, "dropout")) for s in seeds)


@torch.no_grad()
def built(model: AnyModel, params: Params, row: int) -> nn.Module:
    """A module with the tensors of one network, `params` (R, *shape) each."""
    module = model.build(next(iter(params.values())).device)
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for name, t in params.items():
        own[name].copy_(t[row])
    return module


def logits(model: AnyModel, module: nn.Module, x: Inputs) -> Tensor:
    """What a module of that model gives out on inputs, as a tensor."""
    out = call(module, x)
    return model.logits(out) if isinstance(model, Network) else out


def channels_last(t: Tensor) -> Tensor:
    """A copy whose rows, where they are kernels of images, have their channels last on the CPU."""
    if t.dim() != 5 or t.device.type == "cuda":  # where they are slower in float32
        return t.clone(memory_format=torch.contiguous_format)
    return t.movedim(2, -1).clone(memory_format=torch.contiguous_format).movedim(-1, 2)
