"""How the gradients of a group of networks are computed.

`Stacked`: the model computes all networks in one graph, from parameters stacked along a first
axis. `Rows`: one module per network whose parameters are rows of the same stacked tensors, for
models whose layers gain nothing from being computed together. Both hold the parameters
stacked, so that one optimizer step moves all networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from initlab.models import Model, Params
from initlab.reinit.normalize import restore
from initlab.train.batches import per_network
from initlab.train.loss import Lesson

#: Examples that are evaluated at once.
EVALUATED = 2048
#: Networks that a CUDA device computes at the same time, where they are modules of their own.
STREAMS = 8


class Stacked:
    """Networks computed as one."""

    def __init__(self, model: Model, params: Params) -> None:
        """Copies of `params`, (R, *shape) each."""
        self.model = model
        self.names = list(params)
        self.theta = [params[n].detach().clone() for n in self.names]

    def copy(self) -> Stacked:
        """The networks as they are, apart from what becomes of these."""
        return type(self)(self.model, self.params())

    def params(self) -> dict[str, Tensor]:
        """Parameters by name, (R, *shape)."""
        return dict(zip(self.names, self.theta, strict=True))

    def gradients(self, x: Tensor, y: Tensor, loss: Lesson) -> tuple[Tensor, list[Tensor]]:
        """Losses (R,) on one batch, and the gradient of each stacked parameter."""
        leaves = [t.detach().requires_grad_() for t in self.theta]
        logits = self.model.forward(dict(zip(self.names, leaves, strict=True)), x)
        losses = loss(logits, y)
        return losses.detach(), list(torch.autograd.grad(losses.sum(), leaves))

    @torch.no_grad()
    def predict(self, x: Tensor, rows: Sequence[int] | None = None) -> Tensor:
        """Logits (R, B, classes), of the networks in `rows` or of all."""
        params = self.params()
        if rows is not None:
            params = {name: t[rows] for name, t in params.items()}
        return self.model.forward(params, x)

    @torch.no_grad()
    def module(self, row: int) -> nn.Module:
        """One network as a module with values of its own."""
        module = self.model.build(self.theta[0].device)
        for p, t in zip(module.parameters(), self.theta, strict=True):
            p.copy_(t[row])
        return module

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these networks only."""
        self.theta = [t[rows] for t in self.theta]


class Rows:
    """Networks computed one after the other, each a view of the stacked parameters."""

    def __init__(self, model: Model, params: Params) -> None:
        """Copies of `params`; buffers that are not among them start as the module's own."""
        self.model = model
        device = next(iter(params.values())).device
        self.names = [name for name, _ in model.build("meta").named_parameters()]
        self.theta = [_channels_last(params[n].detach()) for n in self.names]
        self.grads = [torch.zeros_like(t) for t in self.theta]
        self.modules = [model.build(device) for _ in self.theta[0]]
        for row, module in enumerate(self.modules):
            restore(module, {name: t[row] for name, t in params.items()})
            for name, buffer in module.named_buffers():
                if name in params:
                    buffer.copy_(params[name][row])
        beside = range(STREAMS if device.type == "cuda" else 0)
        self.streams = [torch.cuda.Stream(device) for _ in beside]
        self._bind()

    def _bind(self) -> None:
        for row, module in enumerate(self.modules):
            for p, t, g in zip(module.parameters(), self.theta, self.grads, strict=True):
                p.data, p.grad = t[row], g[row]

    def copy(self) -> Rows:
        """See `Stacked.copy`."""
        return Rows(self.model, self.params())

    def params(self) -> dict[str, Tensor]:
        """Parameters and floating-point buffers by name, (R, *shape)."""
        found = dict(zip(self.names, self.theta, strict=True))
        for name, buffer in self.modules[0].named_buffers():
            if buffer.is_floating_point():
                found[name] = torch.stack([m.get_buffer(name) for m in self.modules])
        return found

    def gradients(self, x: Tensor, y: Tensor, loss: Lesson) -> tuple[Tensor, list[Tensor]]:
        """Losses (R,) on one batch, and the gradient of each stacked parameter."""
        shared, own = self._shared(x), per_network(y)

        def value(row: int) -> Tensor:
            logits = self.modules[row].train()(x if shared else x[row])
            return loss(logits.unsqueeze(0), y[row] if own else y)

        if x.device.type == "cuda":
            return self._side_by_side(value), self.grads
        for g in self.grads:
            g.zero_()
        losses = []
        for row in range(len(self.modules)):
            losses.append(value(row))
            losses[-1].sum().backward()
        return torch.cat(losses).detach(), self.grads

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
                found = torch.autograd.grad(losses[-1].sum(), list(module.parameters()))
                torch._foreach_copy_([g[row] for g in self.grads], list(found))
        for stream in streams:
            now.wait_stream(stream)
        return torch.cat(losses).detach()

    @torch.no_grad()
    def predict(self, x: Tensor, rows: Sequence[int] | None = None) -> Tensor:
        """Logits (R, B, classes) in evaluation mode, of the networks in `rows` or of all."""
        chosen = range(len(self.modules)) if rows is None else rows
        shared = self._shared(x)
        return torch.stack([self.modules[r].eval()(x if shared else x[r]) for r in chosen])

    def module(self, row: int) -> nn.Module:
        """One network itself, only to be read."""
        return self.modules[row]

    def _shared(self, x: Tensor) -> bool:
        return x.dim() == 1 + len(self.model.input_shape)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these networks only."""
        self.theta = [_channels_last(t[rows]) for t in self.theta]
        self.grads = [torch.zeros_like(t) for t in self.theta]
        self.modules = [self.modules[r] for r in rows]
        self._bind()


def _channels_last(t: Tensor) -> Tensor:
    """A copy whose rows, where they are kernels of images, have their channels last on the CPU."""
    if t.dim() != 5 or t.device.type == "cuda":  # where they are slower in float32
        return t.clone(memory_format=torch.contiguous_format)
    return t.movedim(2, -1).clone(memory_format=torch.contiguous_format).movedim(-1, 2)
