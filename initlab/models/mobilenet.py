"""MobileNetV2 for small images."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from initlab.models.blocks import average_head, conv_norm, conv_norm_act, multiplier
from initlab.models.module import ModuleModel
from initlab.spec import spec

#: Stages (expansion, channels, blocks, stride of the first), Sandler et al. 2018, table 2; the
#: second stage keeps the size here, as the stem does, since the images are small.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def rounded(channels: float) -> int:
    """The nearest multiple of 8, but at least 8 and not more than a tenth below `channels`.

    >>> [rounded(c) for c in (4, 11, 12, 24)]
    [8, 16, 16, 24]
    """
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


class InvertedResidual(nn.Module):
    """Expand by a 1×1 convolution, filter each channel by itself, project linearly back.

    Without an expansion of channels the first step is left out. The input is added where it has
    the shape of the output.
    """

    def __init__(
        self,
        before: int,
        after: int,
        expansion: int,
        stride: int,
        norm: str,
        act: str,
        scaled: bool = False,
    ) -> None:
        """Between its ends the block has `expansion` · `before` channels.

        With `scaled` what is added to the input is multiplied by a number that is trained.
        """
        super().__init__()
        inner = expansion * before
        self.adds = stride == 1 and before == after
        self.expand: nn.Module = nn.Identity()
        if expansion > 1:
            self.expand = conv_norm_act(before, inner, norm, act, kernel=1)
        self.filter = conv_norm_act(inner, inner, norm, act, stride=stride, groups=inner)
        self.project = nn.Sequential(conv_norm(inner, after, norm, kernel=1))
        self.multiplier = multiplier(scaled and self.adds)

    def forward(self, x: Tensor) -> Tensor:
        """One step, residual where the shape is kept."""
        y = self.multiplier(self.project(self.filter(self.expand(x))))
        return x + y if self.adds else y


@spec
class MobileNetV2(ModuleModel):
    """Sandler et al. 2018, with stride 1 in the stem and in the second stage for small images.

    `width` multiplies all numbers of channels, each rounded to a multiple of 8; the last
    convolution's 1280 channels only grow. Blocks are those of the paper: no projection on the
    shortcut, and no expansion in the first block. There is no dropout. With `multiplier` what is
    added to a shortcut is multiplied by one number that is trained.

    >>> MobileNetV2().depth
    53
    """

    width: float = 1.0
    input_shape: tuple[int, int, int] = (3, 32, 32)
    outputs: int = 10
    activation: str = "relu6"
    norm: str = "batch"
    multiplier: bool = False

    def __post_init__(self) -> None:
        """Refuse impossible sizes and unknown names."""
        if not isinstance(self.width, (int, float)) or not 0 < self.width < float("inf"):
            raise ValueError(f"width is a multiplier > 0, not {self.width!r}")
        object.__setattr__(self, "width", float(self.width))
        self._check()

    @property
    def depth(self) -> int:
        """Number of convolutions and linear layers on the main path."""
        inside = sum(blocks * (2 if expansion == 1 else 3) for expansion, _, blocks, _ in STAGES)
        return inside + 3  # the stem, the last convolution and the head

    def _chain(self) -> OrderedDict[str, nn.Module]:
        """See `ModuleModel._chain`."""
        norm, act = self.norm, self.activation
        before, last = rounded(32 * self.width), rounded(1280 * max(1.0, self.width))
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        modules["layer1"] = conv_norm_act(self.input_shape[0], before, norm, act)
        number = 0
        for expansion, channels, blocks, first in STAGES:
            after = rounded(channels * self.width)
            for stride in (first, *[1] * (blocks - 1)):
                number += 1
                modules[f"block{number}"] = InvertedResidual(
                    before, after, expansion, stride, norm, act, self.multiplier
                )
                before = after
        modules["layer2"] = conv_norm_act(before, last, norm, act, kernel=1)
        return modules | average_head(last, self.outputs)
