"""In which form the networks of a group are computed: known for models of this package, and found
out for a user's.

A user's module is computed one network after the other, as it is or by a recorded step; all as one
by `torch.func`; or as an MLP of this package if that is what it is. Which is the fastest depends on
the module, the machine and the size of a batch; and a way may give other numbers without a word. So
all are tried, once on each machine, on a batch of the data: a way must give the module's own
numbers, and be faster. What was found is kept in a file, so that the same networks are computed in
the same way tomorrow.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import lru_cache, partial
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from initlab import folders
from initlab.models import MLP, AnyModel, ModuleModel, Network, Params, products
from initlab.reinit.normalize import normalized
from initlab.spec import key
from initlab.threads import in_threads
from initlab.train.ensemble import (
    Batch,
    Ensemble,
    ModuleEnsemble,
    StackedEnsemble,
)
from initlab.train.functional import FunctionalEnsemble
from initlab.train.fused import FusedMLP, FusedNetwork
from initlab.train.loss import Loss
from initlab.train.memory_estimate import OWN
from initlab.train.traced import TracedEnsemble
from initlab.tree import apply, first, leaves, take

#: Networks with which the forms are compared, and how often each is timed.
TRIED, TIMES = 8, 5
#: Seconds of timing after which no more rounds begin.
ENOUGH = 2.0
#: Relative difference of gradients up to which the numbers are the module's own.
SAME = 1e-4
#: Seconds of steps in a row in which threads are compared: the first in a thread are slow.
LONG = 0.3
#: What this process knows.
_FOUND: dict[str, Form] = {}
#: How much faster networks computed as one must be.
FASTER = 1.1
#: How many times the fastest a recorded step may take: threads run it side by side, and Python not.
TIE = 1.1


class Way(StrEnum):
    """How a user's networks are computed."""

    APART = "apart"
    TOGETHER = "together"
    TRACED = "traced"
    FUSED = "fused"

    @property
    def apart(self) -> bool:
        """Whether one network comes after the other."""
        return self in (Way.APART, Way.TRACED)


@dataclass(frozen=True)
class Form:
    """What was found of a network: whether it draws from PyTorch's global generator, the fastest
    way to compute it, by how much that is faster than one network after the other, and whether
    threads had better work together on all networks of a group than share them out.
    """

    draws: bool
    way: Way
    faster: float
    joint: bool = False


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
        alone = form.way in (Way.FUSED, Way.TRACED) and precision == "bf16"
        way = Way.APART if alone else form.way
        return _made(way, model, params, noise, form.draws)
    if hooked or isinstance(model, ModuleModel) or normalized(params):
        return ModuleEnsemble(model, params)
    if isinstance(model, MLP) and FusedMLP.takes(model, params) and precision != "bf16":
        return FusedMLP(model, params)
    return StackedEnsemble(model, params)


def found(model: Network, params: Params, batch: Batch, loss: Loss, threads: int = 1) -> Form:
    """What was found of a network, on this machine and for batches of this size, where so many
    threads are to train a group.
    """
    device = first(batch.x).device
    shapes = tuple(tuple(t.shape) for t in leaves((batch.x, batch.y)))
    name = key((key(model), str(loss), str(shapes), device.type, threads, *_machine()))
    known = _read(name)
    if known is None:
        if threads == 1:
            known = _try(model, params, batch, loss)
        else:
            known = found(model, params, batch, loss)
            known = replace(known, joint=_joint(known, model, params, batch, loss, threads))
        _write(name, known)
    return known


@lru_cache
def _machine() -> tuple[str, ...]:
    return torch.__version__, platform.machine(), platform.processor(), platform.node()


