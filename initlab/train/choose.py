"""In which form the networks of a group are computed: known for models of this package, and found
out for a user's.

A user's module is computed one network after the other, all as one by `torch.func`, or as an MLP of
this package if that is what it is. Which is the fastest depends on the module, the machine and the
size of a batch; and `torch.func` may give other numbers without a word. So all are tried, once on
each machine, on a batch of the data: a way must give the module's own numbers, and be faster. What
was found is kept in a file, so that the same networks are computed in the same way tomorrow.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache, partial
from math import inf
from pathlib import Path

import torch
from platformdirs import user_cache_dir
from torch import Tensor

from initlab.models import MLP, AnyModel, ModuleModel, Network, Params, products
from initlab.reinit.normalize import normalized
from initlab.spec import key
from initlab.train.ensemble import (
    Batch,
    Ensemble,
    ModuleEnsemble,
    StackedEnsemble,
)
from initlab.train.functional import FunctionalEnsemble
from initlab.train.fused import FusedMLP, FusedNetwork
from initlab.train.loss import Loss
from initlab.tree import apply, first, leaves, take

#: Networks with which the forms are compared, and how often each is timed.
TRIED, TIMES = 8, 5
#: Seconds of timing after which no more rounds begin.
ENOUGH = 2.0
#: Relative difference of gradients up to which the numbers are the module's own.
SAME = 1e-4
#: What this process knows.
_FOUND: dict[str, Form] = {}
#: How much faster networks computed as one must be.
FASTER = 1.1


class Way(StrEnum):
    """How a user's networks are computed."""

    APART = "apart"
    TOGETHER = "together"
    FUSED = "fused"


@dataclass(frozen=True)
class Form:
    """What was found of a network: whether it draws from PyTorch's global generator, the fastest
    way to compute it, and by how much that is faster than one network after the other.
    """

    draws: bool
    way: Way
    faster: float


#: Nothing is known: what is always right.
ANY = Form(True, Way.APART, 1.0)


def ensemble(
    model: AnyModel,
    params: Params,
    *,
    precision: str = "float32",
    batch: Batch | None = None,
    loss: Loss | None = None,
    noise: Sequence[int] | None = None,
    hooked: bool = False,
) -> Ensemble:
    """The networks in the form that is the fastest for such a model.

    Args:
        model: What they are.
        params: Their tensors, (R, *shape) each.
        precision: See `fit`.
        batch: What a step learns from, to try a user's network on; without one the networks are
            computed one after the other.
        loss: What it learns by.
        noise: A seed for each network, for what it draws itself.
        hooked: Whether modules are changed on the way.

    Returns:
        The networks, with tensors of their own.
    """
    if isinstance(model, Network):
        form = ANY
        if batch is not None and loss is not None:
            form = found(model, params, batch, loss)
        if hooked or normalized(params):
            return ModuleEnsemble(model, params, noise, form.draws)
        # What computes a step by itself does so in float32.
        way = Way.APART if form.way is Way.FUSED and precision == "bf16" else form.way
        return _made(way, model, params, noise, form.draws)
    if hooked or isinstance(model, ModuleModel) or normalized(params):
        return ModuleEnsemble(model, params)
    if isinstance(model, MLP) and FusedMLP.takes(model, params) and precision != "bf16":
        return FusedMLP(model, params)
    return StackedEnsemble(model, params)


def found(model: Network, params: Params, batch: Batch, loss: Loss) -> Form:
    """What was found of a network, on this machine and for batches of this size."""
    device = first(batch.x).device
    shapes = tuple(tuple(t.shape) for t in leaves((batch.x, batch.y)))
    name = key((key(model), str(loss), str(shapes), device.type, *_machine()))
    known = _read(name)
    if known is None:
        known = _try(model, params, batch, loss)
        _write(name, known)
    return known


@lru_cache
def _machine() -> tuple[str, ...]:
    return torch.__version__, platform.machine(), platform.processor(), platform.node()


def _folder() -> Path:
    return Path(user_cache_dir("initlab")) / "forms"


