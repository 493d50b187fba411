"""ResNet-9: the small residual network of fast CIFAR training."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from initlab.models.blocks import conv_norm_act, multiplier
from initlab.models.module import ModuleModel, check_count
from initlab.spec import spec


class TwoConvolutions(nn.Module):
    """x + N(x), where N is two convolutions, each with normalization and activation."""

    def __init__(
        self, width: int, norm: str, act: str, scaled: bool = False, pixel: bool = False
    ) -> None:
        """N keeps the `width` and the size, which may be one `pixel`; `scaled`: times a number that
        is trained.
        """
        super().__init__()
        self.layer1 = conv_norm_act(width, width, norm, act, pixel=pixel)
        self.layer2 = conv_norm_act(width, width, norm, act, pixel=pixel)
        self.multiplier = multiplier(scaled)

    def forward(self, x: Tensor) -> Tensor:
        """One residual step."""
        return x + self.multiplier(self.layer2(self.layer1(x)))


@spec
class ResNet9(ModuleModel):
    """Four convolutions of w, 2w, 4w and 8w channels, two residual blocks of two, a linear head.

    Each convolution has its normalization and activation; the second, third and fourth are
    max-pooled, a block follows the second and the fourth, and a global maximum the last. After
    D. Page's DAWNBench entry of 2018 ("How to train your ResNet"), with a bias in the head. With
    `multiplier` each block's N is multiplied by one number that is trained.

    >>> ResNet9().depth
    9
    """

    width: int = 64
    input_shape: tuple[int, int, int] = (3, 32, 32)
    outputs: int = 10
    activation: str = "relu"
    norm: str = "batch"
    multiplier: bool = False

    def __post_init__(self) -> None:
        """Refuse impossible sizes and unknown names."""
        check_count("width", self.width)
        self._check(halvings=3)

    @property
    def depth(self) -> int:
        """Number of convolutions and linear layers on the main path."""
        return 9

    def _chain(self) -> OrderedDict[str, nn.Module]:
        """See `ModuleModel._chain`."""
        w, norm, act = self.width, self.norm, self.activation
        pixel = max(self.input_shape[1:]) < 16  # all that three poolings leave of an image
        return OrderedDict(
            layer1=conv_norm_act(self.input_shape[0], w, norm, act),
            layer2=conv_norm_act(w, 2 * w, norm, act),
            pool2=nn.MaxPool2d(2),
            block1=TwoConvolutions(2 * w, norm, act, self.multiplier),
            layer3=conv_norm_act(2 * w, 4 * w, norm, act),
            pool3=nn.MaxPool2d(2),
            layer4=conv_norm_act(4 * w, 8 * w, norm, act),
            pool4=nn.MaxPool2d(2),
            block2=TwoConvolutions(8 * w, norm, act, self.multiplier, pixel),
            pool=nn.AdaptiveMaxPool2d(1),
            flatten=nn.Flatten(),
            head=nn.Linear(8 * w, self.outputs),
        )
