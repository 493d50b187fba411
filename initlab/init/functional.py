"""Computing a network from given values, without changing it, and seeing its layers on the way.

Schemes that look at data call the user's module with parameters of their own. Nothing is hooked
or written: the values replace the module's own for one call (`torch.func.functional_call`), its
buffers are copies, and layers are seen as the calls that they make (`TorchFunctionMode`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from initlab.generator import LOCK, drawing_from

_TRANSPOSED = {torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d}
_CONV_OPTIONS = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
_TRANSPOSED_OPTIONS = {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1}
#: Calls with a weight as their second argument and a bias as their third, and what follows it.
_LAYERS: dict[Callable, dict[str, Any]] = {
    F.linear: {},
    **dict.fromkeys((torch.conv1d, torch.conv2d, torch.conv3d), _CONV_OPTIONS),
    **dict.fromkeys(_TRANSPOSED, _TRANSPOSED_OPTIONS),
}


class Call(NamedTuple):
    """One call of a weighted layer.

    `weight` and `bias` are parameter names (the bias's only where it is one that was given),
    `shift` is the bias itself, `x` the input, `out` the output without the bias and `axis` the
    axis of the output that counts units. `options` are those of a convolution by name: stride,
    padding, dilation, groups.
    """

    weight: str
    bias: str
    shift: Tensor | None
    x: Tensor
    out: Tensor
    axis: int
    options: dict[str, Any]
    transposed: bool


class Seen(TorchFunctionMode):
    """While active, shows each weighted layer's first call to `visit`; takes what it returns.

    `visit` is given a `Call` and returns the layer's output, which later layers see. Layers of
    later calls of the same weight are computed as they are.
    """

    def __init__(self, params: Mapping[str, Tensor], visit: Callable[[Call], Tensor]) -> None:
        """`params` are the tensors with which the network is called, by name."""
        super().__init__()
        self.names = {id(p): name for name, p in params.items()}
        self.visit = visit
        self.done: set[str] = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """See `torch.overrides.TorchFunctionMode`."""
        kwargs = kwargs or {}
        if func is torch._weight_norm:  # the weight is made from a direction and a norm
            out = func(*args, **kwargs)
            self.names[id(out)] = self.names.get(id(args[0]), "")
            self.made = out  # kept, so that no other tensor takes its id
            return out
        if func not in _LAYERS or len(args) < 2:
            return func(*args, **kwargs)
        x, weight = args[:2]
        bias = args[2] if len(args) > 2 else kwargs.get("bias")
        name = self.names.get(id(weight), "")
        if not name or name in self.done:
            return func(*args, **kwargs)
        self.done.add(name)
        bias_name = "" if bias is None else self.names.get(id(bias), "")
        options = {**_LAYERS[func], **dict(zip(_LAYERS[func], args[3:], strict=False))}
        options |= {k: v for k, v in kwargs.items() if k in options}
        out = func(x, weight, None, **options)
        axis, transposed = -1 if func is F.linear else 1, func in _TRANSPOSED
        return self.visit(Call(name, bias_name, bias, x, out, axis, options, transposed))


def buffers(module: nn.Module, device: torch.device) -> dict[str, Tensor]:
    """Copies of a module's buffers; of a module on the meta device, those of a new one.

    Raises `ValueError` for a buffer on the meta device that is no statistic of normalization.
    """
    own: dict[str, Tensor] = {}
    for name, buffer in module.named_buffers():
        if not buffer.is_meta:
            own[name] = buffer.detach().to(device, copy=True)
        elif name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            make = torch.ones_like if name.endswith("running_var") else torch.zeros_like
            own[name] = make(buffer, device=device)
        else:
            raise ValueError(
                f"the buffer {name} has no values on the meta device, and a scheme that looks at "
                "data needs them: build the module on a device"
            )
    return own


class FunctionalModule:
    """A module as a function of its parameters, for one device; the module is only read."""

    def __init__(self, module: nn.Module, params: Mapping[str, Tensor]) -> None:
        """`params` are some or all parameters; the others are the module's own values.

        Raises `ValueError` where a parameter that is not given has no values.
        """
        self.module = module
        self.device = next(iter(params.values())).device
        self.rest: dict[str, Tensor] = {}
        for name, p in module.named_parameters():
            if name not in params:
                if p.is_meta:
                    raise ValueError(
                        f"{name} is left alone by the scheme and has no values on the meta "
                        "device: build the module on a device"
                    )
                self.rest[name] = p.detach().to(self.device)
        self.start = buffers(module, self.device)

    def __call__(self, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """The outputs, in the mode (training or evaluation) in which the module is.

        The network gets a copy of `x`: it may write over its input.
        """
        own = {name: b.clone() for name, b in self.start.items()}
        with LOCK:
            return functional_call(self.module, {**self.rest, **params, **own}, (x.clone(),))


@contextmanager
def seeded(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """Dropout and other draws of the network itself come from `generator`; no state is left."""
    with drawing_from(int(torch.randint(2**62, (), generator=generator)), device):
        yield


def check_batch(batch: Any) -> tuple[Tensor, Tensor]:
    """The batch as (inputs, targets); raises `ValueError` for what is none."""
    pair = isinstance(batch, tuple | list) and len(batch) == 2
    if not pair or not all(isinstance(t, Tensor) for t in batch):
        raise ValueError(
            f"batch must be a pair of tensors (inputs, targets), not {type(batch).__name__}"
        )
    x, y = batch
    if len(x) != len(y) or len(x) < 2:
        raise ValueError(
            f"batch must hold two or more examples and as many targets, not {len(x)} and {len(y)}"
        )
    return x, y


def batch_loss(outputs: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy for classes (whole numbers), mean squared error for targets like the outputs.

    Raises `ValueError` for targets that are neither.
    """
    if not y.is_floating_point() and outputs.dim() == 2 and y.dim() == 1:
        return F.cross_entropy(outputs, y)
    if y.shape == outputs.shape:
        return F.mse_loss(outputs, y.to(outputs.dtype))
    raise ValueError(
        f"targets must be classes (batch,) for outputs (batch, classes), or numbers of the shape "
        f"of the outputs, not {tuple(y.shape)} {y.dtype} for outputs {tuple(outputs.shape)}"
    )
