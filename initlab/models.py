"""Networks from a frozen spec: what is computed, and nothing about where it starts.

A model is a value. `build` makes the ordinary `torch.nn.Module`, for a user's own loop and
for reading off the layers; `forward` computes many networks of that shape as one, from
parameters stacked along a first axis. Both give the same numbers.

Inside `forward` the examples run along the last axis, so that a layer of `R` narrow networks
is one batched matrix product over long contiguous rows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from initlab.spec import spec

#: Parameters of R networks: name → tensor (R, *shape).
Params: TypeAlias = Mapping[str, Tensor]
#: Called with the input and then with each hidden layer's output, (R, units, ..., batch).
Tap: TypeAlias = Callable[[Tensor], None]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "erf": torch.erf,
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "silu": F.silu,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation of that name; raises `ValueError` naming the known ones."""
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}; known: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


class Activation(nn.Module):
    """An activation by name, as a module."""

    def __init__(self, name: str) -> None:
        """Look `name` up in `ACTIVATIONS`."""
        super().__init__()
        self.name = name
        self.function = activation(name)

    def forward(self, x: Tensor) -> Tensor:
        """The activation, elementwise."""
        return self.function(x)

    def extra_repr(self) -> str:
        """The name, for `print(module)`."""
        return self.name


def _check_widths(what: str, widths: tuple[int, ...]) -> None:
    if not widths or any(not isinstance(w, int) or w < 1 for w in widths):
        raise ValueError(f"{what} must be one or more whole numbers ≥ 1, not {widths!r}")


def _examples_last(x: Tensor, features: int) -> Tensor:
    """(B, features) → (features, B), or (R, B, features) → (R, features, B)."""
    if x.shape[-1] != features or x.dim() not in (2, 3):
        raise ValueError(
            f"this network takes vectors of {features} features, (batch, {features}) or "
            f"(networks, batch, {features}); the input has shape {tuple(x.shape)}"
        )
    return x.transpose(-1, -2)


def _linear(params: Params, name: str, h: Tensor) -> Tensor:
    """W h + b for R networks; `h` is (R, in, B), or (in, B) when all networks share it."""
    W = params[f"{name}.weight"]  # (R, out, in)
    b = params.get(f"{name}.bias")  # (R, out)
    if h.dim() == 2:  # one large product instead of R small ones
        out = (W.flatten(0, 1) @ h).unflatten(0, W.shape[:2])
        return out if b is None else out + b.unsqueeze(-1)
    return torch.bmm(W, h) if b is None else torch.baddbmm(b.unsqueeze(-1), W, h)


@spec
class MLP:
    """A fully connected network: hidden layers of the given `widths`, then a linear head.

    `outputs=None` leaves the head out, so that the last hidden layer is the output.
    """

    widths: tuple[int, ...]
    inputs: int = 784
    outputs: int | None = 10
    activation: str = "relu"
    bias: bool = True

    def __post_init__(self) -> None:
        """Refuse impossible widths and unknown activations."""
        _check_widths("widths", self.widths)
        activation(self.activation)

    @classmethod
    def constant(cls, depth: int, width: int, **fields) -> MLP:
        """`depth` hidden layers of one `width`.

        >>> MLP.constant(3, 20).widths
        (20, 20, 20)
        """
        if depth < 1:
            raise ValueError(f"depth must be ≥ 1, not {depth}")
        return cls(widths=(width,) * depth, **fields)

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return len(self.widths)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return (self.inputs,)

    def build(self, device: str | torch.device = "cpu") -> nn.Module:
        """The network as a `torch.nn.Module` with PyTorch's own initialization."""
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        before = self.inputs
        for j, width in enumerate(self.widths, 1):
            modules[f"layer{j}"] = nn.Linear(before, width, bias=self.bias, device=device)
            modules[f"act{j}"] = Activation(self.activation)
            before = width
        if self.outputs is not None:
            modules["head"] = nn.Linear(before, self.outputs, bias=self.bias, device=device)
        return nn.Sequential(modules)

    def forward(self, params: Params, x: Tensor, tap: Tap | None = None) -> Tensor:
        """Outputs (R, B, outputs) of R networks on `x`, (B, inputs) shared or (R, B, inputs)."""
        phi = activation(self.activation)
        h = _examples_last(x, self.inputs)
        if tap:
            tap(h)
        for j in range(1, self.depth + 1):
            h = phi(_linear(params, f"layer{j}", h))
            if tap:
                tap(h)
        if self.outputs is not None:
            h = _linear(params, "head", h)
        return h.transpose(-1, -2)


