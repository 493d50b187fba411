"""The one operation of every re-initialization, and the contract of the methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from initlab.init import Rule, Scheme, initialize
from initlab.spec import spec

#: Parameters of at most this norm at the start are set to zero where others get their norm back.
SHORT = 1e-6


class Change(NamedTuple):
    """What becomes of one parameter: keep·θ + mix·θ′; keep None rescales to the initial L2 norm."""

    keep: float | None
    mix: float


@spec
class Method:
    """A frozen value that says what becomes of every parameter at the start of a stage."""

    #: The field's name of the method, as it stands in legends.
    name: ClassVar[str] = ""
    #: Key of the bibliography, and formula in LaTeX.
    source: ClassVar[str] = ""
    formula: ClassVar[str] = ""
    #: What its authors do to running means and variances: "fresh" or "kept".
    buffers: ClassVar[str] = "fresh"

    @property
    def label(self) -> str:
        """How figures and frames call this method."""
        return self.name

    def changes(self, module: nn.Module, stage: int, stages: int) -> dict[str, Change]:
        """What becomes of the parameters that change at the start of `stage` (from 0) of `stages`.

        The module is only read, and may live on the meta device. Raises `ValueError` for layers
        that it does not have.
        """
        raise NotImplementedError

    def draw(
        self,
        module: nn.Module,
        rule: Rule | Scheme | Mapping[str, Tensor],
        generator: torch.Generator,
        *,
        bias: Rule | None = None,
        device: str | torch.device = "cpu",
        batch: tuple[Tensor, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """θ′ by name: drawn by a rule, with the arguments of `initialize`, or given as it is."""
        if isinstance(rule, Mapping):
            return dict(rule)
        return initialize(module, rule, generator, bias=bias, device=device, batch=batch, leave="*")

    def normalized(self, module: nn.Module, stage: int, stages: int) -> str | None:
        """Path of the child whose output is normalized from this stage on, if there is one."""
        return None

    @property
    def normalizes(self) -> bool:
        """Whether the method normalizes the output of any child."""
        return False


@torch.no_grad()
def change(
    tensors: Mapping[str, Tensor],
    changes: Mapping[str, Change],
    fresh: Mapping[str, Tensor],
    start_norms: Mapping[str, float],
) -> None:
    """θ ← keep·θ + mix·θ′, in place, for the parameters that `changes` names.

    `fresh` holds θ′ and `start_norms` the L2 norms at the first start, by name. A parameter that
    started with a norm of at most 1e-6, or that has no norm to rescale, becomes zero where its
    first norm is asked for. What keep is 0 for is forgotten, be it finite or not.

    Raises `ValueError`, before anything is changed, for a θ′ or a norm that is missing.
    """
    for name, (keep, mix) in changes.items():
        if mix and name not in fresh:
            raise ValueError(
                f"there is no fresh value of {name!r}: no rule draws it; give the values by name "
                "in place of a rule, such as dict(another.named_parameters())"
            )
        if keep is None and name not in start_norms:
            raise ValueError(
                f"{name!r} gets its first norm back, but that is not known: give "
                "start_norms=norms(module), taken before training"
            )
    for name, (keep, mix) in changes.items():
        t = tensors[name]
        if keep is None:
            began, now = start_norms[name], float(torch.linalg.vector_norm(t))
            keep = began / now if began > SHORT and now > 0 else 0.0
        if keep == 0:
            t.zero_()
        elif keep != 1:
            t.mul_(keep)
        if mix:
            t.add_(fresh[name].to(t), alpha=mix)


@torch.no_grad()
def norms(module: nn.Module) -> dict[str, float]:
    """The L2 norm of each parameter, by name.

    >>> norms(nn.LayerNorm(4))
    {'weight': 2.0, 'bias': 0.0}
    """
    return {name: float(torch.linalg.vector_norm(p)) for name, p in module.named_parameters()}
