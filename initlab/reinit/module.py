"""Re-initialization of any module, in a loop of one's own."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from initlab.init import Rule, Scheme
from initlab.reinit.contract import Change, Method, change
from initlab.reinit.methods import LayerWise
from initlab.reinit.normalize import insert


def reinitialize(
    module: nn.Module,
    method: Method,
    rule: Rule | Scheme | Mapping[str, Tensor],
    generator: torch.Generator,
    *,
    stage: int = 1,
    stages: int | None = None,
    start_norms: Mapping[str, float] | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    buffers: str | None = None,
    bias: Rule | None = None,
    batch: tuple[Tensor, Tensor] | None = None,
) -> None:
    """Begin `stage` (from 0) of `stages` by `method`, in place.

    θ′ is drawn by `rule` from `generator`, as `initialize` does it (`bias` and `batch` are its),
    or is given by name, such as `dict(another.named_parameters())`. `start_norms` are the
    `norms` of the parameters before training, and `stages` their number: layer-wise
    re-initialization needs both. The state of `optimizer`, where one is given, is emptied; running
    statistics of normalization are "fresh" or "kept", by default as the method's authors have them.

    Raises `TypeError` for what is no module, method or generator, and `ValueError` for stages that
    there are not and for what the method needs and is not given.

    >>> from initlab.init import HeNormal
    >>> from initlab.reinit.methods import ShrinkPerturb
    >>> layer, generator = nn.Linear(1, 1), torch.Generator().manual_seed(0)
    >>> _ = layer.bias.data.fill_(1.0)
    >>> reinitialize(layer, ShrinkPerturb(), HeNormal(), generator)
    >>> round(layer.bias.item(), 6)
    0.4
    """
    _check(module, method, generator, stage, stages, buffers)
    stages = stage + 1 if stages is None else stages
    changes = method.changes(module, stage, stages)
    fresh = method.draw(module, rule, generator, bias=bias, batch=batch)
    if not isinstance(rule, Mapping):
        changes = _reached(changes, fresh)
    change(dict(module.named_parameters()), changes, fresh, start_norms or {})
    if (buffers or method.buffers) == "fresh":
        restart_statistics(module)
    path = method.normalized(module, stage, stages)
    if path is not None:
        insert(module, path)
    if optimizer is not None:
        optimizer.state.clear()


def _reached(changes: dict[str, Change], fresh: Mapping[str, Tensor]) -> dict[str, Change]:
    """The changes for which there is a fresh value; the others are told of."""
    kept = [name for name, how in changes.items() if how.mix and name not in fresh]
    if kept:
        more = f" and {len(kept) - 4} more" if len(kept) > 4 else ""
        warnings.warn(
            f"{', '.join(kept[:4])}{more} stay as they are, for no rule draws them: give one, "
            "Compose(rule, (At('*name', other),)), or all fresh values by name",
            stacklevel=3,
        )
    return {name: how for name, how in changes.items() if name not in kept}


def restart_statistics(module: nn.Module) -> None:
    """Set the running means and variances of a module's normalization to 0 and 1."""
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._NormBase):
            layer.reset_running_stats()


def _check(
    module: object,
    method: object,
    generator: object,
    stage: int,
    stages: int | None,
    buffers: str | None,
) -> None:
    if not isinstance(module, nn.Module):
        raise TypeError(f"reinitialize takes a torch module, not {module!r}")
    if not isinstance(method, Method):
        raise TypeError(f"method must be one such as ShrinkPerturb(), not {method!r}")
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator must be a torch.Generator, not {generator!r}; "
            "torch.Generator().manual_seed(seed) makes one"
        )
    if stages is None and isinstance(method, LayerWise):
        raise ValueError(f"{method.label} needs to know the number of stages: give stages=…")
    if stage < 0 or (stages is not None and stage >= stages):
        known = "≥ 0" if stages is None else f"from 0 to {stages - 1}"
        raise ValueError(f"stage must be {known}, not {stage}")
    if buffers not in (None, "fresh", "kept"):
        raise ValueError(f"unknown buffers {buffers!r}; known: None, 'fresh', 'kept'")
