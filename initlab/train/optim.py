"""Optimizers as values, and one step of each for many networks at once.

The networks of a group share the kind of optimizer; every number of it (rate, momentum, betas,
decay) may differ from network to network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from initlab.spec import spec


def _check(optimizer: Optimizer, **bounds: tuple[float, float]) -> None:
    """Refuse numbers outside [low, high); rates must also be positive."""
    name = type(optimizer).__name__
    if not optimizer.lr > 0:
        raise ValueError(f"{name}: lr must be > 0, not {optimizer.lr}")
    for field, (low, high) in bounds.items():
        value = getattr(optimizer, field)
        if not low <= value < high:
            below = f" and < {high:g}" if high < float("inf") else ""
            raise ValueError(f"{name}: {field} must be ≥ {low:g}{below}, not {value}")


_ANY = (0.0, float("inf"))


@spec
class SGD:
    """Stochastic gradient descent, v ← μ v + g, θ ← θ − lr v, as `torch.optim.SGD` does it.

    With `nesterov` the step is along g + μ v. `weight_decay` λ adds λθ to g (an L2 penalty), or
    with `decoupled` shrinks θ by 1 − lr·λ beside the step.
    """

    lr: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    decoupled: bool = False

    def __post_init__(self) -> None:
        """Refuse rates that are not positive, and Nesterov's step without momentum."""
        _check(self, momentum=(0.0, 1.0), weight_decay=_ANY)
        if self.nesterov and not self.momentum > 0:
            raise ValueError("SGD: nesterov needs momentum > 0, not 0")


@spec
class Adam:
    """Adam (Kingma & Ba 2015); `weight_decay` is an L2 penalty, or decoupled from the step
    (Loshchilov & Hutter 2019). As `torch.optim.Adam` and `torch.optim.AdamW` do it.
    """

    lr: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    decoupled: bool = False

    def __post_init__(self) -> None:
        """Refuse rates that are not positive and betas outside [0, 1)."""
        _check(self, beta1=(0.0, 1.0), beta2=(0.0, 1.0), weight_decay=_ANY, eps=_ANY)


@spec
class AdamW(Adam):
    """Adam with decoupled weight decay and PyTorch's default of it."""

    weight_decay: float = 0.01
    decoupled: bool = True


@spec
class LARS:
    """Layer-wise adaptive rate scaling (You et al. 2017).

    Each weight tensor moves at lr · trust · ‖w‖ / (‖g‖ + λ‖w‖), with momentum and L2 decay λ.
    Vectors (biases, scales of normalization) move at the plain rate and are not decayed.
    """

    lr: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 0.0
    trust: float = 0.001

    def __post_init__(self) -> None:
        """Refuse rates that are not positive."""
        _check(self, momentum=(0.0, 1.0), weight_decay=_ANY, trust=_ANY)


Optimizer: TypeAlias = SGD | Adam | LARS


def family(optimizer: Optimizer) -> tuple:
    """What the optimizers of one group must share: their kind and their switches."""
    switches = [
        (f.name, v)
        for f in dataclasses.fields(optimizer)
        if isinstance(v := getattr(optimizer, f.name), bool)
    ]
    kind = Adam if isinstance(optimizer, Adam) else type(optimizer)
    return kind.__name__, *switches