def _read(name: str) -> Form | None:
    if name not in _FOUND:
        try:
            read = json.loads((_folder() / f"{name}.json").read_text("utf8"))
            _FOUND[name] = Form(**read | {"way": Way(read["way"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None
    return _FOUND[name]


def _write(name: str, form: Form) -> None:
    _FOUND[name] = form
    try:
        _folder().mkdir(parents=True, exist_ok=True)
        fresh = _folder() / f"{name}.{time.time_ns()}"
        fresh.write_text(json.dumps(asdict(form)), encoding="utf8")
        fresh.replace(_folder() / f"{name}.json")
    except OSError:  # the next process finds it out again
        return


def _try(model: Network, params: Params, batch: Batch, loss: Loss) -> Form:
    count = len(next(iter(params.values())))
    few = take(dict(params), [r % count for r in range(TRIED)])
    few_batch = Batch(
        take(batch.x, [r % count for r in range(TRIED)]) if batch.own_x else batch.x,
        take(batch.y, [r % count for r in range(TRIED)]) if batch.own_y else batch.y,
        batch.own_x,
        batch.own_y,
    )
    device = first(batch.x).device
    noise = range(TRIED)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)  # a worker has one
        with products.fast(), products.one_blas_thread():
            if _draws(ModuleEnsemble(model, few, noise, False), few_batch, loss):
                return ANY
            ready: dict[Way, Ensemble] = {}
            expected: list[Tensor] = []
            for way in Way:
                try:
                    made = _made(way, model, few, noise, False)
                    given = _step(made, few_batch, loss)
                except Exception:  # what a way does not take, for whatever reason
                    if way is Way.APART:
                        raise
                    continue
                expected = expected or given
                if way is Way.APART or _same(expected, given):
                    ready[way] = made
            times = _times(ready, few_batch, loss, device)
    finally:
        torch.set_num_threads(threads)
    best = min(times, key=lambda way: times[way])
    faster = times[Way.APART] / times[best]
    return Form(False, best, faster) if faster >= FASTER else Form(False, Way.APART, 1.0)


def _made(
    way: Way, model: Network, params: Params, noise: Sequence[int] | None, draws: bool
) -> Ensemble:
    if way is Way.FUSED:
        return FusedNetwork(model, params)
    if way is Way.TOGETHER:
        return FunctionalEnsemble(model, params, noise)
    return ModuleEnsemble(model, params, noise, draws)


def _times(
    ready: Mapping[Way, Ensemble], batch: Batch, loss: Loss, device: torch.device
) -> dict[Way, float]:
    """Least seconds of a step in each way; large networks are timed less often."""
    times = dict.fromkeys(ready, inf)
    start = time.perf_counter()
    for _ in range(TIMES):
        for way, networks in ready.items():
            seconds = _seconds(partial(networks.gradients, batch, loss), device)
            times[way] = min(times[way], seconds)
        if time.perf_counter() - start > ENOUGH:
            break
    return times


def _step(networks: Ensemble, batch: Batch, loss: Loss) -> list[Tensor]:
    """Losses and gradients of two steps: the second sees the buffers that the first has moved."""
    networks.gradients(batch, loss)
    losses, grads = networks.gradients(batch, loss)
    shown = [losses, *grads, *networks.params().values()]
    x = apply(lambda t: t[0], batch.x) if batch.own_x else batch.x
    return [t.clone() for t in shown] + [networks.predict(x)]


def _same(expected: list[Tensor], given: list[Tensor]) -> bool:
    for a, b in zip(expected, given, strict=True):
        apart = torch.where(a == b, 0.0, (a - b).abs())  # a mask has infinite entries
        scale = a.abs().where(a.isfinite(), 0.0).max()
        if not bool(apart.max() <= SAME * scale + 1e-7):
            return False
    return True


def _draws(networks: Ensemble, batch: Batch, loss: Loss) -> bool:
    """Whether a step draws from PyTorch's global generator."""
    device = first(batch.x).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        states = _states(device)
        networks.gradients(batch, loss)
        return not all(map(torch.equal, states, _states(device)))


def _states(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
