"""JAX for networks that users bring, where we wrote them in it: MLP, CNN with BatchNorm, GPT.

One compiled program for an epoch, networks side by side by `vmap` or one after the other by
`lax.map`: both are timed once and the faster is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

from benchmarks.own import OwnTraining
from benchmarks.peers.jax_vmap import batches, faster

#: Parameters and buffers of a network by the names that its module gives them.
State = dict[str, jax.Array]
#: (state, inputs) → logits, and the buffers that have moved.
Forward = Callable[[State, jax.Array], tuple[jax.Array, State]]


class OwnJax:
    """`vmap` or `lax.map`, `jit` and `lax.scan`."""

    name = "JAX"
    letters = "fghm"
    one_by_one = False

    def prepare(self, case: OwnTraining) -> Callable[[], Tensor]:
        """See `benchmarks.peers.Peer`."""
        return faster([trained(case, FORWARDS[case.letter], way) for way in ("vmap", "map")])


def trained(case: OwnTraining, forward: Forward, way: str) -> Callable[[], Tensor]:
    """Trains the networks of the case."""
    x, y = (jnp.asarray(t.numpy()) for t in case.data())
    module = case.model.build()
    trained = {name for name, _ in module.named_parameters()}
    drawn = {n: jnp.asarray(t.numpy()) for n, t in case.start().items()}
    start = {n: t for n, t in drawn.items() if n in trained}
    rest = {n: t for n, t in drawn.items() if n not in trained and t.dtype == jnp.float32}

    def loss(params: State, held: State, inputs: jax.Array, classes: jax.Array):
        logits, moved = forward(params | held, inputs)
        logs = jax.nn.log_softmax(logits)
        return -jnp.take_along_axis(logs, classes[..., None], -1).mean(), moved

    def step(carried: tuple[State, State, State], chosen: jax.Array):
        params, speed, held = carried
        (value, held), g = jax.value_and_grad(loss, has_aux=True)(
            params, held, x[chosen], y[chosen]
        )
        speed = jax.tree.map(lambda v, g: case.momentum * v + g, speed, g)
        params = jax.tree.map(lambda p, v: p - case.lr * v, params, speed)
        return (params, speed, held), value

    def one(params: State, held: State, order: jax.Array) -> jax.Array:
        speed = jax.tree.map(jnp.zeros_like, params)
        return jax.lax.scan(step, (params, speed, held), order)[1][-1]

    if way == "vmap":
        everyone = jax.jit(jax.vmap(one, in_axes=(0, 0, None if case.shared else 0)))
    elif case.shared:
        everyone = jax.jit(lambda p, h, o: jax.lax.map(lambda ph: one(*ph, o), (p, h)))
    else:
        everyone = jax.jit(lambda p, h, o: jax.lax.map(lambda pho: one(*pho), (p, h, o)))

    def run() -> Tensor:
        order = batches(case)
        order = order if case.shared else order.swapaxes(0, 1)
        return torch.from_numpy(np.array(everyone(start, rest, order)))

    return run


def linear(state: State, name: str, h: jax.Array) -> jax.Array:
    """W h + b."""
    out = h @ state[f"{name}.weight"].T
    return out + state[f"{name}.bias"] if f"{name}.bias" in state else out


def mlp(state: State, x: jax.Array) -> tuple[jax.Array, State]:
    """`benchmarks.own.PlainMLP`."""
    h = jax.nn.relu(linear(state, "second", jax.nn.relu(linear(state, "first", x))))
    return linear(state, "head", h), {}


def cnn(state: State, x: jax.Array) -> tuple[jax.Array, State]:
    """`benchmarks.own.SmallCNN`."""
    moved: State = {}
    for place, stride in ((0, 1), (3, 2), (6, 2)):
        kernel = state[f"layers.{place}.weight"]
        x = jax.lax.conv_general_dilated(x, kernel, (stride, stride), ((1, 1), (1, 1)))
        norm, count = f"layers.{place + 1}", x.size // x.shape[1]
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
        for what, now in (("running_mean", mean), ("running_var", var * count / (count - 1))):
            moved[f"{norm}.{what}"] = 0.9 * state[f"{norm}.{what}"] + 0.1 * now
        scale = state[f"{norm}.weight"] * jax.lax.rsqrt(var + 1e-5)
        shift = state[f"{norm}.bias"] - mean * scale
        x = jax.nn.relu(x * scale[:, None, None] + shift[:, None, None])
    return linear(state, "layers.11", x.mean((2, 3))), moved


def layer_norm(state: State, name: str, h: jax.Array) -> jax.Array:
    """Over the last axis."""
    h = (h - h.mean(-1, keepdims=True)) * jax.lax.rsqrt(h.var(-1, keepdims=True) + 1e-5)
    return h * state[f"{name}.weight"] + state[f"{name}.bias"]


def gpt(state: State, x: jax.Array, heads: int = 4) -> tuple[jax.Array, State]:
    """`benchmarks.own.SmallGPT`."""
    h = state["tokens.weight"][x] + state["places.weight"]
    depth = sum(name.endswith("qkv.weight") for name in state)
    for block in (f"blocks.{i}" for i in range(depth)):
        B, T, W = h.shape
        qkv = linear(state, f"{block}.qkv", layer_norm(state, f"{block}.norm1", h))
        q, k, v = qkv.reshape(B, T, 3, heads, -1).transpose(2, 0, 1, 3, 4)
        mixed = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        h = h + linear(state, f"{block}.proj", mixed.reshape(B, T, W))
        up = linear(state, f"{block}.up", layer_norm(state, f"{block}.norm2", h))
        h = h + linear(state, f"{block}.down", jax.nn.gelu(up, approximate=False))
    return layer_norm(state, "norm", h) @ state["tokens.weight"].T, {}


FORWARDS: dict[str, Forward] = {"f": mlp, "g": mlp, "h": cnn, "m": partial(gpt, heads=4)}