class Step:
    """One step of the optimizers of R networks on stacked parameters, (R, *shape) each.

    Holds the optimizers' state: `keep(rows)` forgets that of networks which have left.
    Raises `ValueError` for optimizers of different families.
    """

    def __init__(
        self,
        optimizers: Sequence[Optimizer],
        theta: Sequence[Tensor],
        rates: Sequence[float | Tensor] | None = None,
    ) -> None:
        """State of zeros for parameters `theta`.

        `rates` multiplies the learning rate of each of them: one number for all networks or one
        for each, (R,).
        """
        families = {family(o) for o in optimizers}
        if len(families) > 1:
            raise ValueError(
                f"optimizers of different kinds cannot step as one: {sorted(map(str, families))}"
            )
        first = optimizers[0]
        self.kind = first
        # Steps that are captured as a CUDA graph cannot count in Python.
        self.count: int | Tensor = 0
        if theta[0].device.type == "cuda":
            self.count = torch.zeros((), dtype=torch.float64, device=theta[0].device)
        self.rates = None if rates is None else list(rates)
        self.numbers: dict[str, float | Tensor] = {}
        for field in dataclasses.fields(first):
            values = [float(getattr(o, field.name)) for o in optimizers]
            same = len(set(values)) == 1
            self.numbers[field.name] = (
                values[0] if same else torch.tensor(values, device=theta[0].device)
            )
        self.decayed = self._any("weight_decay")
        momentum = not isinstance(first, Adam) and self._any("momentum")
        buffers = 2 if isinstance(first, Adam) else int(momentum)
        self.state = [[torch.zeros_like(t) for t in theta] for _ in range(buffers)]

    @property
    def descends(self) -> bool:
        """Whether a step is θ ← θ − lr g, with a rate for each network."""
        own = self.rates is not None
        return isinstance(self.kind, SGD) and not (own or self.state or self.decayed)

    @property
    def _plain(self) -> bool:
        """Whether it is so with one rate for all."""
        return self.descends and not any(isinstance(v, Tensor) for v in self.numbers.values())

    def times(self, factor: float, networks: int) -> Tensor:
        """−lr of each network, (R,): what gradients are multiplied by in a step that descends."""
        lr = self.numbers["lr"]
        return -factor * lr if isinstance(lr, Tensor) else torch.full((networks,), -factor * lr)

    def _any(self, name: str) -> bool:
        value = self.numbers[name]
        return bool(value.any()) if isinstance(value, Tensor) else value != 0

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these networks only."""
        self.state = [[s[rows] for s in buffer] for buffer in self.state]
        self.numbers = {
            name: v[rows] if isinstance(v, Tensor) else v for name, v in self.numbers.items()
        }
        self.decayed = self._any("weight_decay")
        if self.rates is not None:
            self.rates = [r[rows] if isinstance(r, Tensor) else r for r in self.rates]

    def reset(self) -> None:
        """Forget all that was summed up: momentum, squares and the number of steps."""
        self.count *= 0
        for buffer in self.state:
            for s in buffer:
                s.zero_()

    @torch.no_grad()
    def __call__(
        self, theta: Sequence[Tensor], grads: Sequence[Tensor], factor: float | Tensor
    ) -> None:
        """Change `theta` in place along `grads` (which may be overwritten); `factor` is on lr."""
        self.count += 1
        if self._plain and isinstance(factor, Tensor):
            # As few kernels as there can be.
            torch._foreach_mul_(list(grads), (-factor * self.numbers["lr"]).to(theta[0].dtype))
            torch._foreach_add_(list(theta), list(grads))
            return
        for i, (t, g) in enumerate(zip(theta, grads, strict=True)):
            own = self.numbers if self.decayed else {**self.numbers, "weight_decay": 0.0}
            if self.rates is not None:
                own = {**own, "lr": own["lr"] * self.rates[i]}
            own = {**own, "lr": factor * own["lr"]}
            n = {
                name: v.view(-1, *[1] * (t.dim() - 1)) if isinstance(v, Tensor) and v.dim() else v
                for name, v in own.items()
            }
            state = [buffer[i] for buffer in self.state]
            if isinstance(self.kind, Adam):
                m, v = state
                adam_update(t, g, m, v, self.count, n)
            elif isinstance(self.kind, LARS):
                lars_update(t, g, *state, n=n)
            else:
                sgd_update(t, g, *state, n=n)


#: The numbers of an optimizer by the names of its fields: one for all networks, or a tensor that
#: broadcasts over a parameter's.
Numbers: TypeAlias = Mapping[str, float | Tensor]


def _decay(t: Tensor, g: Tensor, n: Numbers) -> None:
    decay = n["weight_decay"]
    if isinstance(decay, Tensor) or decay != 0:
        if n["decoupled"]:
            t.mul_(1 - n["lr"] * decay)
        else:
            _add(g, t, decay)


def sgd_update(t: Tensor, g: Tensor, v: Tensor | None = None, *, n: Numbers) -> None:
    """One step of `SGD` with the numbers `n` for one parameter of all networks, in place.

    `v` is the momentum's buffer, None without momentum; `g` may be overwritten.
    """
    _decay(t, g, n)
    if v is not None:
        v.mul_(n["momentum"]).add_(g)
        g = _add(g, v, n["momentum"]) if n["nesterov"] else v
    _add(t, g, -n["lr"])


def adam_update(
    t: Tensor, g: Tensor, m: Tensor, v: Tensor, count: int | Tensor, n: Numbers
) -> None:
    """One step of `Adam` with the numbers `n` for one parameter of all networks, in place.

    `m` and `v` are the running means of gradient and square, and this is the `count`-th step (from
    1); `g` is overwritten.
    """
    _decay(t, g, n)
    m.lerp_(g, 1 - n["beta1"])
    v.mul_(n["beta2"])
    _add(v, g.square_(), 1 - n["beta2"])
    corrected = (1 - n["beta2"] ** count) ** 0.5
    denominator = (v.sqrt() / corrected).add_(n["eps"])
    _add(t, m / denominator, -n["lr"] / (1 - n["beta1"] ** count))


def lars_update(t: Tensor, g: Tensor, v: Tensor | None = None, *, n: Numbers) -> None:
    """One step of `LARS` with the numbers `n` for one parameter of all networks, in place."""
    rate = n["lr"]
    if t.dim() > 2:  # a matrix or kernel of each network
        along = tuple(range(1, t.dim()))
        w_norm = torch.linalg.vector_norm(t, dim=along, keepdim=True)
        g_norm = torch.linalg.vector_norm(g, dim=along, keepdim=True)
        local = n["trust"] * w_norm / (g_norm + n["weight_decay"] * w_norm)
        alive = (w_norm > 0) & (g_norm > 0)
        rate = rate * torch.where(alive, local, torch.ones_like(local))
        _add(g, t, n["weight_decay"])
    if v is not None:
        v.mul_(n["momentum"])
        _add(v, g, rate)
        t.sub_(v)
    else:
        _add(t, g, -rate)


def _add(t: Tensor, other: Tensor, times: float | Tensor) -> Tensor:
    """t += times · other, in place and in one pass."""
    if isinstance(times, Tensor):
        return t.addcmul_(other, times)
    return t.add_(other, alpha=times)
