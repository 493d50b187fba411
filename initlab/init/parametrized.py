"""Weights that are made of other tensors: weight norm, spectral norm, and whatever is registered.

A rule says what the weight is, and the parameters are set so that they make it: each
parametrization has its own `right_inverse` for that. What the parametrization does with any weight
(spectral normalization divides by the largest singular value, an orthogonal map takes the nearest
orthogonal matrix) it does with this one as well.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from initlab.generator import drawing_from

#: Names of what a parametrization list makes a weight of.
ORIGINAL = re.compile(r"original\d*$")
#: Steps of the power method after which a new weight's singular vectors are known well enough.
POWER_STEPS = 15


def old_style(layer: nn.Module, name: str) -> str | None:
    """The weight that a parameter of `torch.nn.utils.weight_norm` or `spectral_norm` makes, if it
    is one.
    """
    for hook in layer._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm) and name in (f"{hook.name}_g", f"{hook.name}_v"):
            return hook.name
        if isinstance(hook, SpectralNorm) and name == f"{hook.name}_orig":
            return hook.name
    return None


def _is_list(module: nn.Module, path: str) -> bool:
    try:
        return isinstance(module.get_submodule(path), parametrize.ParametrizationList)
    except AttributeError:
        return False


def making(module: nn.Module, through: str, weight: Tensor, seed: int) -> dict[str, Tensor]:
    """Parameters and buffers that make a weight.

    Args:
        module: It is only read.
        through: Path of the parametrization, or of a weight that a hook makes.
        weight: What it is to make.
        seed: Of what a parametrization draws to complete it.

    Returns:
        Values by their names in the module.

    Raises:
        ValueError: Where the parametrization cannot be assigned to.
    """
    with torch.no_grad(), drawing_from(seed, torch.device("cpu")):
        if _is_list(module, through):
            return _of_list(module, through, weight)
        path, _, name = through.rpartition(".")
        layer, start = module.get_submodule(path), f"{path}." if path else ""
        for hook in layer._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm) and hook.name == name:
                length = torch.norm_except_dim(weight, 2, hook.dim)
                return {f"{start}{name}_g": length, f"{start}{name}_v": weight}
            if isinstance(hook, SpectralNorm) and hook.name == name:
                matrix = hook.reshape_weight_to_matrix(weight)
                u, v = _singular(matrix)
                found = {"orig": weight, "u": u, "v": v}
                return {f"{start}{name}_{end}": value for end, value in found.items()}
    raise ValueError(f"{through} is made of other tensors in a way that is not known")


def _of_list(module: nn.Module, through: str, weight: Tensor) -> dict[str, Tensor]:
    own: Any = copy.deepcopy(module.get_submodule(through))
    if any(t.is_meta for t in (*own.parameters(), *own.buffers())):
        own = own.to_empty(device="cpu")
    own = own.float()
    try:
        own.right_inverse(weight.clone())
    except (NotImplementedError, RuntimeError, ValueError) as error:
        kinds = ", ".join(type(p).__name__.strip("_") for p in own)
        raise ValueError(
            f"{through} ({kinds}) cannot be assigned to: {str(error).splitlines()[0]}; leave it "
            f"as it is, leave={through + '*'!r}"
        ) from None
    for part in own:
        if hasattr(part, "_u") and hasattr(part, "_reshape_weight_to_matrix"):
            part._u, part._v = _singular(part._reshape_weight_to_matrix(weight))
    values = (*own.named_parameters(), *own.named_buffers())
    return {f"{through}.{name}": value.detach().clone() for name, value in values}


def _singular(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Singular vectors of the largest singular value, by the power method from a vector of ones."""
    v = torch.ones(matrix.shape[1]) / matrix.shape[1] ** 0.5
    v = v + 1e-3 * torch.linspace(-1, 1, len(v))  # not orthogonal to them by symmetry
    u = matrix.new_zeros(len(matrix))
    for _ in range(POWER_STEPS):
        u = torch.nn.functional.normalize(matrix @ v, dim=0)
        v = torch.nn.functional.normalize(matrix.mT @ u, dim=0)
    return u, v
