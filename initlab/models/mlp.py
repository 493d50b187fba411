"""Fully connected networks, plain and residual."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from initlab.models.activations import Activation, AnyActivation, activation, overwriting
from initlab.models.blocks import Multiplier
from initlab.models.stacked import (
    NORMALIZATIONS,
    Params,
    Tap,
    batch_norm,
    check_widths,
    examples_last,
    linear,
)
from initlab.spec import spec


@spec
class MLP:
    """A fully connected network: hidden layers of the given `widths`, then a linear head.

    The `activation` is one by name, or a `Transformed` one.
    `outputs=None` leaves the head out, so that the last hidden layer is the output. With `norm`
    "batch" every hidden layer is normalized before its activation. There are no running averages:
    a batch is normalized by itself when the network is evaluated, too.
    """

    widths: tuple[int, ...]
    inputs: int = 784
    outputs: int | None = 10
    activation: AnyActivation = "relu"
    bias: bool = True
    norm: str = "none"

    def __post_init__(self) -> None:
        """Refuse impossible widths and unknown activations and normalizations."""
        check_widths("widths", self.widths)
        check_widths("inputs", (self.inputs,))
        check_widths("outputs", (1 if self.outputs is None else self.outputs,))
        activation(self.activation)
        if self.norm not in NORMALIZATIONS:
            raise ValueError(f"norm must be 'batch' or 'none', not {self.norm!r}")

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
            if self.norm == "batch":
                modules[f"norm{j}"] = nn.BatchNorm1d(
                    width, track_running_stats=False, device=device
                )
            modules[f"act{j}"] = Activation(self.activation)
            before = width
        if self.outputs is not None:
            modules["head"] = nn.Linear(before, self.outputs, bias=self.bias, device=device)
        return nn.Sequential(modules)

    def forward(self, params: Params, x: Tensor, tap: Tap | None = None) -> Tensor:
        """Outputs (R, B, outputs) of R networks on `x`, (B, inputs) shared or (R, B, inputs)."""
        phi = overwriting(self.activation)
        h = examples_last(x, self.inputs)
        if tap:
            tap(h)
        for j in range(1, self.depth + 1):
            h = linear(params, f"layer{j}", h)
            if self.norm == "batch":
                h = batch_norm(params, f"norm{j}", h)
            h = phi(h)
            if tap:
                tap(h)
        if self.outputs is not None:
            h = linear(params, "head", h)
        return h.transpose(-1, -2)


@spec
class LogisticRegression:
    """One linear layer from the inputs to the classes: the network without hidden layers.

    Its loss has one valley, so that where it ends hardly depends on where it starts.
    """

    inputs: int = 784
    outputs: int = 10
    bias: bool = True

    def __post_init__(self) -> None:
        """Refuse impossible widths."""
        check_widths("inputs and outputs", (self.inputs, self.outputs))

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return 0

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return (self.inputs,)

    def build(self, device: str | torch.device = "cpu") -> nn.Module:
        """The network as a `torch.nn.Module` with PyTorch's own initialization."""
        head = nn.Linear(self.inputs, self.outputs, bias=self.bias, device=device)
        return nn.Sequential(OrderedDict(head=head))

    def forward(self, params: Params, x: Tensor, tap: Tap | None = None) -> Tensor:
        """Outputs (R, B, outputs) of R networks on `x`, (B, inputs) shared or (R, B, inputs)."""
        h = examples_last(x, self.inputs)
        if tap:
            tap(h)
        return linear(params, "head", h).transpose(-1, -2)


class ResidualBlock(nn.Module):
    """x + η N(x), where N is ReLU(W x + b), or W₂ ReLU(W₁ x + b₁) + b₂.

    With a multiplier α that is trained, x + η α N(x).
    """

    def __init__(
        self,
        width: int,
        eta: float,
        matrices: int,
        name: str,
        bias: bool,
        device,
        multiplier: bool = False,
    ) -> None:
        """Make the module N of `matrices` layers of the given `width`."""
        super().__init__()
        self.eta = eta
        self.linear1 = nn.Linear(width, width, bias=bias, device=device)
        self.act = Activation(name)
        if matrices == 2:
            self.linear2 = nn.Linear(width, width, bias=bias, device=device)
        if multiplier:
            self.multiplier = Multiplier(device)

    def forward(self, x: Tensor) -> Tensor:
        """One residual step."""
        y = self.act(self.linear1(x))
        if hasattr(self, "linear2"):
            y = self.linear2(y)
        if hasattr(self, "multiplier"):
            y = self.multiplier(y)
        return x + self.eta * y


@spec
class ResidualMLP:
    """x_l = x_{l−1} + η_l N_l(x_{l−1}) for l = 1 … modules (Hanin & Rolnick 2018, section 3).

    `scales` is η: a number b for η_l = b^l (so `1.0` is the plain residual network), or one
    number per module. N_l has one matrix, ReLU(W x), or two, W₂ ReLU(W₁ x). With `inputs`
    a linear stem maps the data to the residual stream; without, inputs are `width` long. With
    `multiplier` each N_l is also multiplied by one number that is trained.
    """

    modules: int
    width: int
    scales: float | tuple[float, ...] = 1.0
    matrices: int = 1
    inputs: int | None = None
    outputs: int | None = None
    activation: str = "relu"
    bias: bool = True
    multiplier: bool = False

    def __post_init__(self) -> None:
        """Refuse impossible sizes and a list of scales of the wrong length."""
        check_widths("modules and width", (self.modules, self.width))
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
                self.width,
                eta,
                self.matrices,
                self.activation,
                self.bias,
                device,
                self.multiplier,
            )
        if self.outputs is not None:
            modules["head"] = nn.Linear(self.width, self.outputs, bias=self.bias, device=device)
        return nn.Sequential(modules)

    def forward(self, params: Params, x: Tensor, tap: Tap | None = None) -> Tensor:
        """Outputs (R, B, outputs) of R networks on `x`, (B, inputs) shared or (R, B, inputs).

        The tap sees the residual stream: the stem's output first, where there is a stem.
        """
        phi = overwriting(self.activation)
        h = examples_last(x, self.input_shape[0])
        if self.inputs is not None:
            h = linear(params, "stem", h)
        if tap:
            tap(h)
        for j, eta in enumerate(self.etas, 1):
            y = phi(linear(params, f"block{j}.linear1", h))
            if self.matrices == 2:
                y = linear(params, f"block{j}.linear2", y)
            if self.multiplier:
                y = params[f"block{j}.multiplier.weight"].view(-1, 1, 1) * y
            h = h + eta * y
            if tap:
                tap(h)
        if self.outputs is not None:
            h = linear(params, "head", h)
        return h.transpose(-1, -2)
