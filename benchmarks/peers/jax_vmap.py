"""JAX: parameters stacked, one compiled program for an epoch.

Two ways of writing the networks are timed once and the faster is kept, as someone would who knows
the library: `vmap` of one network, and matrix products written out over all networks with the
examples along the last axis, where the shared batch makes the first layer one large product.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

from benchmarks.cases import CLASSES, Training

Layers = list[tuple[jax.Array, jax.Array]]
#: (parameters, inputs, one-hot classes) → the loss of each network, (networks,).
Losses = Callable[[Layers, jax.Array, jax.Array], jax.Array]


class Jax:
    """`vmap`, `jit` and `lax.scan`."""

    name = "JAX"
    letters = "abc"
    one_by_one = False

    def prepare(self, case: Training) -> Callable[[], Tensor]:
        """See `benchmarks.peers.Peer`."""
        return faster([_run(case, way(case)) for way in (_by_vmap, _written_out)])


def faster(ways: list[Callable[[], Tensor]]) -> Callable[[], Tensor]:
    """The one that takes least time once it is compiled."""

    def seconds(run: Callable[[], Tensor]) -> float:
        run()
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    return min(ways, key=seconds)


def _run(case: Training, way: tuple[Layers, Losses]) -> Callable[[], Tensor]:
    start, losses = way
    x, y = (jnp.asarray(t.cpu().numpy()) for t in case.data())
    # A one-hot product has a cheaper gradient than picking one entry of a row.
    y = jax.nn.one_hot(y, CLASSES)

    def summed(params: Layers, inputs: jax.Array, classes: jax.Array):
        values = losses(params, inputs, classes)
        return values.sum(), values

    def step(params: Layers, chosen: jax.Array):
        inputs, classes = (t.at[chosen].get(mode="promise_in_bounds") for t in (x, y))
        gradient, values = jax.grad(summed, has_aux=True)(params, inputs, classes)
        return jax.tree.map(lambda p, g: p - case.lr * g, params, gradient), values

    @partial(jax.jit, donate_argnums=0)
    def epoch(params: Layers, order: jax.Array):
        return jax.lax.scan(step, params, order)

    def run() -> Tensor:
        _, values = epoch(jax.tree.map(jnp.copy, start), batches(case))
        return torch.from_numpy(np.array(values[-1]))

    return run


def batches(case: Training) -> jax.Array:
    """Indices of every step's samples: (steps, batch), or (steps, networks, batch)."""
    # Shuffled by torch, which is faster at it than JAX's sort of random keys.
    order = case.permutations().cpu().numpy().astype(np.int32)
    order = order.reshape(*order.shape[:-1], case.steps, case.batch)
    return jnp.asarray(order if case.shared else order.swapaxes(0, 1))


def _stacked(case: Training) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights (networks, out, in) and biases (networks, out) of every layer."""
    start: dict[str, Any] = {name: p.cpu().numpy() for name, p in case.start().items()}
    names = [name.removesuffix(".weight") for name in start if name.endswith(".weight")]
    return [(start[f"{name}.weight"], start[f"{name}.bias"]) for name in names]


def _by_vmap(case: Training) -> tuple[Layers, Losses]:
    layers = [(jnp.asarray(W.swapaxes(1, 2)), jnp.asarray(b)) for W, b in _stacked(case)]

    def one(params: Layers, x: jax.Array, y: jax.Array) -> jax.Array:
        for W, b in params[:-1]:
            x = jax.nn.relu(x @ W + b)
        W, b = params[-1]
        return -(jax.nn.log_softmax(x @ W + b) * y).sum(-1).mean()

    axis = None if case.shared else 0
    return layers, jax.vmap(one, in_axes=(0, axis, axis))


def _written_out(case: Training) -> tuple[Layers, Losses]:
    (W, b), *rest = _stacked(case)
    first = W.reshape(-1, W.shape[2]) if case.shared else W
    layers = [(jnp.asarray(W), jnp.asarray(b)[..., None]) for W, b in ((first, b), *rest)]

    def losses(params: Layers, x: jax.Array, y: jax.Array) -> jax.Array:
        (W, b), *rest = params
        if case.shared:
            h = jnp.einsum("oi,bi->ob", W, x).reshape(case.networks, -1, case.batch) + b
        else:
            h = jnp.einsum("roi,rbi->rob", W, x) + b
        for W, b in rest:
            h = jnp.einsum("roi,rib->rob", W, jax.nn.relu(h)) + b
        return -(jax.nn.log_softmax(h, axis=-2) * y.swapaxes(-1, -2)).sum(-2).mean(-1)

    return layers, losses