def _folder() -> Path:
    return folders.cache() / "forms"


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
    device, threads = first(batch.x).device, torch.get_num_threads()
    few, few_batch = _some(params, batch, range(TRIED))
    noise = range(TRIED)
    try:
        torch.set_num_threads(1)  # a worker has one
        with products.fast(), products.one_blas_thread():
            draws = _draws(ModuleEnsemble(model, few, noise, False), few_batch, loss)
            ready: dict[Way, Ensemble] = {}
            expected: list[Tensor] = []
            for way in Way:
                if draws and way is not Way.APART:
                    continue
                if way is Way.TRACED and device.type == "cuda":
                    continue  # whose steps are captured whole
                try:
                    made = _made(way, model, few, noise, draws)
                    given = _step(made, few_batch, loss)
                except Exception:  # what a way does not take, for whatever reason
                    if way is Way.APART:
                        raise
                    continue
                expected = expected or given
                if way is Way.APART or _same(expected, given):
                    ready[way] = made
            times = _times({w: _work(e, few_batch, loss) for w, e in ready.items()}, device)
            best = min(times, key=lambda way: times[way])
            if times.get(Way.TRACED, inf) <= TIE * times[best]:
                best = Way.TRACED
            faster = times[Way.APART] / times[best]
            if best is Way.TRACED or faster >= FASTER:
                return Form(draws, best, faster)
            return Form(draws, Way.APART, 1.0)
    finally:
        torch.set_num_threads(threads)


def _some(params: Params, batch: Batch, rows: Sequence[int]) -> tuple[Params, Batch]:
    """Some networks and what they learn from; numbers beyond the last begin again."""
    count = len(next(iter(params.values())))
    rows = [r % count for r in rows]
    return take(dict(params), rows), Batch(
        take(batch.x, rows) if batch.own_x else batch.x,
        take(batch.y, rows) if batch.own_y else batch.y,
        batch.own_x,
        batch.own_y,
    )


def _joint(
    form: Form, model: Network, params: Params, batch: Batch, loss: Loss, threads: int
) -> bool:
    """Whether a step is faster when torch's threads, so many, share the work of each operation."""

    def made(rows: Sequence[int]) -> Callable[[], object]:
        own, seen = _some(params, batch, rows)
        return _work(_made(form.way, model, own, range(len(rows)), form.draws), seen, loss)

    count = min(len(next(iter(params.values()))), threads * OWN)
    together = made(range(count))
    parts = [made(range(t, count, threads)) for t in range(min(threads, count))]
    with products.one_blas_thread(), products.fast():
        steps = max(2, int(LONG / _seconds(together, torch.device("cpu"))))

        def often(work: Callable[[], object]) -> None:
            with products.fast():  # a thread of its own does not know of it
                for _ in range(steps):
                    work()

        times = _times(
            {True: partial(often, together), False: partial(in_threads, often, parts)},
            torch.device("cpu"),
        )
    return times[True] * FASTER < times[False]


def _made(
    way: Way, model: Network, params: Params, noise: Sequence[int] | None, draws: bool
) -> Ensemble:
    if way is Way.FUSED:
        return FusedNetwork(model, params)
    if way is Way.APART:
        return ModuleEnsemble(model, params, noise, draws)
    if way is Way.TRACED:
        return TracedEnsemble(model, params, noise)
    return FunctionalEnsemble(model, params, noise)


def _work(networks: Ensemble, batch: Batch, loss: Loss) -> Callable[[], object]:
    """A step, to be timed."""
    return partial(networks.gradients, batch, loss)


def _times(ways: Mapping[Any, Callable[[], object]], device: torch.device) -> dict[Any, float]:
    """Least seconds of each way; what takes long is timed less often."""
    times = dict.fromkeys(ways, inf)
    start = time.perf_counter()
    for _ in range(TIMES):
        for way, work in ways.items():
            times[way] = min(times[way], _seconds(work, device))
        if time.perf_counter() - start > ENOUGH:
            break
    return times


def _step(networks: Ensemble, batch: Batch, loss: Loss) -> list[Tensor]:
    """Losses and gradients of two steps: the second sees the buffers that the first has moved, and
    other inputs, by which numbers are told from those that a recorded step would keep.
    """
    networks.gradients(batch, loss)
    samples = 1 if batch.own_x else 0
    x = apply(lambda t: t.roll(1, samples), batch.x)
    losses, grads = networks.gradients(replace(batch, x=x), loss)
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
