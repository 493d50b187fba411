"""Parts that the convolutional families share."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initlab.models.activations import Activation


class Multiplier(nn.Module):
    """A residual branch times one number that is trained (SkipInit, ReZero, Fixup)."""

    bias = None

    def __init__(self, device: str | torch.device | None = None) -> None:
        """The number is 1 until it is initialized."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones((), device=device))

    def forward(self, x: Tensor) -> Tensor:
        """The product."""
        return self.weight * x


def multiplier(trained: bool) -> nn.Module:
    """A `Multiplier`, or nothing: what a residual branch ends in."""
    return Multiplier() if trained else nn.Identity()


class OfPixels(nn.Conv2d):
    """A convolution of images of one pixel, as `nn.Conv2d` up to rounding.

    Only the middle of the kernel sees anything but padding there: the rest is left out, and has the
    gradient 0 that it has in `nn.Conv2d`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, 1, 1) to such a one."""
        height, width = self.kernel_size
        # A copy: what a product rounds to depends on where in memory it finds its numbers.
        middle = self.weight[:, :, height // 2, width // 2].contiguous()
        return F.linear(x.flatten(1), middle, self.bias)[..., None, None]


def convolution(
    before: int,
    after: int,
    norm: str,
    kernel: int = 3,
    stride: int = 1,
    groups: int = 1,
    pixel: bool = False,
) -> nn.Conv2d:
    """A convolution that keeps the size up to its stride; `pixel`: of images of one pixel.

    It has a bias only in networks without normalization, which would take it away again.
    """
    kind = OfPixels if pixel else nn.Conv2d
    return kind(
        before,
        after,
        kernel,
        stride,
        padding=kernel // 2,
        groups=groups,
        bias=norm == "none",
    )


def normalization(norm: str, channels: int) -> nn.Module:
    """The normalization of that name over `channels`."""
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()


def conv_norm(before: int, after: int, norm: str, **how: Any) -> OrderedDict[str, nn.Module]:
    """A convolution (`how` as for `convolution`) and its normalization."""
    return OrderedDict(
        conv=convolution(before, after, norm, **how), norm=normalization(norm, after)
    )


def conv_norm_act(before: int, after: int, norm: str, act: str, **how: Any) -> nn.Sequential:
    """A convolution (`how` as for `convolution`), its normalization and an activation."""
    return nn.Sequential(conv_norm(before, after, norm, **how) | {"act": Activation(act)})


def average_head(channels: int, outputs: int) -> OrderedDict[str, nn.Module]:
    """Global averaging and a linear head."""
    return OrderedDict(
        pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), head=nn.Linear(channels, outputs)
    )
