"""JAX on signal statistics: drawing, forward pass and squares compiled into one program.

Written with the faster of what was tried: the hardware-friendly generator instead of threefry, all
networks' weights of a layer drawn at once, and the product as a sum that is fused with the drawing.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

from benchmarks.cases import Signal


class JaxSignal:
    """`jit` of a scan over layers."""

    name = "JAX"
    letters = "e"
    one_by_one = False

    def prepare(self, case: Signal) -> Callable[[], Tensor]:
        """See `benchmarks.peers.Peer`."""
        R, n, d = case.networks, case.width, case.depth

        def layer(h: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            W = jax.random.normal(key, (R, n, n)) * sqrt(2 / n)
            h = jax.nn.relu((W * h[:, None]).sum(-1))
            return h, jnp.square(h).mean(1)

        @jax.jit
        def lengths(key: jax.Array) -> jax.Array:
            first, *rest = jax.random.split(key, d + 1)
            x = jax.random.normal(first, (R, n))
            x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
            _, later = jax.lax.scan(layer, x, jnp.stack(rest))
            return jnp.concatenate([jnp.square(x).mean(1)[None], later])

        # Another seed at every call, so that nothing can be reused.
        keys = iter(jax.random.split(jax.random.key(0, impl="rbg"), 1000))
        return lambda: torch.from_numpy(np.array(lengths(next(keys)))).T
