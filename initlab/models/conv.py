"""Plain convolutional networks."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initlab.models.activations import Activation, activation
from initlab.models.stacked import Params, Tap, check_widths, linear
from initlab.spec import spec


@spec
class ConvNet:
    """A plain convolutional network: no pooling, no normalization, stride 1, size kept.

    `padding` is "zeros" or "circular". With `outputs`, global averaging and a linear head follow.
    """

    channels: tuple[int, ...]
    input_shape: tuple[int, int, int] = (3, 32, 32)
    kernel: int = 3
    padding: str = "zeros"
    outputs: int | None = None
    activation: str = "relu"
    bias: bool = True

    def __post_init__(self) -> None:
        """Refuse impossible sizes, even kernels and unknown paddings."""
        check_widths("channels", self.channels)
        activation(self.activation)
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd to keep the size, not {self.kernel}")
        if self.padding not in ("zeros", "circular"):
            raise ValueError(f"padding must be 'zeros' or 'circular', not {self.padding!r}")

    @property
    def depth(self) -> int:
        """Number of convolutions."""
        return len(self.channels)

    def build(self, device: str | torch.device = "cpu") -> nn.Module:
        """The network as a `torch.nn.Module` with PyTorch's own initialization."""
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        before = self.input_shape[0]
        for j, width in enumerate(self.channels, 1):
            modules[f"layer{j}"] = nn.Conv2d(
                before,
                width,
                self.kernel,
                padding=self.kernel // 2,
                padding_mode=self.padding,  # type: ignore[arg-type]
                bias=self.bias,
                device=device,
            )
            modules[f"act{j}"] = Activation(self.activation)
            before = width
        if self.outputs is not None:
            modules["pool"] = nn.AdaptiveAvgPool2d(1)
            modules["flatten"] = nn.Flatten()
            modules["head"] = nn.Linear(before, self.outputs, bias=self.bias, device=device)
        return nn.Sequential(modules)

    def forward(self, params: Params, x: Tensor, tap: Tap | None = None) -> Tensor:
        """Outputs of R networks on `x`, (B, C, H, W) shared or (R, B, C, H, W).

        (R, B, outputs), or the last feature map (R, B, channels, H, W) without a head. The tap
        sees (R, channels, H, W, B).
        """
        phi = activation(self.activation)
        R = params["layer1.weight"].shape[0]
        # R networks are R groups of one convolution: (B, R·C, H, W).
        h = x.repeat(1, R, 1, 1) if x.dim() == 4 else x.transpose(0, 1).flatten(1, 2)
        pad = self.kernel // 2

        def show(h: Tensor) -> Tensor:
            if not tap:
                return h
            seen = h.unflatten(1, (R, -1)).movedim(0, -1)
            tap(seen)
            return seen.movedim(-1, 0).flatten(1, 2)  # a view: what was seen is what is used

        h = show(h)
        for j in range(1, self.depth + 1):
            W = params[f"layer{j}.weight"].flatten(0, 1)
            b = params.get(f"layer{j}.bias")
            flat = None if b is None else b.flatten()
            if self.padding == "circular":
                h = F.conv2d(F.pad(h, (pad,) * 4, mode="circular"), W, flat, groups=R)
            else:
                h = F.conv2d(h, W, flat, padding=pad, groups=R)
            h = show(phi(h))
        h = h.unflatten(1, (R, -1)).transpose(0, 1)  # (R, B, channels, H, W)
        if self.outputs is None:
            return h
        return linear(params, "head", h.mean((-2, -1)).transpose(-1, -2)).transpose(-1, -2)
