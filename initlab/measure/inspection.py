"""One call that tells all of a network's start: how the signal travels, and how the loss bends."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from initlab.init import Rule, Scheme, gradient_quotient, initialize
from initlab.init.functional import FunctionalModule, batch_loss, check_batch, seeded
from initlab.measure.curvature import top_eigenvalue
from initlab.measure.jacobian import (
    eigenvalues,
    jacobian,
    ntk,
    random_directions,
    singular_values,
)
from initlab.measure.layers import default_generator, layers, units

#: What can be looked at.
PARTS = ("layers", "units", "jacobian", "ntk", "quotient", "hessian")
COLUMNS = ("network", "layer", "path", "kind", "step", "statistic", "value")
#: Directions among the outputs, and examples, of which the Jacobian is taken.
DIRECTIONS, JACOBIANS = 10, 2
#: Examples of the kernel, and numbers that its gradients may be: 1 GiB in float32.
KERNEL, KERNEL_NUMBERS = 4, 2**28


def diagnose(
    module: nn.Module,
    rule: Rule | Scheme | None,
    batch: tuple[Tensor, Tensor],
    *,
    networks: int = 1,
    generator: torch.Generator | None = None,
    bias: Rule | None = None,
    inputs: Tensor | None = None,
    parts: Collection[str] = PARTS,
    products: int = 10,
) -> pd.DataFrame:
    """Everything there is to see of a start on one batch (inputs, targets), as a tidy frame.

    The module is only read: no parameter, buffer, gradient, hook or flag of it is changed, nor the
    global random state. It computes in its own mode; a new network is in training mode. With a
    `rule` or scheme, `networks` independent starts are drawn from `generator`; with None the
    network is taken as it is.

    Columns `network`, `layer`, `path`, `kind`, `step` (−1: before training), `statistic`,
    `value`. Of each layer, in the order of calls (0 is the input): `forward`, `backward`,
    `correlation` (see `layers`) and, of activations, `dead` and `saturated` over `inputs` (by
    default the batch; see `units`). Of the whole network, as layer −1: `loss`; `singular_value`
    of the Jacobian of two examples, by at most ten random directions of the output;
    `ntk_eigenvalue` of up to four examples in one random direction; `gradient_quotient`; and
    `hessian_top` with `hessian_residual` after at most `products` products. `parts` leaves some
    out.

    Raises `ValueError` for an unknown part, for targets that are neither classes nor numbers like
    the outputs, and for several networks without a rule.

    >>> from initlab.init import HeNormal
    >>> net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> frame = diagnose(net, HeNormal(), (torch.ones(4, 8), torch.tensor([0, 1, 1, 0])))
    >>> frame[frame.statistic == "forward"][["layer", "path", "kind"]].values.tolist()
    [[0, '', 'input'], [1, '0', 'linear'], [2, '1', 'activation'], [3, '2', 'linear']]
    """
    x, _ = check_batch(batch)
    if unknown := sorted(set(parts) - set(PARTS)):
        raise ValueError(f"unknown part {', '.join(unknown)}; known: {', '.join(PARTS)}")
    if type(networks) is not int or networks < 1 or (rule is None and networks != 1):
        raise ValueError(
            f"networks must be a whole number ≥ 1, and 1 where no rule draws them, not {networks!r}"
        )
    g = default_generator(generator)
    frames = []
    for number in range(networks):
        if rule is None:
            params = {name: p.detach() for name, p in module.named_parameters()}
        else:
            params = initialize(module, rule, g, bias=bias, device=x.device, batch=batch)
        seed = int(torch.randint(2**62, (), generator=g))
        frame = _one(module, params, batch, seed, x if inputs is None else inputs, parts, products)
        frames.append(frame.assign(network=number, step=-1))
    return pd.concat(frames, ignore_index=True)[list(COLUMNS)]


def _one(
    module: nn.Module,
    params: Mapping[str, Tensor],
    batch: tuple[Tensor, Tensor],
    seed: int,
    inputs: Tensor,
    parts: Collection[str],
    products: int,
) -> pd.DataFrame:
    """The rows of one network."""
    x, y = batch

    def fresh() -> torch.Generator:
        return torch.Generator().manual_seed(seed)  # the same dropout for every part

    network = FunctionalModule(module, params)
    with torch.no_grad(), seeded(fresh(), network.device):
        outputs = network(params, x)
        found: list[tuple[str, float]] = [("loss", float(batch_loss(outputs, y)))]
    width = outputs[0].numel()
    by_layer = []
    if "layers" in parts:
        by_layer.append(layers(module, params, batch, fresh()))
    if "units" in parts:
        by_layer.append(units(module, params, inputs, generator=fresh()))
    if "jacobian" in parts and x.is_floating_point():
        few = random_directions(width, min(width, DIRECTIONS), fresh())
        examples = min(JACOBIANS, len(x))
        J = jacobian(module, params, x, examples=examples, directions=few, generator=fresh())
        found += [("singular_value", float(s)) for s in singular_values(J).flatten()]
    if "ntk" in parts:
        size = sum(p.numel() for p in params.values())
        examples = min(KERNEL, len(x), max(2, KERNEL_NUMBERS // size))
        one = random_directions(width, 1, fresh())
        theta = ntk(module, params, x, examples=examples, directions=one, generator=fresh())
        found += [("ntk_eigenvalue", float(v)) for v in eigenvalues(theta)]
    if "quotient" in parts:
        value = gradient_quotient(module, params, batch, generator=fresh())
        found.append(("gradient_quotient", value))
    if "hessian" in parts:
        top = top_eigenvalue(module, params, batch, products=products, generator=fresh())
        found += [("hessian_top", top.value), ("hessian_residual", top.residual)]
    whole = pd.DataFrame(
        [(-1, "", "network", name, value) for name, value in found],
        columns=["layer", "path", "kind", "statistic", "value"],
    )
    return pd.concat([*by_layer, whole], ignore_index=True)


def inspect(*given: Any, **options: Any) -> pd.DataFrame:
    """`diagnose`, by the name that it had before.

    Args:
        *given: See `diagnose`.
        **options: See `diagnose`.

    Returns:
        What `diagnose` gives.
    """
    warnings.warn("inspect is called diagnose", DeprecationWarning, stacklevel=2)
    return diagnose(*given, **options)
