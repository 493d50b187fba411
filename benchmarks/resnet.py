"""The ResNet-9 of case (d), as PyTorch users write it."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from torch import Tensor, nn


def _conv(before: int, after: int, pool: bool = False) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(before, after, 3, padding=1, bias=False),
        norm=nn.BatchNorm2d(after),
        act=nn.ReLU(),
    )
    if pool:
        layers["pool"] = nn.MaxPool2d(2)
    return nn.Sequential(layers)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _conv(width, width), _conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x))


@dataclass(frozen=True)
class ResNet9:
    """Eight convolutions with BatchNorm, two skips, global max pooling and a linear head."""

    width: int
    input_shape: tuple[int, int, int] = (3, 32, 32)
    outputs: int = 10

    def build(self, device: str = "cpu") -> nn.Module:
        """The network as a `torch.nn.Module`."""
        w = self.width
        return nn.Sequential(
            OrderedDict(
                stem=_conv(self.input_shape[0], w),
                down1=_conv(w, 2 * w, pool=True),
                block1=_Residual(2 * w),
                down2=_conv(2 * w, 4 * w, pool=True),
                down3=_conv(4 * w, 8 * w, pool=True),
                block2=_Residual(8 * w),
                pool=nn.AdaptiveMaxPool2d(1),
                flatten=nn.Flatten(),
                head=nn.Linear(8 * w, self.outputs),
            )
        ).to(device)
