"""ResNet-18 with the CIFAR stem, in its first form and with pre-activation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor, nn

from initlab.models.activations import Activation
from initlab.models.blocks import (
    average_head,
    conv_norm,
    conv_norm_act,
    convolution,
    multiplier,
    normalization,
)
from initlab.models.module import ModuleModel, check_count
from initlab.spec import spec


class BasicBlock(nn.Module):
    """φ(S(x) + N(x)): N is conv, norm, φ, conv, norm (He et al. 2016a).

    The shortcut S is the identity, or a 1×1 convolution with its normalization where the number
    of channels or the size changes.
    """

    def __init__(
        self, before: int, after: int, stride: int, norm: str, act: str, scaled: bool = False
    ) -> None:
        """N maps `before` to `after` channels; its first convolution has the stride.

        With `scaled` N is multiplied by a number that is trained.
        """
        super().__init__()
        self.conv1 = convolution(before, after, norm, stride=stride)
        self.norm1 = normalization(norm, after)
        self.act1 = Activation(act)
        self.conv2 = convolution(after, after, norm)
        self.norm2 = normalization(norm, after)
        self.multiplier = multiplier(scaled)
        self.shortcut = nn.Sequential()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(conv_norm(before, after, norm, kernel=1, stride=stride))
        self.act2 = Activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """One residual step."""
        y = self.act1(self.norm1(self.conv1(x)))
        return self.act2(self.shortcut(x) + self.multiplier(self.norm2(self.conv2(y))))


class PreActBlock(nn.Module):
    """S(x) + N(x): N is norm, φ, conv, norm, φ, conv (He et al. 2016b).

    The shortcut S is the identity, or a 1×1 convolution of φ(norm(x)) where the number of
    channels or the size changes.
    """

    def __init__(
        self, before: int, after: int, stride: int, norm: str, act: str, scaled: bool = False
    ) -> None:
        """N maps `before` to `after` channels; its first convolution has the stride.

        With `scaled` N is multiplied by a number that is trained.
        """
        super().__init__()
        self.norm1 = normalization(norm, before)
        self.act1 = Activation(act)
        self.conv1 = convolution(before, after, norm, stride=stride)
        self.norm2 = normalization(norm, after)
        self.act2 = Activation(act)
        self.conv2 = convolution(after, after, norm)
        self.multiplier = multiplier(scaled)
        self.shortcut: nn.Conv2d | None = None
        if stride != 1 or before != after:
            self.shortcut = convolution(before, after, norm, kernel=1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """One residual step."""
        y = self.act1(self.norm1(x))
        if self.shortcut is not None:
            x = self.shortcut(y)
        return x + self.multiplier(self.conv2(self.act2(self.norm2(self.conv1(y)))))


def stages(width: int) -> Iterator[tuple[int, int, int, int]]:
    """(number, channels before, channels after, stride) of the eight blocks: two of each width.

    >>> list(stages(2))[:3]
    [(1, 2, 2, 1), (2, 2, 2, 1), (3, 2, 4, 2)]
    """
    before = width
    for block in range(8):
        after = width * 2 ** (block // 2)
        yield block + 1, before, after, 1 if after == before else 2
        before = after


@spec
class ResNet18(ModuleModel):
    """He et al. 2016a for small images: a 3×3 stem, then eight basic blocks in four stages.

    The stages have w, 2w, 4w and 8w channels; each after the first halves the image by a stride
    of 2. Where they meet, the shortcut is a projection. Global averaging and a linear head
    follow. With `multiplier` each block's N is multiplied by one number that is trained.

    >>> ResNet18(width=16).depth
    18
    """

    width: int = 64
    input_shape: tuple[int, int, int] = (3, 32, 32)
    outputs: int = 10
    activation: str = "relu"
    norm: str = "batch"
    multiplier: bool = False
    _block: ClassVar[type[BasicBlock] | type[PreActBlock]] = BasicBlock

    def __post_init__(self) -> None:
        """Refuse impossible sizes and unknown names."""
        check_count("width", self.width)
        self._check()

    @property
    def depth(self) -> int:
        """Number of convolutions and linear layers on the main path."""
        return 18

    def _stem(self) -> nn.Sequential:
        """What is before the blocks."""
        return conv_norm_act(self.input_shape[0], self.width, self.norm, self.activation)

    def _chain(self) -> OrderedDict[str, nn.Module]:
        """See `ModuleModel._chain`."""
        modules: OrderedDict[str, nn.Module] = OrderedDict(layer1=self._stem())
        for number, before, after, stride in stages(self.width):
            modules[f"block{number}"] = self._block(
                before, after, stride, self.norm, self.activation, self.multiplier
            )
        return modules | average_head(8 * self.width, self.outputs)


@spec
class PreActResNet18(ResNet18):
    """He et al. 2016b for small images: as `ResNet18`, with norm and activation before each conv.

    Nothing is applied between the last block and the global average, as in the code that CIFAR
    studies use under this name; the paper has one more normalization and activation there. With
    `multiplier` each block's N is multiplied by one number that is trained.

    >>> PreActResNet18(width=16).depth
    18
    """

    _block: ClassVar[type[BasicBlock] | type[PreActBlock]] = PreActBlock

    def _stem(self) -> nn.Sequential:
        """What is before the blocks: a convolution alone."""
        return nn.Sequential(
            OrderedDict(conv=convolution(self.input_shape[0], self.width, self.norm))
        )
