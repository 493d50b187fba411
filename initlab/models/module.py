"""What the models that are built from ordinary modules share: checks, `build` and `forward`.

Their layers are too different to be one product of all networks, so `forward` calls the module
once per network, with that network's parameters and buffers in place of the module's own.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.func import functional_call

from initlab.models.activations import activation
from initlab.models.stacked import NORMALIZATIONS, Params, Tap

#: Children whose output the tap sees.
TAPPED = ("layer", "block")


def check_count(what: str, number: int) -> None:
    """Raise `ValueError` naming `what` unless `number` is a whole number ≥ 1."""
    if not isinstance(number, int) or number < 1:
        raise ValueError(f"{what} must be a whole number ≥ 1, not {number!r}")


class ModuleModel:
    """Base of the residual networks, MobileNetV2 and DenseNet: a chain of `torch.nn` modules.

    A child of the chain called `layer…` is made of a convolution, a normalization and an
    activation, or of some of them; one called `block…` has a shortcut or concatenates what it
    adds; the last is the `head`.
    """

    input_shape: tuple[int, int, int]
    outputs: int
    activation: str
    norm: str

    def _check(self, halvings: int = 0) -> None:
        """Refuse what no such network can be; `halvings` is how often pooling halves an image."""
        check_count("outputs", self.outputs)
        activation(self.activation)
        if self.norm not in NORMALIZATIONS:
            raise ValueError(f"norm must be 'batch' or 'none', not {self.norm!r}")
        shape, side = self.input_shape, 2**halvings
        whole = isinstance(shape, tuple) and all(isinstance(n, int) and n >= 1 for n in shape)
        if not whole or len(shape) != 3:
            raise ValueError(
                "input_shape must be a tuple of three whole numbers ≥ 1, (channels, height, "
                f"width), not {shape!r}"
            )
        if min(shape[1:]) < side:
            raise ValueError(
                f"{type(self).__name__} pools an image {halvings} times: input_shape {shape} is "
                f"too small, the smallest is {(shape[0], side, side)}"
            )

    def _chain(self) -> OrderedDict[str, nn.Module]:
        """The children by name, in the order in which they are computed."""
        raise NotImplementedError

    def build(self, device: str | torch.device = "cpu") -> nn.Module:
        """The network as a `torch.nn.Module` with PyTorch's own initialization."""
        with torch.device(device):
            return nn.Sequential(self._chain())

    def forward(self, params: Params, x: Tensor, tap: Tap | None = None) -> Tensor:
        """Outputs (R, B, outputs) of R networks on `x`, (B, C, H, W) shared or (R, B, C, H, W).

        `params` holds (R, *shape) under the names of `build().named_parameters()`. With the
        running means and variances as well, (R, channels) under the names of
        `build().named_buffers()`, batch normalization uses them (evaluation); without, it uses
        the batch (training). Neither changes any state. The tap sees the input and then the
        output of each layer and block, (R, channels, H, W, B).

        Raises `ValueError` for an input of another shape, for names that are missing or unknown,
        and where batch normalization in training would see one number per channel.
        """
        module = _skeleton(self, evaluation=any("running_" in name for name in params))
        R = _count(module, params)
        if tuple(x.shape[-3:]) != self.input_shape or x.dim() not in (4, 5):
            raise ValueError(
                f"this network takes images of shape {self.input_shape}, (batch, channels, "
                f"height, width) or with the networks before; the input has shape {tuple(x.shape)}"
            )
        if x.dim() == 5 and len(x) != R:
            raise ValueError(f"the input is for {len(x)} networks, the parameters are of {R}")
        own: dict[str, dict[str, tuple[Tensor, ...]]] = {}
        for name, stack in params.items():
            child, _, rest = name.partition(".")
            # Not stack[r]: the gradient of R selections is R tensors of the stack's full size.
            own.setdefault(child, {})[rest] = stack.unbind()
        h = [x] * R if x.dim() == 4 else list(x.unbind())

        def show(h: list[Tensor]) -> list[Tensor]:
            if not tap:
                return h
            seen = torch.stack(h).movedim(1, -1)
            tap(seen)
            return list(seen.movedim(-1, 1).unbind())  # views: what was seen is what is used

        h = show(h)
        for name, child_module in module.named_children():
            stacks = own.get(name, {})
            try:
                h = [
                    functional_call(child_module, {k: v[r] for k, v in stacks.items()}, (h[r],))
                    for r in range(R)
                ]
            except ValueError as error:  # torch's own, which does not say what to do
                raise ValueError(
                    f"{name} has one number per channel, whose variance normalization cannot take: "
                    "give two or more examples, larger images, running means and variances "
                    f"(evaluation), or norm='none'; the input has shape {tuple(x.shape)}"
                ) from error
            if name.startswith(TAPPED):
                h = show(h)
        return torch.stack(h)


@lru_cache(maxsize=32)
def _skeleton(model: ModuleModel, evaluation: bool) -> nn.Module:
    """The module without values: what `forward` calls, never changed after this."""
    module = model.build("meta")
    if evaluation:
        return module.eval()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):  # without buffers there is no state to update
            layer.running_mean = layer.running_var = layer.num_batches_tracked = None
    return module


def _count(module: nn.Module, params: Params) -> int:
    """R, if `params` are those of R networks like `module`."""
    counters = {name for name, _ in module.named_buffers() if name.endswith("num_batches_tracked")}
    known = {name for name, _ in (*module.named_parameters(), *module.named_buffers())}
    for what, names in (
        ("missing", known - counters - set(params)),
        ("unknown", set(params) - known),
    ):
        if names:
            raise ValueError(
                f"{len(names)} parameters or buffers of this network are {what}, such as "
                f"{min(names)!r}; the names are those of build().state_dict()"
            )
    counts = sorted({len(stack) for stack in params.values()})
    if len(counts) != 1:
        raise ValueError(f"every parameter is (networks, *shape), but there are {counts} networks")
    return counts[0]
