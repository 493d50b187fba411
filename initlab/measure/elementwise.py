"""Activations that are written by hand, x·sigmoid(x) say, seen as the functions that they are.

Whatever is computed entry by entry from one tensor is one function of it, however many operations
it takes. The operations are followed from a tensor that came from elsewhere; when something that is
not entry by entry takes the outcome, the function is complete.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

#: Operations entry by entry that alone make no activation: what only scales, shifts or compares.
AFFINE = {
    *("add", "sub", "subtract", "rsub", "radd", "mul", "multiply", "rmul", "div", "divide"),
    *("true_divide", "neg", "negative", "float", "double", "to", "type_as", "half", "bfloat16"),
    *("gt", "ge", "lt", "le", "greater", "less", "eq", "ne", "clone", "contiguous", "logical_and"),
    *("logical_or", "logical_not", "iadd", "imul", "isub", "itruediv", "truediv"),
}
#: Those that make one.
NONLINEAR = {
    *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "threshold", "elu", "selu", "celu", "gelu"),
    *("silu", "mish", "hardswish", "hardtanh", "hardsigmoid", "softplus", "softsign", "logsigmoid"),
    *("tanhshrink", "softshrink", "hardshrink", "tanh", "sigmoid", "erf", "sin", "cos", "exp"),
    *("expm1", "log", "log1p", "sqrt", "square", "pow", "abs", "absolute", "sign", "clamp", "clip"),
    *("clamp_min", "clamp_max", "maximum", "minimum", "max", "min", "where", "masked_fill", "atan"),
    *("arctan", "sinh", "cosh", "asinh", "sinc", "reciprocal", "rpow", "log_sigmoid", "fmax"),
    *("rtruediv", "rdiv", "fmin", "heaviside"),
}
#: Functions that are activations wherever they stand.
CLASSIC = {
    *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "threshold", "elu", "selu", "celu", "gelu"),
    *("silu", "mish", "hardswish", "hardtanh", "hardsigmoid", "softplus", "softsign", "logsigmoid"),
    *("tanhshrink", "softshrink", "hardshrink", "tanh", "sigmoid"),
}
#: Operations that sum over entries: what they take is an activation only if it is a classic one.
REDUCTIONS = {"mean", "sum", "var", "std", "norm", "vector_norm", "prod", "amax", "amin"}


def name_of(func: Callable) -> str:
    """The name of an operation, the same for x + 1, x.add(1), x.add_(1) and torch.add(x, 1)."""
    return getattr(func, "__name__", "").strip("_")


@dataclass(eq=False)
class Expression:
    """A tensor as a function of one that it was computed from, entry by entry.

    Attributes:
        base: The values that it was computed from.
        source: The tensor that held them, which may have been written over since.
        function: What is made of them; it may be asked for others.
        nonlinear: Whether it is more than a factor and a shift.
        out: The tensor.
        classic: Whether it is one function of torch's that is known as an activation.
        path: Of the module that called what makes it nonlinear.
        key: What tells the function from others; None for one of several operations.
        taken: Whether an operation that does not go entry by entry has taken it.
    """

    base: Tensor
    source: Tensor
    function: Callable[[Tensor], Tensor]
    nonlinear: bool
    out: Tensor
    classic: bool
    path: str
    key: str | None = None
    taken: bool = False


class Expressions:
    """What is known of tensors that were computed entry by entry."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.by_id: dict[int, Expression] = {}

    def known(self, t: Any) -> Expression | None:
        """The expression of a tensor."""
        found = self.by_id.get(id(t))
        return found if found is not None and found.out is t else None

    def call(self, func: Callable, args: tuple, kwargs: dict[str, Any], path: str) -> Any:
        """The outcome of an operation, which is followed if it goes entry by entry.

        Returns:
            The outcome in a tuple of one; None, and nothing is computed, for all other operations.
        """
        tensors = _operands(name_of(func), args, kwargs)
        if not tensors:
            return None
        found = [self.known(t) for t in tensors]
        sources = [t if e is None else e.source for t, e in zip(tensors, found, strict=True)]
        if any(source is not sources[0] for source in sources):
            return None
        base = next((e.base for e in found if e is not None), tensors[0])
        if base is tensors[0] and _in_place(func, kwargs):
            base = base.detach().clone()
        function = _function(func, args, kwargs, tensors, found)
        out = func(*args, **kwargs)
        before = [e for e in found if e is not None]
        nonlinear = _nonlinear(name_of(func), tensors)
        if isinstance(out, Tensor):
            self.by_id[id(out)] = Expression(
                base,
                sources[0],
                function,
                nonlinear or any(e.nonlinear for e in before),
                out,
                classic=name_of(func) in CLASSIC
                or (not nonlinear and any(e.classic for e in before)),
                path=path if nonlinear or not before else before[0].path,
                key=_key(func, args, kwargs) if not before else None,
            )
        return (out,)


def _key(func: Callable, args: tuple, kwargs: dict[str, Any]) -> str | None:
    """The name of an operation on one tensor with its numbers."""
    others = (*args[1:], *kwargs.values())
    if any(isinstance(a, Tensor) for a in others):
        return None
    return f"{name_of(func)} {args[1:]} {sorted(kwargs.items())}"


def _operands(name: str, args: tuple, kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors of an operation that goes entry by entry through tensors of one shape."""
    if name not in NONLINEAR and name not in AFFINE:
        return []
    if name in ("max", "min") and len(args) < 2:
        return []  # over all entries
    given = args[:1] if name == "prelu" else (*args, *kwargs.values())
    tensors = [a for a in given if isinstance(a, Tensor) and a.numel() > 1]
    return tensors if len({t.shape for t in tensors}) == 1 else []


def _nonlinear(name: str, tensors: list[Tensor]) -> bool:
    products = ("mul", "multiply", "imul", "div", "divide", "true_divide", "truediv", "rmul")
    return name in NONLINEAR or (name in products and len(tensors) > 1)


def _in_place(func: Callable, kwargs: dict[str, Any]) -> bool:
    name = getattr(func, "__name__", "")
    own = name.endswith("_") and not name.endswith("__")
    return own or name.startswith("__i") or bool(kwargs.get("inplace"))


def _function(
    func: Callable,
    args: tuple,
    kwargs: dict[str, Any],
    tensors: list[Tensor],
    found: list[Expression | None],
) -> Callable[[Tensor], Tensor]:
    """The operation as a function of the base; what it writes over is a copy."""
    inner = {id(t): e.function if e else None for t, e in zip(tensors, found, strict=True)}

    def of(value: Any, x: Tensor) -> Any:
        if not isinstance(value, Tensor) or id(value) not in inner:
            return value.detach() if isinstance(value, Tensor) else value
        before = inner[id(value)]
        return x * 1 if before is None else before(x)

    def function(x: Tensor, _kept: list[Tensor] = tensors) -> Tensor:  # none takes their ids
        return func(*(of(a, x) for a in args), **{k: of(v, x) for k, v in kwargs.items()})

    return function
