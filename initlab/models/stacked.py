"""What stacks of networks share: their parameters, their taps, one linear layer of them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch.nn.functional as F
from torch import Tensor

from initlab.models import products

#: Parameters of R networks: name → tensor (R, *shape).
Params: TypeAlias = Mapping[str, Tensor]
#: Called with the input and then with each hidden layer's output, (R, units, ..., batch). The
#: network goes on from the very tensor that was seen, so that one may differentiate by it.
Tap: TypeAlias = Callable[[Tensor], None]


NORMALIZATIONS = ("batch", "none")


def check_widths(what: str, widths: tuple[int, ...]) -> None:
    """Raise `ValueError` naming `what` unless every width is a whole number ≥ 1."""
    if not widths or any(not isinstance(w, int) or w < 1 for w in widths):
        raise ValueError(f"{what} must be one or more whole numbers ≥ 1, not {widths!r}")


def examples_last(x: Tensor, features: int) -> Tensor:
    """(B, features) → (features, B), or (R, B, features) → (R, features, B)."""
    if x.shape[-1] != features or x.dim() not in (2, 3):
        raise ValueError(
            f"this network takes vectors of {features} features, (batch, {features}) or "
            f"(networks, batch, {features}); the input has shape {tuple(x.shape)}"
        )
    return x.transpose(-1, -2)


def linear(params: Params, name: str, h: Tensor) -> Tensor:
    """W h + b for R networks; `h` is (R, in, B), or (in, B) when all networks share it."""
    W = params[f"{name}.weight"]  # (R, out, in)
    b = params.get(f"{name}.bias")  # (R, out)
    out = products.shared(W, h.mT) if h.dim() == 2 else products.batched(W, h)
    return out if b is None else out.add_(b.unsqueeze(-1))


def batch_norm(params: Params, name: str, h: Tensor) -> Tensor:
    """Each unit of R networks, (R, units, B), normalized over the batch, then scaled and shifted.

    As `nn.BatchNorm1d` does it in training.
    """
    if h.shape[-1] < 2:
        raise ValueError("batch normalization needs a batch of two examples or more, not one")
    weight, bias = params[f"{name}.weight"], params[f"{name}.bias"]  # (R, units)
    # Units of all networks are the channels of one batch of a single, B long example.
    flat = h.flatten(0, 1).unsqueeze(0)
    out = F.batch_norm(flat, None, None, weight.flatten(), bias.flatten(), training=True)
    return out.view_as(h)