class ResidualBlock(nn.Module):
    """x + η N(x), where N is ReLU(W x + b), or W₂ ReLU(W₁ x + b₁) + b₂."""

    def __init__(
        self, width: int, eta: float, matrices: int, name: str, bias: bool, device
    ) -> None:
        """Make the module N of `matrices` layers of the given `width`."""
        super().__init__()
        self.eta = eta
        self.linear1 = nn.Linear(width, width, bias=bias, device=device)
        self.act = Activation(name)
        if matrices == 2:
            self.linear2 = nn.Linear(width, width, bias=bias, device=device)

    def forward(self, x: Tensor) -> Tensor:
        """One residual step."""
        y = self.act(self.linear1(x))
        if hasattr(self, "linear2"):
            y = self.linear2(y)
        return x + self.eta * y


@spec
class ResidualMLP:
    """x_l = x_{l−1} + η_l N_l(x_{l−1}) for l = 1 … modules (Hanin & Rolnick 2018, section 3).

    `scales` is η: a number b for η_l = b^l (so `1.0` is the plain residual network), or one
    number per module. N_l has one matrix, ReLU(W x), or two, W₂ ReLU(W₁ x). With `inputs`
    a linear stem maps the data to the residual stream; without, inputs are `width` long.
    """

    modules: int
    width: int
    scales: float | tuple[float, ...] = 1.0
    matrices: int = 1
    inputs: int | None = None
    outputs: int | None = None
    activation: str = "relu"
    bias: bool = True

    def __post_init__(self) -> None:
        """Refuse impossible sizes and a list of scales of the wrong length."""
        _check_widths("modules and width", (self.modules, self.width))
        activation(self.activation)
        if self.matrices not in (1, 2):
            raise ValueError(f"a residual module has 1 or 2 matrices, not {self.matrices}")
        if isinstance(self.scales, int):
            object.__setattr__(self, "scales", float(self.scales))
        if isinstance(self.scales, tuple) and len(self.scales) != self.modules:
            raise ValueError(f"{len(self.scales)} scales were given for {self.modules} modules")

    @property
    def depth(self) -> int:
        """Number of residual modules."""
        return self.modules

    @property
    def etas(self) -> tuple[float, ...]:
        """η_1 … η_L."""
        if isinstance(self.scales, tuple):
            return self.scales
        return tuple(self.scales**l for l in range(1, self.modules + 1))  # noqa: E741

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return (self.width if self.inputs is None else self.inputs,)

    def build(self, device: str | torch.device = "cpu") -> nn.Module:
        """The network as a `torch.nn.Module` with PyTorch's own initialization."""
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        if self.inputs is not None:
            modules["stem"] = nn.Linear(self.inputs, self.width, bias=self.bias, device=device)
        for j, eta in enumerate(self.etas, 1):
            modules[f"block{j}"] = ResidualBlock(
                self.width, eta, self.matrices, self.activation, self.bias, device
            )
        if self.outputs is not None:
            modules["head"] = nn.Linear(self.width, self.outputs, bias=self.bias, device=device)
        return nn.Sequential(modules)

    def forward(self, params: Params, x: Tensor, tap: Tap | None = None) -> Tensor:
        """Outputs (R, B, outputs) of R networks on `x`, (B, inputs) shared or (R, B, inputs).

        The tap sees the residual stream: the stem's output first, where there is a stem.
        """
        phi = activation(self.activation)
        h = _examples_last(x, self.input_shape[0])
        if self.inputs is not None:
            h = _linear(params, "stem", h)
        if tap:
            tap(h)
        for j, eta in enumerate(self.etas, 1):
            y = phi(_linear(params, f"block{j}.linear1", h))
            if self.matrices == 2:
                y = _linear(params, f"block{j}.linear2", y)
            h = h + eta * y
            if tap:
                tap(h)
        if self.outputs is not None:
            h = _linear(params, "head", h)
        return h.transpose(-1, -2)


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
        _check_widths("channels", self.channels)
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

        def show(h: Tensor) -> None:
            if tap:
                tap(h.unflatten(1, (R, -1)).movedim(0, -1))

        show(h)
        for j in range(1, self.depth + 1):
            W = params[f"layer{j}.weight"].flatten(0, 1)
            b = params.get(f"layer{j}.bias")
            flat = None if b is None else b.flatten()
            if self.padding == "circular":
                h = F.conv2d(F.pad(h, (pad,) * 4, mode="circular"), W, flat, groups=R)
            else:
                h = F.conv2d(h, W, flat, padding=pad, groups=R)
            h = phi(h)
            show(h)
        h = h.unflatten(1, (R, -1)).transpose(0, 1)  # (R, B, channels, H, W)
        if self.outputs is None:
            return h
        return _linear(params, "head", h.mean((-2, -1)).transpose(-1, -2)).transpose(-1, -2)


#: What a run may train: any of these specs.
Model: TypeAlias = MLP | ResidualMLP | ConvNet


def parameter_count(model: Model) -> int:
    """Number of weights and biases of one network.

    >>> parameter_count(MLP((5,), inputs=4, outputs=2))
    37
    """
    return sum(p.numel() for p in model.build("meta").parameters())
