"""Seeing the layers of any network while it computes, and leaving nothing behind.

Which module is at work is known from hooks that are there for one pass; activations are seen as
the function calls that they are, so that `F.relu(x)` in a user's own `forward` counts as well
as `nn.ReLU()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from initlab.init.fans import CONVS, NORMS, TRANSPOSED
from initlab.init.kinds import Fixed, Maps, roles
from initlab.measure.elementwise import CLASSIC, REDUCTIONS, Expression, Expressions, name_of
from initlab.models.blocks import Multiplier
from initlab.tree import leaves

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
    ((nn.Embedding, nn.EmbeddingBag), "embedding"),
    ((nn.RNNBase, nn.RNNCellBase), "recurrent"),
    ((nn.PReLU, Multiplier), "other"),
)


@dataclass(frozen=True)
class Seen:
    """One call of a layer: its place in the order of calls (from 1), module, kind and output.

    `axis` is the axis of the output that counts units. Of an activation, `slope` gives its
    derivative at every entry of its input, or at those of the first `few` along its first axis, and
    `steepest` its largest derivative anywhere.
    """

    layer: int
    path: str
    kind: str
    out: Tensor
    axis: int
    slope: Callable[..., Tensor] | None = None
    steepest: float = 1.0


def kind_of(module: nn.Module) -> str | None:
    """What kind of layer a module is; None for one that only passes on or holds others."""
    for classes, kind in KINDS:
        if isinstance(module, classes):
            return kind
    known = roles(module)
    if any(isinstance(role, Maps) for role in known.values()):
        return "linear"
    if known and all(isinstance(role, Fixed) for role in known.values()):
        return "norm"
    own = next(module.parameters(recurse=False), None) is not None
    return "other" if own and next(module.children(), None) is None else None


#: What `t.requires_grad = True` calls.
_ASKS = torch.Tensor.requires_grad.__set__  # type: ignore[attr-defined]


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
        watch.end()
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
        self.expressions = Expressions()

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
        if func == _ASKS and args[0].requires_grad:
            return None  # the network wants gradients of its input, and here they come anyway
        if func in _CONVOLUTIONS:
            self.axis = 1
        elif func is F.linear:
            self.axis = -1
        if not self.where:
            return func(*args, **kwargs)
        name = name_of(func)
        if name in CLASSIC:
            self.seen_at = self.where[-1]
        done = self.expressions.call(func, args, kwargs, self.where[-1])
        if done is not None:
            return done[0]
        for t in leaves((*args, *kwargs.values())):
            self._complete(self.expressions.known(t), name in REDUCTIONS)
        return func(*args, **kwargs)

    def end(self) -> None:
        """Show what nothing has taken: the output, perhaps."""
        # The longest expression of each source comes last.
        last = {id(e.source): e for e in self.expressions.by_id.values()}
        for e in last.values():
            self._complete(e, reduced=False)

    def _complete(self, e: Expression | None, reduced: bool) -> None:
        """An expression that is taken by another operation is an activation."""
        if e is None or e.taken:
            return
        e.taken = True
        if not e.nonlinear or (reduced and not e.classic) or not e.out.requires_grad:
            return  # what needs no gradient has no part of anything that is learned
        function, base = e.function, e.base
        slope = partial(_slope, function, base)
        name = f"{e.key} {base.dtype} {base.device}"
        if e.key is None or name not in _STEEPEST:
            _STEEPEST[name] = _steepest(function, base)
        self._show(e.path, "activation", e.out, slope=slope, steepest=_STEEPEST[name])


#: Largest slopes by what is asked.
_STEEPEST: dict[str, float] = {}


def _slope(function: Callable[[Tensor], Tensor], x: Tensor, few: int | None = None) -> Tensor:
    with torch.enable_grad():
        x = x[:few].detach().requires_grad_()
        return torch.autograd.grad(function(x).sum(), x)[0]


def _steepest(function: Callable[[Tensor], Tensor], like: Tensor) -> float:
    """The largest slope that it has anywhere; 1 for a function that differs between units."""
    line = torch.linspace(-10, 10, 4001, dtype=like.dtype, device=like.device)
    try:
        return float(_slope(function, line).abs().max())
    except RuntimeError:
        return 1.0
