"""Seeing the layers of any network while it computes, and leaving nothing behind.

Which module is at work is known from hooks that are there for one pass; activations are seen as
the function calls that they are, so that `F.relu(x)` in a user's own `forward` counts as well
as `nn.ReLU()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from initlab.init.fans import CONVS, NORMS, TRANSPOSED

#: Elementwise functions that count as activations.
FUNCTIONS = {
    *(torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu, F.relu6, F.leaky_relu, F.prelu),
    *(torch.tanh, torch.tanh_, Tensor.tanh, Tensor.tanh_, F.tanh, F.hardtanh, torch.erf),
    *(torch.sigmoid, torch.sigmoid_, Tensor.sigmoid, Tensor.sigmoid_, F.sigmoid, F.hardsigmoid),
    *(F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish, F.hardswish, F.softplus, F.softsign),
    *(F.logsigmoid, torch.sin, torch.abs),
}
_CONVOLUTIONS = {
    *(torch.conv1d, torch.conv2d, torch.conv3d),
    *(torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d),
}
#: What a layer is, by the class of its module.
KINDS: tuple[tuple[tuple[type, ...], str], ...] = (
    ((nn.Linear, nn.Bilinear), "linear"),
    ((*CONVS, *TRANSPOSED), "conv"),
    (NORMS, "norm"),
    ((nn.MultiheadAttention,), "attention"),
    ((nn.Embedding,), "embedding"),
)


@dataclass(frozen=True)
class Seen:
    """One call of a layer: its place in the order of calls (from 1), module, kind and output.

    `axis` is the axis of the output that counts units. Of an activation, `slope` gives its
    derivative at every entry of its input, and `steepest` its largest derivative anywhere.
    """

    layer: int
    path: str
    kind: str
    out: Tensor
    axis: int
    slope: Callable[[], Tensor] | None = None
    steepest: float = 1.0


def kind_of(module: nn.Module) -> str | None:
    """What kind of layer a module is; None for one that only passes on or holds others."""
    for classes, kind in KINDS:
        if isinstance(module, classes):
            return kind
    own = next(module.parameters(recurse=False), None) is not None
    return "other" if own and next(module.children(), None) is None else None


@contextmanager
def watching(module: nn.Module, visit: Callable[[Seen], None]) -> Iterator[None]:
    """While active, every call of a layer of `module` is shown to `visit` as soon as it has ended.

    Layers are linear layers, convolutions, normalization, attention, embeddings, other modules
    with parameters and without children, and activations. What `visit` sees may be written over
    by the network as soon as `visit` returns.
    """
    watch = _Watch(visit)
    handles = []
    try:
        for path, part in module.named_modules():
            enter = watch.enter(path)
            leave = watch.leave(path, kind_of(part))
            handles.append(part.register_forward_pre_hook(enter, prepend=True))
            handles.append(part.register_forward_hook(leave, always_call=True))
        with watch:
            yield
    finally:
        for handle in handles:
            handle.remove()


class _Watch(TorchFunctionMode):
    """Follows where the computation is, and sees activations."""

    def __init__(self, visit: Callable[[Seen], None]) -> None:
        super().__init__()
        self.visit = visit
        self.where: list[str] = []
        self.count = 0
        self.axis = -1
        self.seen_at: str | None = None

    def enter(self, path: str) -> Callable:
        def hook(_module: nn.Module, _inputs: Any) -> None:
            self.where.append(path)
            self.seen_at = None

        return hook

    def leave(self, path: str, kind: str | None) -> Callable:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            self.where.pop()
            out = output[0] if isinstance(output, tuple) and output else output
            if kind is None or not isinstance(out, Tensor) or self.seen_at == path:
                return
            if kind == "conv":
                self.axis = 1
            elif kind != "norm":
                self.axis = -1
            self._show(path, kind, out)

        return hook

    def _show(self, path: str, kind: str, out: Tensor, **more: Any) -> None:
        if out.is_floating_point() and out.dim() > 1:
            self.count += 1
            self.visit(Seen(self.count, path, kind, out, self.axis, **more))

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """See `torch.overrides.TorchFunctionMode`."""
        kwargs = kwargs or {}
        if func in _CONVOLUTIONS:
            self.axis = 1
        elif func is F.linear:
            self.axis = -1
        if func not in FUNCTIONS or not args or not self.where:
            return func(*args, **kwargs)
        before = args[0].detach().clone()  # the function may write over it
        out = func(*args, **kwargs)
        self.seen_at = self.where[-1]
        rest = args[1:]

        def slope() -> Tensor:
            return _slope(func, before, rest, kwargs)

        plain = not any(isinstance(a, Tensor) for a in (*rest, *kwargs.values()))
        steepest = 1.0
        if plain:
            line = torch.linspace(-10, 10, 4001, dtype=before.dtype, device=before.device)
            steepest = float(_slope(func, line, rest, kwargs).abs().max())
        self._show(self.seen_at, "activation", out, slope=slope, steepest=steepest)
        return out


def _slope(func: Callable, x: Tensor, rest: tuple, kwargs: dict[str, Any]) -> Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(func(x * 1, *rest, **kwargs).sum(), x)[0]
