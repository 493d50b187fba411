"""Networks of a user's module computed as one by `torch.func`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from initlab.models import AnyModel, Params
from initlab.tensors import Inputs
from initlab.train.dropout import Prepared, masks, seeded
from initlab.train.ensemble import (
    Batch,
    Ensemble,
    ModuleEnsemble,
    built,
    generators_of,
    logits,
)
from initlab.train.loss import LossFn
from initlab.tree import leaves, row_of


class _Outputs(nn.Module):
    """A network whose output is its logits."""

    def __init__(self, model: AnyModel, network: nn.Module) -> None:
        super().__init__()
        self.model, self.network = model, network

    def forward(self, x: Inputs) -> Tensor:
        return logits(self.model, self.network, x)


class FunctionalEnsemble(Ensemble):
    """One module, called once for all networks (`torch.func.vmap`); its batch normalization moves
    the buffers of each. Modules that draw anything but masks of `nn.Dropout` are not computed so.
    """

    def __init__(self, model: AnyModel, params: Params, noise: Sequence[int] | None = None) -> None:
        """Copies of `params`; see `ModuleEnsemble`, which reads them, also for `noise`."""
        self.model = model
        apart = ModuleEnsemble(model, params)
        self.names = apart.names
        self.skeleton = _Outputs(model, model.build(apart.theta[0].device))
        theta = [t.clone(memory_format=torch.contiguous_format) for t in apart.theta]
        device, self.masks = theta[0].device, Prepared()
        dropping = noise is not None and seeded(self.skeleton, self.masks)
        self.sizes: dict[tuple[torch.Size, ...], list[tuple[torch.Size, float]]] = {}
        self.state = {
            "theta": theta,
            "rest": apart.state["rest"],
            "noise": generators_of(noise, device) if noise is not None and dropping else None,
        }
        self.bound()

    def params(self) -> dict[str, Tensor]:
        """See `Ensemble.params`; of buffers those of floating point."""
        return {name: t for name, t in super().params().items() if t.is_floating_point()}

    def _masks(self, batch: Batch) -> list[Tensor]:
        """Those that the networks' dropouts ask for in a step on such a batch."""
        if self.state["noise"] is None:
            return []
        shapes = tuple(t.shape for t in leaves(batch.x))
        if shapes not in self.sizes:
            one = {f"network.{n}": t[0].clone() for n, t in super().params().items()}
            self.masks.sizes = self.sizes[shapes] = []
            with torch.no_grad():
                functional_call(
                    self.skeleton, one, (row_of(batch.x, 0) if batch.own_x else batch.x,)
                )
            self.masks.sizes = None
        return masks(self.state["noise"], self.sizes[shapes], self.theta[0])

    def _outputs(
        self,
        theta: Sequence[Tensor],
        rest: Params,
        x: Inputs,
        own_x: bool,
        drawn: Sequence[Tensor] = (),
    ) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of operators that are computed one by one
            all_at_once = vmap(self._output, (0, 0, 0 if own_x else None, 0))
            return all_at_once(list(theta), rest, x, tuple(drawn))

    def _output(
        self, theta: Sequence[Tensor], rest: Params, x: Inputs, drawn: Sequence[Tensor] = ()
    ) -> Tensor:
        """Of one network, with its tensors."""
        self.masks.ready = iter(drawn)
        named = {f"network.{n}": t for n, t in zip(self.names, theta, strict=True)}
        held = {f"network.{n}": t for n, t in rest.items()}
        return functional_call(self.skeleton, (named, held), (x,))

    def gradients(self, batch: Batch, loss: LossFn) -> tuple[Tensor, list[Tensor]]:
        """See `Ensemble.gradients`."""
        self.skeleton.train()
        leaves = [t.detach().requires_grad_() for t in self.theta]
        outputs = self._outputs(
            leaves, self.state["rest"], batch.x, batch.own_x, self._masks(batch)
        )
        losses = loss(outputs, batch.targets)
        found = torch.autograd.grad(losses.sum(), leaves, allow_unused=True, materialize_grads=True)
        return losses.detach(), list(found)

    @torch.no_grad()
    def predict(self, x: Inputs, rows: Sequence[int] | None = None, own_x: bool = False) -> Tensor:
        """See `Ensemble.predict`."""
        self.skeleton.eval()
        theta, rest = self.theta, self.state["rest"]
        if rows is not None:
            theta = [t[list(rows)] for t in theta]
            rest = {name: t[list(rows)] for name, t in rest.items()}
        return self._outputs(theta, rest, x, own_x)

    def module(self, row: int) -> nn.Module:
        """See `Ensemble.module`."""
        return built(self.model, super().params(), row)
