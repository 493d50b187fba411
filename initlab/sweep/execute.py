"""Computing one group of runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from initlab import data as data_module
from initlab.data import Split
from initlab.init import Scheme, initialize, stacked
from initlab.init.functional import buffers, of_parameters
from initlab.measure.contract import Row
from initlab.models import Network, parameter_count
from initlab.precision import precision
from initlab.reinit import change
from initlab.spec import canonical, key, seed_of
from initlab.sweep.runs import Run
from initlab.threads import in_threads
from initlab.train import Members, Outcome, train
from initlab.tree import apply

Rows = list[Row]
#: What the store takes: (key, run as JSON, seconds, rows).
Result = tuple[str, str, float, Rows]

#: Weights drawn at once for networks that are only looked at. Part of a result's definition:
#: each chunk has its own seed.
CHUNK_WEIGHTS = 2**22
#: Training examples that a scheme is given which looks at data. Part of a result's definition.
FITTED_ON = 256
#: Relative size of the last digit of a float32.
DIGIT = 1e-7


def _generator(run: Run, *purpose: Any) -> torch.Generator:
    return torch.Generator().manual_seed(seed_of(run.seed, *purpose))


def _initialize(run: Run, module: nn.Module, device: str) -> dict[str, Tensor]:
    """What a run that trains starts from."""
    generator = _generator(run, "weights", 0)
    batch = _batch(run, device)
    drawn = initialize(module, run.init, generator, bias=run.bias, device=device, batch=batch)
    return of_parameters(module, drawn)


def _draw(run: Run, module: nn.Module, chunk: int, count: int, device: str) -> dict[str, Tensor]:
    """Networks of a run that looks at many, drawn together."""
    generator, rule = _generator(run, "weights", chunk), run.init
    params = stacked(module, rule, generator, count, run.bias, device)
    batch = _batch(run, device)
    if batch is None or not isinstance(rule, Scheme):
        return params
    own = ({name: t[r] for name, t in params.items()} for r in range(count))
    fitted = [rule.fit(module, one, batch, generator) for one in own]
    return {name: torch.stack([one[name] for one in fitted]) for name in params}


def _batch(run: Run, device: str) -> tuple[Tensor, Tensor] | None:
    """What a scheme that looks at data sees: examples that the run's `order` draws."""
    if not isinstance(run.init, Scheme) or not run.init.needs_batch:
        return None
    assert run.data is not None
    train = data_module.load(run.data, device).train
    drawn = torch.Generator().manual_seed(seed_of(run.order, "fitted"))
    chosen = torch.randperm(len(train.y), generator=drawn)[:FITTED_ON].to(train.x.device)
    x = apply(lambda t: t[chosen], train.x)
    model = run.model
    return x if isinstance(model, Network) else x.reshape(-1, *model.input_shape), train.y[chosen]


def _fresh(run: Run, module: nn.Module, stage: int, device: str) -> dict[str, Tensor]:
    """θ′ of a run where a stage begins: from a seed of its own, alike for all methods."""
    assert run.stages is not None
    return run.stages.method.draw(
        module,
        run.init,
        _generator(run, "stage", stage),
        bias=run.bias,
        device=device,
        batch=_batch(run, device),
    )


