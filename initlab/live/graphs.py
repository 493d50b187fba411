"""Which functions a browser calls, as graphs: their names, inputs and outputs.

A step is made of two graphs: the gradient, which knows the activation, and the optimizer's update.
Each is traced once and they are joined, because tracing is what takes the time. What a browser
calls takes as many steps as it is given batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from torch import Tensor

from initlab.live import initializers, network, steps
from initlab.live.onnx_merge import joined, repeated
from initlab.live.trace import Inputs, graph

#: Sizes of the examples. All differ, since the tracer takes equal ones for one and the same.
_R, _D, _N, _I, _B, _K = 3, 5, 7, 11, 13, 17
_CLASSES = 10
#: Names of the axes of the six parameters.
_AXES = (
    ("R", "n", "i"),
    ("R", "n"),
    ("D", "R", "n", "n"),
    ("D", "R", "n"),
    ("R", None, "n"),
    ("R", None),
)
_TOLD = ("loss", "accuracy", "act_rms", "grad_rms")


@dataclass(frozen=True)
class Traced:
    """A function with examples of what it takes and names of what it gives."""

    function: Callable[..., Any]
    inputs: Inputs
    outputs: tuple[str, ...]

    def graph(self) -> onnx.ModelProto:
        """See `initlab.live.trace.graph`."""
        return graph(self.function, self.inputs, self.outputs)


def _six(prefix: str) -> Inputs:
    """Six parameters. Every example is a tensor of its own: one given twice would be one input."""
    like = network.zeros(_R, _D + 1, _N, _I, _CLASSES)
    generator = torch.Generator().manual_seed(len(prefix))
    drawn = [torch.randn(t.shape, generator=generator) * 0.1 for t in like]
    named = zip(network.NAMES, drawn, _AXES, strict=True)
    return {f"{prefix}{name}": (t, axes) for name, t, axes in named}


def _named(prefix: str) -> tuple[str, ...]:
    return tuple(f"{prefix}{name}" for name in network.NAMES)


def _batch() -> Inputs:
    x = torch.linspace(-1, 1, _B * _I).reshape(_B, _I)
    y = torch.eye(_CLASSES)[torch.arange(_R * _B).reshape(_R, _B) % _CLASSES]
    return {"x": (x, ("B", "i")), "y": (y, ("R", "B", None))}


def _numbers(*names: str) -> Inputs:
    """Numbers that networks have of their own."""
    return {name: (torch.linspace(0.1, 0.2, _R) + k, ("R",)) for k, name in enumerate(names)}


def _scalars(*names: str) -> Inputs:
    return {name: (torch.tensor(0.5 + k / 100), ()) for k, name in enumerate(names)}


def gradient(phi: str, norm: bool) -> Traced:
    """See `network.gradients`."""

    def function(*given: Tensor) -> tuple[Tensor, ...]:
        x, y = given[6:]
        return network.gradients(given[:6], x, y, phi, norm)

    return Traced(function, _six("") | _batch(), _named("g_") + _TOLD)


def update(optimizer: str) -> Traced:
    """See `steps.sgd` and `steps.adam`."""
    return _sgd() if optimizer == "sgd" else _adam(decoupled=optimizer == "adamw")


def _sgd() -> Traced:
    def function(*given: Tensor) -> tuple[Tensor, ...]:
        return steps.sgd(given[:6], given[6:12], given[12:18], *given[18:])

    inputs = _six("") | _six("m_") | _six("g_") | _numbers("lr", "momentum", "weight_decay")
    return Traced(function, inputs, _named("new_") + _named("new_m_"))


def _adam(decoupled: bool) -> Traced:
    def function(*given: Tensor) -> tuple[Tensor, ...]:
        lr, beta1, beta2, eps, decay = given[25:]
        three = given[:6], given[6:12], given[12:18]
        numbers = lr, decay, beta1, beta2, eps
        return steps.adam(*three, given[18], given[19:25], *numbers, decoupled=decoupled)

    inputs = _six("") | _six("m_") | _six("v_") | _numbers("t") | _six("g_")
    inputs |= _numbers("lr") | _scalars("beta1", "beta2", "eps") | _numbers("weight_decay")
    outputs = _named("new_") + _named("new_m_") + _named("new_v_") + ("new_t",)
    return Traced(function, inputs, outputs)


def evaluation(phi: str, norm: bool) -> Traced:
    """See `network.evaluate`."""

    def function(*given: Tensor) -> tuple[Tensor, ...]:
        x, y, edges = given[6:]
        return network.evaluate(given[:6], x, y, edges, phi, norm)

    edges = {"edges": (torch.linspace(-3, 3, _K), ("K",))}
    outputs = ("loss", "accuracy", "histogram", "act_rms")
    return Traced(function, _six("") | _batch() | edges, outputs)


def beginning(rule: str) -> Traced:
    """See `initializers.initialize`; `rule` is one that is drawn."""

    def function(*given: Tensor) -> tuple[Tensor, ...]:
        return initializers.initialize(rule, given[:6], *given[6:])

    inputs = _six("like_") | {"seeds": (torch.arange(_R), ("R",))}
    return Traced(function, inputs | _numbers("scales") | _scalars("gain"), network.NAMES)


def mixing() -> Traced:
    """See `steps.mix`."""

    def function(*given: Tensor) -> tuple[Tensor, ...]:
        return steps.mix(given[:6], given[6:12], *given[12:])

    inputs = _six("") | _six("fresh_") | _scalars("keep", "mix")
    return Traced(function, inputs, _named("new_"))


def displacing() -> Traced:
    """See `steps.displacement`."""

    def function(*given: Tensor) -> tuple[Tensor, ...]:
        return steps.displacement(given[:6], given[6:])

    outputs = ("moved", "began", "delta_W1", "delta_W", "delta_Wo")
    return Traced(function, _six("") | _six("first_"), outputs)


def traced(name: str) -> Traced:
    """The part of that name, one of `PARTS`."""
    what, _, which = name.partition("_")
    if what in ("gradient", "evaluate"):
        phi, norm = KINDS[which]
        return gradient(phi, norm) if what == "gradient" else evaluation(phi, norm)
    if what == "init":
        return beginning(which)
    if what == "update":
        return update(which)
    return mixing() if what == "mix" else displacing()


#: Kinds of networks by what names of graphs end with: "relu", or "relu_bn" with normalization.
KINDS = {f"{phi}_bn" if norm else phi: (phi, norm) for phi, norm in network.KINDS}
#: What is traced; the parts that take longest come first, so that two processes end together.
PARTS = (
    *(f"gradient_{kind}" for kind in KINDS),
    *(f"update_{optimizer}" for optimizer in steps.STATES),
    *(f"evaluate_{kind}" for kind in KINDS),
    *(f"init_{name}" for name in dict.fromkeys(map(initializers.drawn, initializers.NAMES))),
    *("mix", "displacement"),
)


def part(name: str) -> onnx.ModelProto:
    """The graph of a part."""
    return traced(name).graph()


def assembled(parts: Mapping[str, onnx.ModelProto]) -> Iterator[tuple[str, onnx.ModelProto]]:
    """Each graph that a browser calls with its name, from all the parts."""
    for name, model in parts.items():
        if not name.startswith(("gradient_", "update_")):
            yield name, model
    for kind in KINDS:
        for optimizer in steps.STATES:
            step = update(optimizer)
            taken = [name for name in step.inputs if not name.startswith("g_")]
            # The batch comes before the optimizer's numbers.
            at = taken.index("lr")
            inputs = [*taken[:at], "x", "y", *taken[at:]]
            both = parts[f"gradient_{kind}"], parts[f"update_{optimizer}"]
            one = joined(*both, inputs, [*step.outputs, *_TOLD])
            yield f"{optimizer}_{kind}", repeated(one, ["x", "y"])
