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
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from initlab.generator import LOCK, drawing_from
from initlab.models.network import logits
from initlab.tree import apply, leaves

_TRANSPOSED = {torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d}
_CONV_OPTIONS = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
_TRANSPOSED_OPTIONS = {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1}
#: Calls with a weight as their second argument and a bias as their third, and what follows it.
_LAYERS: dict[Callable, dict[str, Any]] = {
    F.linear: {},
    **dict.fromkeys((torch.conv1d, torch.conv2d, torch.conv3d), _CONV_OPTIONS),
    **dict.fromkeys(_TRANSPOSED, _TRANSPOSED_OPTIONS),
}


#: What `torch.utils.checkpoint` does it with, under the names of several versions of PyTorch.
_RECOMPUTING = (
    "CheckpointFunction",
    "_checkpoint_without_reentrant_generator",
    "_checkpoint_without_reentrant_generator_impl",
)


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

        Raises `ValueError` where a parameter that is not given has no values, and for a scripted
        module, whose parameters cannot be given.
        """
        self.module = unwrapped(module)
        if isinstance(self.module, torch.jit.ScriptModule):
            raise ValueError(
                "a scripted module (torch.jit) cannot be computed with parameters that are given: "
                "take the module from which it was scripted"
            )
        known = dict(self.module.named_parameters())
        first = next(iter([*params.values(), *known.values()]), torch.zeros(()))
        self.device = first.device
        self.rest: dict[str, Tensor] = {}
        self.dtypes = {name: p.dtype for name, p in known.items()}
        for name, p in known.items():
            if name not in params:
                if p.is_meta:
                    raise ValueError(
                        f"{name} is left alone by the scheme and has no values on the meta "
                        "device: build the module on a device"
                    )
                self.rest[name] = p.detach().to(self.device)
        self.start = buffers(self.module, self.device)

    def __call__(self, params: Mapping[str, Tensor], x: Any) -> Tensor:
        """The logits, in the mode (training or evaluation) in which the module is.

        The network gets a copy of `x`, a tensor, a tuple or a mapping: it may write over its input.
        Values are taken in the type of number that the module's own have. Of what it gives out the
        logits are the output itself, else what it holds under `logits`, else its first entry.
        """
        own = {name: b.clone() for name, b in self.start.items()}
        given = {n: p.to(self.dtypes[n]) for n, p in params.items() if n in self.dtypes}
        inputs = apply(lambda t: t.clone(), x)
        with LOCK, _nothing_recomputed():
            values = {**self.rest, **given, **own}
            if isinstance(inputs, Mapping):
                return logits(functional_call(self.module, values, (), dict(inputs)))
            args = inputs if isinstance(inputs, tuple) else (inputs,)
            return logits(functional_call(self.module, values, args))


@contextmanager
def _nothing_recomputed() -> Iterator[None]:
    """Activations are kept where the module would compute them again for the backward pass, at
    which what looks at its layers is gone, as are the values that it was given.
    """
    made = torch.utils.checkpoint
    kept = {name: getattr(made, name) for name in _RECOMPUTING if hasattr(made, name)}
    try:
        for name in kept:
            setattr(made, name, _Kept if name == "CheckpointFunction" else _once)
        yield
    finally:
        for name, value in kept.items():
            setattr(made, name, value)


class _Kept:
    """In the place of `torch.utils.checkpoint.CheckpointFunction`."""

    @staticmethod
    def apply(function: Callable[..., Any], _: bool, *args: Any) -> Any:
        """Compute as everything else is computed."""
        return function(*args)


def _once(*_: Any, **__: Any) -> Iterator[None]:
    """In the place of what goes before and after a part that is computed again."""
    yield


def unwrapped(module: nn.Module) -> nn.Module:
    """The module within `torch.compile`, `DataParallel` and `DistributedDataParallel`."""
    while True:
        inner = getattr(module, "_orig_mod", None)
        parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
        if inner is None and isinstance(module, parallel):
            inner = module.module
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def of_parameters(module: nn.Module, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What of some values is of parameters, and not of buffers."""
    known = dict(unwrapped(module).named_parameters())
    return {name: value for name, value in values.items() if name in known}


@contextmanager
def seeded(generator: torch.Generator, device: torch.device) -> Iterator[None]:
    """Dropout and other draws of the network itself come from `generator`; no state is left."""
    with drawing_from(int(torch.randint(2**62, (), generator=generator)), device):
        yield


def check_batch(batch: Any) -> tuple[Any, Tensor]:
    """The batch as (inputs, targets); raises `ValueError` for what is none.

    Inputs are a tensor, or a tuple or mapping of tensors, of which the first axis counts examples.
    """
    pair = isinstance(batch, tuple | list) and len(batch) == 2
    tensors = list(leaves(batch[0])) if pair else []
    if not pair or not tensors or not isinstance(batch[1], Tensor):
        raise ValueError(
            f"batch must be a pair of tensors (inputs, targets), not {type(batch).__name__}; "
            "inputs may be a tuple or a mapping of tensors"
        )
    x, y = batch
    if len(tensors[0]) != len(y) or len(y) < 2:
        raise ValueError(
            f"batch must hold two or more examples and as many targets, not {len(tensors[0])} and "
            f"{len(y)}"
        )
    return x, y


def batch_loss(outputs: Tensor, y: Tensor) -> Tensor:
    """The mean loss for targets of the usual kinds.

    Cross-entropy for classes, one for each example, or for each place (outputs (batch, places,
    classes), as language models have them, or (batch, classes, …), as segmentation has them;
    classes of −100 do not count); binary cross-entropy for one logit and classes 0 and 1; mean
    squared error for numbers.

    Raises:
        ValueError: For targets that are none of these.
    """
    if not y.is_floating_point() and not y.is_complex():
        if outputs.dim() == y.dim() + 1 and outputs.shape[0] == y.shape[0]:
            if outputs.shape[-1] == 1 and outputs.shape[:-1] == y.shape:
                return F.binary_cross_entropy_with_logits(outputs.squeeze(-1), y.to(outputs.dtype))
            if outputs.shape[:-1] == y.shape:
                return F.cross_entropy(outputs.flatten(0, -2), y.flatten().long())
            if outputs.shape[2:] == y.shape[1:]:
                return F.cross_entropy(outputs, y.long())
        if outputs.shape == y.shape and bool(((y == 0) | (y == 1)).all()):
            return F.binary_cross_entropy_with_logits(outputs, y.to(outputs.dtype))
    elif y.shape == outputs.shape or (*y.shape, 1) == tuple(outputs.shape):
        return F.mse_loss(outputs, y.reshape(outputs.shape).to(outputs.dtype))
    raise ValueError(
        f"targets must be classes (batch,) for outputs (batch, classes), or numbers of the shape "
        f"of the outputs, not {tuple(y.shape)} {y.dtype} for outputs {tuple(outputs.shape)}; for "
        "anything else give loss=, a function of outputs and targets"
    )
