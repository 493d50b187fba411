"""JAX on ResNet-9: a compiled step, called from Python, for one network after the other.

On a processor convolutions are slow inside `lax.scan`, and `vmap` over networks makes grouped
convolutions of them, which took twice as long. Running averages of BatchNorm, which training does
not read, are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

from benchmarks.cases import CLASSES, Training
from benchmarks.peers.jax_vmap import batches

Params = dict[str, jax.Array]


class JaxResNet:
    """`jit` of a step."""

    name = "JAX"
    letters = "d"
    one_by_one = True

    def prepare(self, case: Training) -> Callable[[], Tensor]:
        """See `benchmarks.peers.Peer`."""
        start = _start(case)
        x, y = (t.cpu().numpy() for t in case.data())
        x, y = jnp.asarray(x.transpose(0, 2, 3, 1)), jax.nn.one_hot(y, CLASSES)

        @partial(jax.jit, donate_argnums=0)
        def step(params: Params, chosen: jax.Array) -> tuple[Params, jax.Array]:
            loss, gradient = jax.value_and_grad(_loss)(params, x[chosen], y[chosen])
            return jax.tree.map(lambda p, g: p - case.lr * g, params, gradient), loss

        def run() -> Tensor:
            losses = []
            order = batches(case)
            for network in range(case.networks):
                params = {name: jnp.copy(p[network]) for name, p in start.items()}
                for chosen in order if case.shared else order[:, network]:
                    params, loss = step(params, chosen)
                losses.append(loss)
            return torch.from_numpy(np.array(losses))

        return run


def _convolved(params: Params, name: str, x: jax.Array) -> jax.Array:
    """ReLU(BatchNorm(W * x)); images are (batch, height, width, channels)."""
    x = jax.lax.conv_general_dilated(
        x, params[f"{name}.conv.weight"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    scale = params[f"{name}.norm.weight"] * jax.lax.rsqrt(variance + 1e-5)
    return jax.nn.relu((x - mean) * scale + params[f"{name}.norm.bias"])


def _pooled(x: jax.Array) -> jax.Array:
    # A maximum over axes has a cheaper gradient than one over windows.
    B, H, W, C = x.shape
    return x.reshape(B, H // 2, 2, W // 2, 2, C).max((2, 4))


def _loss(params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
    def residual(name: str, x: jax.Array) -> jax.Array:
        return x + _convolved(params, f"{name}.layer2", _convolved(params, f"{name}.layer1", x))

    x = _convolved(params, "layer1", x)
    x = residual("block1", _pooled(_convolved(params, "layer2", x)))
    x = _pooled(_convolved(params, "layer3", x))
    x = residual("block2", _pooled(_convolved(params, "layer4", x)))
    logits = x.max((1, 2)) @ params["head.weight"] + params["head.bias"]
    return -(jax.nn.log_softmax(logits) * y).sum(-1).mean()


def _start(case: Training) -> Params:
    """Weights as JAX has them: (networks, height, width, in, out) and (networks, in, out)."""
    start = {name: p.cpu().numpy() for name, p in case.start().items()}
    axes = {5: (0, 3, 4, 2, 1), 3: (0, 2, 1), 2: (0, 1)}
    return {name: jnp.asarray(p.transpose(axes[p.ndim])) for name, p in start.items()}
