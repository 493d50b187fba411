"""A group of networks side by side: forward, gradients and what is seen of them on the way.

The parameters of R networks with `depth` hidden layers of width n are six tensors: W1 (R, n, i),
b1 (R, n), W (D, R, n, n), b (D, R, n), Wo (R, o, n) and bo (R, o), where D = depth − 1. The hidden
layers lie along an axis of their own, so that an exported graph can roll them up and have any
depth. Layers, normalization and loss are the package's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from initlab.models import activation
from initlab.models.stacked import linear
from initlab.train import CrossEntropy

#: Names of the parameters, in their order.
NAMES = ("W1", "b1", "W", "b", "Wo", "bo")
#: Activations that have graphs.
ACTIVATIONS = ("relu", "tanh", "gelu", "linear")
#: Networks that have graphs: activation, and whether there is batch normalization.
KINDS = (*((phi, False) for phi in ACTIVATIONS), ("relu", True))
#: What PyTorch's batch normalization adds to a variance.
EPS = 1e-5
#: A hidden layer: (h, W, b) → φ(W h + b), (R, units, B).
Layer = Callable[[Tensor, Tensor, Tensor], Tensor]


def zeros(networks: int, depth: int, width: int, inputs: int, outputs: int = 10) -> list[Tensor]:
    """Six parameters of zeros; see the module."""
    R, D, n, i, o = networks, depth - 1, width, inputs, outputs
    shapes = ((R, n, i), (R, n), (D, R, n, n), (D, R, n), (R, o, n), (R, o))
    return [torch.zeros(shape) for shape in shapes]


def normalized(z: Tensor) -> Tensor:
    """Each unit of each network, (R, units, B), at mean 0 and variance 1 over the batch.

    As `initlab.models.stacked.batch_norm` with weights of one and biases of zero. That one makes
    all units channels of one example, a change of shape that cannot be rolled up.
    """
    centred = z - z.mean(-1, keepdim=True)
    return centred * (centred.square().mean(-1, keepdim=True) + EPS).rsqrt()


def layer(phi: str, norm: bool) -> Layer:
    """A hidden layer with that activation.

    With `norm` its pre-activations are normalized over the batch, without a scale and a shift of
    their own; a bias would be taken away again, so it is left out.
    """
    function = activation(phi)

    def apply(h: Tensor, W: Tensor, b: Tensor) -> Tensor:
        if not norm:
            return function(linear({"layer.weight": W, "layer.bias": b}, "layer", h))
        return function(normalized(linear({"layer.weight": W}, "layer", h)))

    return apply


def rms(t: Tensor) -> Tensor:
    """Root mean square of what each network holds: (…, R, a, b) → (…, R).

    Nothing is to be learned from it, so that no gradient goes through it: its operators were half
    of a layer's way back.
    """
    return t.detach().square().mean((-2, -1)).sqrt()


def scanned(body: Callable, h: Tensor, xs: Sequence[Tensor], more: Sequence[Tensor]) -> list:
    """`body`(h, *layer, *more) → [h, *seen], layer by layer along the first axis of `xs`.

    Gives the last h and each thing seen, stacked. In a graph it is one operator, whatever the
    depth; there `body` is given as it is.
    """
    if _ROLLED.get():
        return list(torch.ops.higher_order.scan(body, [h], list(xs), tuple(more)))
    every = []
    for one in zip(*xs, strict=True):
        h, *seen = body(h, *one, *more)
        every.append(seen)
    return [h, *(torch.stack(column) for column in zip(*every, strict=True))]


#: Whether layers are rolled up, as they are while graphs are made.
_ROLLED: ContextVar[bool] = ContextVar("initlab_rolled_layers", default=False)


@contextmanager
def rolled() -> Iterator[None]:
    """Layers are rolled up while a function is traced, so that their number stays free."""
    token = _ROLLED.set(True)
    try:
        yield
    finally:
        _ROLLED.reset(token)


def forward(
    params: Sequence[Tensor], x: Tensor, phi: str, norm: bool = False
) -> tuple[Tensor, Tensor]:
    """Logits (R, B, o) on inputs (B, i), and the rms of each hidden layer, (depth, R)."""
    W1, b1, W, b, Wo, bo = params
    hidden = layer(phi, norm)

    def body(h: Tensor, W: Tensor, b: Tensor) -> list[Tensor]:
        h = hidden(h, W, b)
        return [h, rms(h)]

    h = hidden(x.mT, W1, b1)
    first = rms(h)
    h, seen = scanned(body, h, [W, b], ())
    logits = linear({"head.weight": Wo, "head.bias": bo}, "head", h)
    return logits.mT, torch.cat([first.unsqueeze(0), seen])


def hits(logits: Tensor, y: Tensor) -> Tensor:
    """Share of samples whose likeliest class is that of the targets: (R,)."""
    return (logits.argmax(-1) == y.argmax(-1)).float().mean(-1)


def gradients(
    params: Sequence[Tensor], x: Tensor, y: Tensor, phi: str, norm: bool = False
) -> tuple[Tensor, ...]:
    """Of R networks on one batch: six gradients, loss, accuracy (R,), rms of hidden layers
    (depth, R) and of the gradients of all weight matrices (depth + 1, R).

    `y` are probabilities (R, B, o), so that networks may have labels of their own.
    """
    leaves = [p.detach().requires_grad_() for p in params]
    logits, lengths = forward(leaves, x, phi, norm)
    losses = CrossEntropy()(logits, y)
    grads = torch.autograd.grad(losses.sum(), leaves, allow_unused=True)
    # Biases that a normalization makes useless have no gradient.
    found = [torch.zeros_like(p) if g is None else g for p, g in zip(params, grads, strict=True)]
    by_layer = torch.cat([rms(found[0]).unsqueeze(0), rms(found[2]), rms(found[4]).unsqueeze(0)])
    told = (losses, hits(logits, y), lengths, by_layer)
    return *found, *(t.detach() for t in told)


@torch.no_grad()
def evaluate(
    params: Sequence[Tensor], x: Tensor, y: Tensor, edges: Tensor, phi: str, norm: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Loss and accuracy (R,), histogram (depth, R, K) and rms (depth, R) of hidden activations.

    The histogram gives the share of a layer's activations between neighbouring `edges`, (K + 1,);
    what lies outside of them is not counted.
    """
    W1, b1, W, b, Wo, bo = params
    hidden = layer(phi, norm)

    def shares(h: Tensor, edges: Tensor) -> Tensor:
        flat = h.flatten(1).unsqueeze(1)  # (R, 1, units · B)
        below = (flat < edges.unsqueeze(-1)).float().mean(-1)
        return below[:, 1:] - below[:, :-1]

    def body(h: Tensor, W: Tensor, b: Tensor, edges: Tensor) -> list[Tensor]:
        h = hidden(h, W, b)
        return [h, shares(h, edges), rms(h)]

    h = hidden(x.mT, W1, b1)
    first = shares(h, edges), rms(h)
    h, *later = scanned(body, h, [W, b], (edges,))
    logits = linear({"head.weight": Wo, "head.bias": bo}, "head", h).mT
    histogram, lengths = (
        torch.cat([a.unsqueeze(0), rest]) for a, rest in zip(first, later, strict=True)
    )
    return CrossEntropy()(logits, y), hits(logits, y), histogram, lengths
