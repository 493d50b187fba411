"""DenseNet for small images."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from initlab.models.activations import Activation
from initlab.models.blocks import average_head, convolution, normalization
from initlab.models.module import ModuleModel, check_count
from initlab.spec import spec


def norm_act_conv(
    before: int, after: int, norm: str, act: str, kernel: int
) -> OrderedDict[str, nn.Module]:
    """Normalization, activation and a convolution."""
    return OrderedDict(
        norm=normalization(norm, before),
        act=Activation(act),
        conv=convolution(before, after, norm, kernel),
    )


class DenseBlock(nn.Module):
    """The input, and after it along the channels `growth` new ones computed from all of it."""

    def __init__(self, before: int, growth: int, bottleneck: bool, norm: str, act: str) -> None:
        """With a bottleneck, a 1×1 convolution to 4 · `growth` channels comes first."""
        super().__init__()
        self.squeeze: nn.Module = nn.Identity()
        if bottleneck:
            self.squeeze = nn.Sequential(norm_act_conv(before, 4 * growth, norm, act, kernel=1))
            before = 4 * growth
        self.grow = nn.Sequential(norm_act_conv(before, growth, norm, act, kernel=3))

    def forward(self, x: Tensor) -> Tensor:
        """`growth` channels more."""
        return torch.cat([x, self.grow(self.squeeze(x))], 1)


@spec
class DenseNet(ModuleModel):
    """Huang et al. 2017 for small images: three dense stages of `depth` weighted layers in all.

    In a stage every layer adds `growth` channels to what all layers before it made. Between
    stages a 1×1 convolution keeps `compression` of the channels and the image is averaged to
    half its size. DenseNet-BC is `bottleneck=True, compression=0.5`; its stem has 2 · `growth`
    channels, that of the others 16.

    >>> DenseNet(depth=100, bottleneck=True, compression=0.5).blocks
    16
    """

    depth: int = 40
    growth: int = 12
    compression: float = 1.0
    bottleneck: bool = False
    input_shape: tuple[int, int, int] = (3, 32, 32)
    outputs: int = 10
    activation: str = "relu"
    norm: str = "batch"

    def __post_init__(self) -> None:
        """Refuse impossible sizes, unknown names and depths that are not three equal stages."""
        check_count("depth", self.depth)
        check_count("growth", self.growth)
        each = 6 if self.bottleneck else 3
        if self.depth < 4 + each or (self.depth - 4) % each:
            with_or_without = "with" if self.bottleneck else "without"
            raise ValueError(
                f"depth must be 4 + {each}·n for three stages of n blocks {with_or_without} "
                f"bottleneck, such as {4 + each}, {4 + 2 * each}, {4 + 3 * each}, not {self.depth}"
            )
        if not isinstance(self.compression, (int, float)) or not 0 < self.compression <= 1:
            raise ValueError(f"compression must be in (0, 1], not {self.compression!r}")
        object.__setattr__(self, "compression", float(self.compression))
        self._check(halvings=2)

    @property
    def blocks(self) -> int:
        """Number of dense blocks in each stage."""
        return (self.depth - 4) // (6 if self.bottleneck else 3)

    def _chain(self) -> OrderedDict[str, nn.Module]:
        """See `ModuleModel._chain`."""
        norm, act = self.norm, self.activation
        compressed = self.bottleneck and self.compression < 1
        channels = 2 * self.growth if compressed else 16
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        modules["layer1"] = nn.Sequential(
            OrderedDict(conv=convolution(self.input_shape[0], channels, norm))
        )
        for stage in (1, 2, 3):
            for j in range(1, self.blocks + 1):
                modules[f"block{(stage - 1) * self.blocks + j}"] = DenseBlock(
                    channels, self.growth, self.bottleneck, norm, act
                )
                channels += self.growth
            if stage < 3:
                kept = max(1, int(self.compression * channels))
                modules[f"layer{stage + 1}"] = nn.Sequential(
                    norm_act_conv(channels, kept, norm, act, kernel=1)
                )
                modules[f"pool{stage + 1}"] = nn.AvgPool2d(2)
                channels = kept
        modules["layer4"] = nn.Sequential(
            OrderedDict(norm=normalization(norm, channels), act=Activation(act))
        )
        return modules | average_head(channels, self.outputs)