def _measure(run: Run, device: str) -> Rows:
    """Draw the networks of a run in chunks and report what it measures of them."""
    measure = run.measure
    assert measure is not None and not isinstance(run.model, Network)
    model = run.model
    module, shape = run.model.build("meta"), run.model.input_shape
    at_once = max(1, CHUNK_WEIGHTS // parameter_count(run.model))
    images = None
    if run.data is not None:
        assert measure.image is not None
        train = data_module.load(run.data, device).train
        end = measure.image + measure.examples
        if end > len(train.y):
            raise ValueError(f"image {end - 1} is not among the {len(train.y)} of {run.data.name}")
        images = train.x[measure.image : end].reshape(-1, *shape)

    def draw(chunk: int) -> np.ndarray:
        count = min(at_once, run.networks - chunk * at_once)
        params = _draw(run, module, chunk, count, device)
        x = images
        if x is None:
            x = measure.inputs(count, shape, _generator(run, "input", chunk)).to(device)
        return measure.values(model, params, x, _generator(run, "direction", chunk))

    chunks = range(ceil(run.networks / at_once))
    with precision("float32", torch.device(device)):
        values = in_threads(draw, chunks)  # numbers are drawn on the CPU, whatever the device
    return measure.report(np.concatenate(values))


def initial(run: Run, device: str = "cpu") -> dict[str, Tensor]:
    """The parameters from which a run trains, by name: drawn again from its rule and its seed.

    They are stored nowhere, because the run says all that decides them. So one can ask at any time
    how far a network has gone from its start (`initlab.measure.displacement.travelled`).

    Raises `ValueError` for a run that does not train.

    >>> from initlab.data import Data
    >>> from initlab.init import HeNormal
    >>> from initlab.models import MLP
    >>> from initlab.train import Budget
    >>> run = Run(MLP((8,), inputs=64), HeNormal(), data=Data("digits"), budget=Budget(epochs=1))
    >>> initial(run)["layer1.weight"].shape
    torch.Size([8, 64])
    """
    if run.budget is None:
        raise ValueError("only a run that trains starts somewhere; this one has no budget")
    return _start(run, run.model.build("meta"), device)


def _start(run: Run, module: nn.Module, device: str, nudge: int | None = None) -> dict[str, Tensor]:
    """The parameters from which a run trains."""
    built = _built(run, device)
    params = built | _initialize(run, module, device)
    if nudge is not None:
        generator = torch.Generator().manual_seed(nudge)
        for name, t in params.items():
            digit = torch.randn(t.shape, generator=generator).to(t)
            params[name] = t * (1 + DIGIT * digit)
    if run.start is None:
        return params
    before, method = run.start.run, run.start.method
    end = _ending(before, device, nudge)
    if method is None:
        return params | {n: end[n] for n in params if not n.startswith("head.")}
    at = 1, 2  # the second of two stages
    # Of a network that was built the buffers start as they were built, unless they are kept.
    learned = {n for n, _ in module.named_parameters()}
    kept = {n: t for n, t in built.items() if n not in learned}
    kept |= {n: t.clone() for n, t in end.items() if n in learned or run.start.kept_buffers}
    change(
        kept,
        method.changes(module, *at),
        method.draw(module, params, _generator(run, "stage", 1), device=device),
        {n: float(torch.linalg.vector_norm(t)) for n, t in _start(before, module, device).items()},
    )
    return kept


def _built(run: Run, device: str) -> dict[str, Tensor]:
    """Parameters and buffers that a network is built with, where its rule leaves any alone."""
    if not isinstance(run.model, Network):
        return {}
    made = run.model.build(device, seed_of(run.seed, "built"))
    named = dict(made.named_parameters()) | dict(made.named_buffers())
    return {name: t.detach() for name, t in named.items()}


@lru_cache(maxsize=64)  # the runs of a group that start from one end are many
def _ending(run: Run, device: str, nudge: int | None = None) -> dict[str, Tensor]:
    """The parameters at the end of a run that other runs start from."""
    return _fit([run], device, nudge)[0].params


def _train(runs: Sequence[Run], device: str, nudge: int | None) -> list[Rows]:
    """Train a group of runs as one."""
    return [o.rows() for o in _fit(runs, device, nudge)]


def _fit(runs: Sequence[Run], device: str, nudge: int | None = None) -> list[Outcome]:
    first = runs[0]
    assert first.data is not None and first.budget is not None
    module = first.model.build("meta")
    data = data_module.load(first.data, device)
    starts = [_start(r, module, device, nudge) for r in runs]
    if len({len(s) for s in starts}) > 1:
        new = buffers(module, torch.device(device))  # of those that do not go on with any
        starts = [{n: t for n, t in new.items() if t.is_floating_point()} | s for s in starts]
    orders = {r.order: torch.Generator().manual_seed(seed_of(r.order, "order")) for r in runs}
    classes = data.classes or 0
    labels = {r.noise: r.noise(data.train.y, classes) for r in runs if r.noise is not None}
    truth = data.train.y if any(r.noise is not None and r.noise.rate for r in runs) else None
    own: Tensor | None = None
    if first.noise is not None and len({r.noise for r in runs}) == 1:
        data = replace(data, train=Split(data.train.x, labels[first.noise]))
    elif labels:
        own = torch.stack([data.train.y if r.noise is None else labels[r.noise] for r in runs])
    members = Members(
        optimizers=[r.optimizer for r in runs],
        orders=[orders[r.order] for r in runs],
        rates=[dict(r.init.rates(module)) if isinstance(r.init, Scheme) else {} for r in runs],
        labels=own,
        stages=None if first.stages is None else [r.stages for r in runs if r.stages is not None],
        fresh=lambda r, stage: _fresh(runs[r], module, stage, device),
        noise=[seed_of(r.seed, r.order, "noise") for r in runs],
    )
    params = {name: torch.stack([s[name] for s in starts]) for name in starts[0]}
    return train(first, params, data, members, truth=truth)


def execute(runs: Sequence[Run], device: str = "cpu", nudge: int | None = None) -> list[Result]:
    """Compute one group of runs: (key, JSON, seconds, rows) of each.

    With `nudge`, a seed, a training begins from first parameters that differ in their last digit:
    a control that tells what rounding alone can make of its results.
    """
    start = time.perf_counter()
    trains = runs[0].budget is not None
    rows = _train(runs, device, nudge) if trains else [_measure(r, device) for r in runs]
    seconds = (time.perf_counter() - start) / len(runs)
    return [(key(r), canonical(r), seconds, row) for r, row in zip(runs, rows, strict=True)]
