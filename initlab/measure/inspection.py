"""One call that tells all of a network's start: how the signal travels, and how the loss bends."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from initlab.init import Rule, Scheme, gradient_quotient, initialize
from initlab.init.functional import (
    FunctionalModule,
    batch_loss,
    check_batch,
    seeded,
    unwrapped,
)
from initlab.measure.curvature import top_eigenvalue
from initlab.measure.jacobian import (
    eigenvalues,
    jacobian,
    ntk,
    random_directions,
    singular_values,
)
from initlab.measure.layers import default_generator, layers, units
from initlab.tree import first

#: What can be looked at.
PARTS = ("layers", "units", "jacobian", "ntk", "quotient", "hessian")
COLUMNS = ("network", "layer", "path", "kind", "step", "statistic", "value")
#: Directions among the outputs, and examples, of which the Jacobian is taken.
DIRECTIONS, JACOBIANS = 10, 2
#: Examples of the kernel, and numbers that its gradients may be: 1 GiB in float32.
KERNEL, KERNEL_NUMBERS = 4, 2**28


def inspect(
    module: nn.Module,
    rule: Rule | Scheme | None,
    batch: tuple[Any, Tensor],
    *,
    networks: int = 1,
    generator: torch.Generator | None = None,
    bias: Rule | None = None,
    inputs: Any = None,
    parts: Collection[str] = PARTS,
    products: int = 10,
    leave: str | Sequence[str] = "*",
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> pd.DataFrame:
    """Everything there is to see of a start on one batch (inputs, targets), as a tidy frame.

    The module is only read: no parameter, buffer, gradient, hook or flag of it is changed, nor the
    global random state. It computes in its own mode; a new network is in training mode. With a
    `rule` or scheme, `networks` independent starts are drawn from `generator`, and parameters that
    it leaves alone have the module's own values; with None the network is taken as it is.

    Columns `network`, `layer`, `path`, `kind`, `step` (−1: before training), `statistic`,
    `value`. Of each layer, in the order of calls (0 is the input): `forward`, `backward`,
    `correlation` (see `layers`) and, of activations, `dead` and `saturated` over `inputs` (by
    default the batch; see `units`). Of the whole network, as layer −1: `loss`; `singular_value`
    of the Jacobian of two examples, by at most ten random directions of the output;
    `ntk_eigenvalue` of up to four examples in one random direction; `gradient_quotient`; and
    `hessian_top` with `hessian_residual` after at most `products` products, all three by all
    parameters that learn.

    A part that cannot be had costs itself only: a warning says which and why, and the frame's
    `attrs["left_out"]` holds the reasons by part. Of a network whose numbers overflow what is not
    finite is NaN.

    Args:
        module: Any module; compiled and parallel ones are looked into.
        rule: Draws the starts.
        batch: Inputs (a tensor, a tuple or a mapping) and targets.
        networks: Number of starts.
        generator: What is drawn comes from it.
        bias: The rule of biases.
        inputs: On which units are looked at.
        parts: Some of `PARTS`.
        products: Products with the Hessian.
        leave: What the rule need not reach; see `initialize`.
        loss: A mean over examples of (outputs, targets), for targets of no usual kind.

    Returns:
        The frame.

    Raises:
        ValueError: For an unknown part, for targets that are neither classes nor numbers like the
            outputs, and for several networks without a rule.

    >>> from initlab.init import HeNormal
    >>> net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> frame = inspect(net, HeNormal(), (torch.ones(4, 8), torch.tensor([0, 1, 1, 0])))
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
    module = unwrapped(module)
    g = default_generator(generator)
    own = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    device = first(x).device
    frames: list[pd.DataFrame] = []
    left_out: dict[str, str] = {}
    for number in range(networks):
        params = own
        if rule is not None:
            drawn = initialize(module, rule, g, bias=bias, device=device, batch=batch, leave=leave)
            kept = {name: p.to(device) for name, p in own.items() if name not in drawn}
            if meta := [name for name, p in kept.items() if p.is_meta]:
                raise ValueError(
                    f"{meta[0]} is left alone by the rule and has no values on the meta device: "
                    "build the module on a device"
                )
            params = {name: drawn[name] if name in drawn else kept[name] for name in own}
        seed = int(torch.randint(2**62, (), generator=g))
        found = _One(module, params, batch, seed, x if inputs is None else inputs, products, loss)
        frames.append(found.frame(parts).assign(network=number, step=-1))
        left_out |= found.left_out
    for part, why in left_out.items():
        warnings.warn(f"{part} could not be had: {why}", stacklevel=2)
    frame = pd.concat(frames, ignore_index=True)[list(COLUMNS)]
    frame.attrs["left_out"] = left_out
    return frame


