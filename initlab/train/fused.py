"""Fully connected networks with the gradient written out.

Autograd records a graph and allocates every intermediate anew, at every step. For a plain MLP the
chain rule is three lines; written by hand it reuses its memory, and is fewer kernels on a GPU. The
products are those of `initlab.models.products`. On a CPU with a C compiler the same is done by
`dense.c`, and plain SGD's update with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from initlab.models import MLP, AnyModel, Network, Params, products
from initlab.models.stacked import linear
from initlab.tensors import Inputs
from initlab.train import native
from initlab.train.chain import Chain, chain
from initlab.train.ensemble import Batch, Ensemble, StackedEnsemble, built
from initlab.train.loss import CrossEntropy, LossFn

_aten = torch.ops.aten
#: φ in place, and φ′ times a gradient, from φ's output alone.
PHI: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "relu": (torch.relu_, lambda g, h: _aten.threshold_backward(g, h, 0)),
    "tanh": (torch.tanh_, _aten.tanh_backward),
    "sigmoid": (torch.sigmoid_, _aten.sigmoid_backward),
    "linear": (lambda h: h, lambda g, h: g),
}


class FusedMLP(StackedEnsemble):
    """The networks of an MLP computed as one, without a graph."""

    def __init__(self, model: MLP, params: Params) -> None:
        """Copies of `params`, (R, *shape) each."""
        layers = [f"layer{j}" for j in range(1, model.depth + 1)]
        assert isinstance(model.activation, str)
        chain = Chain((*layers, "head"), model.activation)
        self._begin(model, params, chain)

    def _begin(self, model: AnyModel, params: Params, chain: Chain) -> None:
        self.chain = chain
        self.phi, self.slope = PHI[chain.activation]
        on_cpu = next(iter(params.values())).device.type == "cpu"
        self.compiled = on_cpu and native.available()
        Ensemble.__init__(self, model, params)

    @staticmethod
    def takes(model: MLP, params: Params) -> bool:
        """Whether these networks can be trained so."""
        return (
            model.activation in PHI
            and model.norm == "none"
            and model.outputs is not None
            and all(
                p.device.type in ("cpu", "cuda") and p.dtype == torch.float32
                for p in params.values()
            )
        )

    def bound(self) -> None:
        """Make room for gradients, and compiled steps of these very tensors."""
        self.grads = {name: torch.empty_like(t) for name, t in self.params().items()}
        self.buffers: dict[tuple[str, int], Tensor] = {}
        self.times = torch.ones(self.count)
        if self.compiled:
            self.differentiate, self.descend = (self._steps(out) for out in (self.grads, None))

    def _steps(self, out: Params | None) -> native.Steps:
        """Compiled steps into `out`, or of the parameters themselves."""
        theta = self.params()
        into = theta if out is None else out
        weights, biases = (
            [f"{name}.{what}" for name in self.chain.layers] for what in ("weight", "bias")
        )
        return native.Steps(
            self.chain.activation,
            [theta[name] for name in weights],
            [theta.get(name) for name in biases],
            [into[name] for name in weights],
            [into.get(name) for name in biases],
            update=out is None,
        )

    def steps(self, loss: LossFn, y: Tensor) -> bool:
        """Whether steps by this loss and targets like these are compiled."""
        return self.compiled and loss == CrossEntropy() and not y.is_floating_point()

    def step(self, x: Tensor, chosen: Tensor | None, y: Tensor, times: Tensor) -> Tensor:
        """A step of the parameters, `times` (R,) their gradients; the losses, (R,), which the next
        step overwrites. See `native.Steps`.
        """
        return self.descend(x, chosen, y, times)

    def _buffer(self, what: str, like: Tensor, n: int, B: int) -> Tensor:
        """(R, n, B), the same at every step of this batch size."""
        if (what, B) not in self.buffers:
            self.buffers[what, B] = like.new_empty(len(like), n, B)
        return self.buffers[what, B]

    @torch.no_grad()
    def gradients(self, batch: Batch, loss: LossFn) -> tuple[Tensor, list[Tensor]]:
        """See `Ensemble.gradients`; what it returns is overwritten by the next call."""
        x, y = batch.x, batch.y
        assert isinstance(x, Tensor)
        if self.steps(loss, y):
            losses = self.differentiate(x, None, y, self.times)
            return losses, [self.grads[name] for name in self.names]
        theta, B = self.params(), x.shape[-2]
        hs = [x.mT]  # (in, B) shared or (R, in, B), then (R, n, B)
        for name in self.chain.layers:
            W, b = theta[f"{name}.weight"], theta.get(f"{name}.bias")
            if hs[-1].dim() == 2:
                z = products.shared(W, x)
                z = z if b is None else z.add_(b.unsqueeze(-1))
            else:
                z = products.affine(W, hs[-1], b, self._buffer(name, W, W.shape[1], B))
            hs.append(z if name == self.chain.layers[-1] else self.phi(z))
        losses, g = loss.gradient(hs.pop().mT, batch.targets)
        g = g.mT  # (R, classes, B)
        for name in reversed(self.chain.layers):
            W, h = theta[f"{name}.weight"], hs.pop()
            if f"{name}.bias" in theta:
                torch.sum(g, -1, out=self.grads[f"{name}.bias"])
            out = self.grads[f"{name}.weight"]
            if h.dim() == 2:
                products.product(g.flatten(0, 1), x, out.flatten(0, 1))
            else:
                products.product(g, h.mT, out)
            if hs:
                g = products.product(W.mT, g, self._buffer(f"{name}, back", W, W.shape[2], B))
                g = self.slope(g, h)
        return losses, [self.grads[name] for name in self.names]


class FusedNetwork(FusedMLP):
    """The networks of a user's module that is an MLP, computed as those of this package's are."""

    def __init__(self, model: Network, params: Params) -> None:
        """Copies of `params`, (R, *shape) each; `ValueError` where the module is something else."""
        found = chain(model.build(next(iter(params.values())).device))
        if found is None:
            raise ValueError(f"{model.label} is not made of linear layers and one activation")
        self._begin(model, params, found)

    def gradients(self, batch: Batch, loss: LossFn) -> tuple[Tensor, list[Tensor]]:
        """See `FusedMLP.gradients`."""
        return super().gradients(replace(batch, x=self._flat(batch.x)), loss)

    def step(self, x: Tensor, chosen: Tensor | None, y: Tensor, times: Tensor) -> Tensor:
        """See `FusedMLP.step`."""
        return super().step(self._flat(x), chosen, y, times)

    @torch.no_grad()
    def predict(self, x: Inputs, rows: Sequence[int] | None = None, own_x: bool = False) -> Tensor:
        """See `Ensemble.predict`."""
        params = self.params()
        if rows is not None:
            params = {name: t[list(rows)] for name, t in params.items()}
        h = self._flat(x).mT
        for name in self.chain.layers[:-1]:
            h = self.phi(linear(params, name, h))
        return linear(params, self.chain.layers[-1], h).mT

    def module(self, row: int) -> nn.Module:
        """See `Ensemble.module`."""
        return built(self.model, self.params(), row)

    def _flat(self, x: Inputs) -> Tensor:
        """Inputs whose last axes are one, of all features."""
        features = self.params()[f"{self.chain.layers[0]}.weight"].shape[-1]
        axis = x.dim() - 1
        while x.shape[axis:].numel() < features:
            axis -= 1
        return x.flatten(axis)