def _listed(frame: Callable[[], pd.DataFrame]) -> list[pd.DataFrame]:
    return [frame()]


class _One:
    """One network, looked at part by part."""

    def __init__(
        self,
        module: nn.Module,
        params: Mapping[str, Tensor],
        batch: tuple[Any, Tensor],
        seed: int,
        inputs: Any,
        products: int,
        loss: Callable[[Tensor, Tensor], Tensor] | None,
    ) -> None:
        self.module, self.params, self.batch = module, params, batch
        self.seed, self.inputs, self.products, self.loss = seed, inputs, products, loss
        self.left_out: dict[str, str] = {}

    def frame(self, parts: Collection[str]) -> pd.DataFrame:
        """The rows of all parts that can be had."""
        x, y = self.batch
        network = FunctionalModule(self.module, self.params)
        with torch.no_grad(), seeded(self.fresh(), network.device):
            outputs = network(self.params, x)
            value = (self.loss or batch_loss)(outputs, y)
        found = [("loss", float(value))]
        by_layer: list[pd.DataFrame] = []
        for part, frame in (("layers", self._layers), ("units", self._units)):
            if part in parts:
                by_layer += self._try(part, partial(_listed, frame))
        width = outputs[0].numel()
        for part, rows in (
            ("jacobian", self._jacobian),
            ("ntk", self._ntk),
            ("quotient", self._quotient),
            ("hessian", self._hessian),
        ):
            if part in parts:
                found += self._try(part, partial(rows, width))
        whole = pd.DataFrame(
            [(-1, "", "network", name, value) for name, value in found],
            columns=["layer", "path", "kind", "statistic", "value"],
        )
        return pd.concat([*by_layer, whole], ignore_index=True)

    def fresh(self) -> torch.Generator:
        """The same dropout for every part."""
        return torch.Generator().manual_seed(self.seed)

    def _try(self, part: str, get: Callable[[], list]) -> list:
        """What a part gives; nothing, with the reason, where the network's own code stops it."""
        try:
            return get()
        except (RuntimeError, NotImplementedError, ValueError, TypeError) as error:
            why = (str(error).splitlines() or [type(error).__name__])[0]
            self.left_out[part] = f"{why[:200]} (leave it out: parts=…)"
            return []

    def _layers(self) -> pd.DataFrame:
        return layers(self.module, self.params, self.batch, self.fresh(), self.loss)

    def _units(self) -> pd.DataFrame:
        return units(self.module, self.params, self.inputs, generator=self.fresh())

    def _jacobian(self, width: int) -> list[tuple[str, float]]:
        x = self.batch[0]
        if not isinstance(x, Tensor) or not x.is_floating_point():
            return []
        few = random_directions(width, min(width, DIRECTIONS), self.fresh())
        examples = min(JACOBIANS, len(x))
        J = jacobian(
            self.module, self.params, x, examples=examples, directions=few, generator=self.fresh()
        )
        return [("singular_value", float(s)) for s in singular_values(J).flatten()]

    def _ntk(self, width: int) -> list[tuple[str, float]]:
        x = self.batch[0]
        size = sum(p.numel() for p in self.params.values())
        examples = min(KERNEL, len(first(x)), max(2, KERNEL_NUMBERS // max(1, size)))
        one = random_directions(width, 1, self.fresh())
        theta = ntk(
            self.module, self.params, x, examples=examples, directions=one, generator=self.fresh()
        )
        return [("ntk_eigenvalue", float(v)) for v in eigenvalues(theta)]

    def _quotient(self, width: int) -> list[tuple[str, float]]:
        value = gradient_quotient(
            self.module, self.params, self.batch, generator=self.fresh(), loss=self.loss
        )
        return [("gradient_quotient", value)]

    def _hessian(self, width: int) -> list[tuple[str, float]]:
        top = top_eigenvalue(
            self.module,
            self.params,
            self.batch,
            products=self.products,
            generator=self.fresh(),
            loss=self.loss,
        )
        return [("hessian_top", top.value), ("hessian_residual", top.residual)]
