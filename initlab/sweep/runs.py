"""A run as a value, products of runs, and the tidy frame of what came out."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable
from dataclasses import KW_ONLY
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from initlab.init import AsBuilt, MuP, Rule, Scheme, Zeros, mark
from initlab.measure import Measure, condition, departure, displacement, memory
from initlab.models import AnyModel, Network
from initlab.noise import LabelNoise
from initlab.reinit import Method, Stages
from initlab.spec import flat, from_plain, key, renamed, spec, to_plain
from initlab.train import (
    SGD,
    Optimizer,
    Recipe,
    check_stages,
)

#: Modules whose values a stored run may hold, though nothing here names them.
STORED = (condition, departure, displacement, mark, memory)
#: Fields of a run that each network of a group has of its own; the others they share.
OF_EACH = ("init", "bias", "seed", "order", "noise", "optimizer", "start", "stages")


@renamed(watch="observer")
@spec
class Run(Recipe):
    """All that decides a result: nothing else may.

    With a `budget` the run trains one network on `data`; with `measure` it draws `networks`
    networks and reports what it measures of them at initialization. `seed` decides the weights,
    `order` the batches and their augmentation, the seed of `noise` the wrong labels; by default all
    runs share batches and labels, so that they can be compared in pairs. With a `start` the network
    begins where another run ended, or the layers below its head do. With `stages` the network is
    re-initialized on the way; what is drawn then is of `init`, from a seed of its own for each
    stage.
    """

    init: Rule | Scheme
    _: KW_ONLY
    bias: Rule = Zeros()
    seed: int = 0
    networks: int = 1
    measure: Measure | None = None
    optimizer: Optimizer = SGD()
    order: int = 0
    noise: LabelNoise | None = None
    start: Pretrained | None = None
    stages: Stages | None = None

    def __post_init__(self) -> None:
        """Refuse runs that do nothing, or two things at once."""
        super().__post_init__()
        if isinstance(self.model, Network):
            self._check_own(self.model)
        elif isinstance(self.init, AsBuilt):
            raise ValueError(
                f"{type(self.model).__name__} says nothing of its start: give a rule, such as "
                "TorchDefault() for PyTorch's own; AsBuilt() is for a Network(…)"
            )
        if (self.budget is None) == (self.measure is None):
            raise ValueError("a run needs either a budget (it trains) or a measure, not both")
        if self.budget is not None and (self.data is None or self.networks != 1):
            raise ValueError("a run that trains needs data, and trains one network")
        if self.measure is not None and (self.measure.image is None) != (self.data is None):
            raise ValueError("networks are measured on an image of data, or without data")
        if isinstance(self.init, Scheme) and self.init.needs_batch and self.data is None:
            raise ValueError(f"{self.init.label} looks at data: its runs need some, data=Data(…)")
        rates = self.optimizer.mup
        if isinstance(self.init, MuP) and self.budget and self.init.optimizer != rates:
            raise ValueError(
                f"μP's rates are those of {self.init.optimizer!r}, but the run trains by "
                f"{type(self.optimizer).__name__}: "
                + (f"give MuP(optimizer={rates!r})" if rates else "μP has no rates for it")
            )
        if self.noise is not None and (self.data is None or self.data.outputs is None):
            raise ValueError("noise is wrong classes: the targets of these data are no classes")
        if self.networks < 1:
            raise ValueError(f"networks must be ≥ 1, not {self.networks}")
        if self.budget is None:
            for name in ("noise", "augment", "curves", "observer", "start", "stages"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} is for runs that train: this one has no budget")
        if self.stages is not None and self.budget is not None:
            check_stages([self.stages], self.budget)
            _check_layers(self.model, self.stages.method, self.stages.count)
        if self.start is not None:
            before, here = (to_plain(r.model) for r in (self.start.run, self))
            outputs = before.pop("outputs", 0), here.pop("outputs", 0)
            other_head = outputs[0] != outputs[1] and self.start.method is not None
            if before != here or None in outputs or other_head:
                raise ValueError(
                    "a run starts from the end of a run of the same model; only the number of "
                    "outputs may differ, and not where a method keeps the head: "
                    f"{self.start.run.model} and {self.model}"
                )

    def _check_own(self, model: Network) -> None:
        """Refuse what only networks of this package can."""
        if self.measure is not None:
            raise ValueError(
                "a measure draws networks of this package; initlab.inspect(module, rule, …) tells "
                f"what {model.label} is like at its start"
            )
        if self.start is not None and self.start.method is None:
            raise ValueError(
                f"which layers of {model.label} are its head is not known: start it with a method, "
                "Pretrained(run, ShrinkPerturb(1.0, 0.0)) for all layers as they are"
            )


@lru_cache(maxsize=32)  # runs of one model are many
def _layers(model: AnyModel) -> nn.Module:
    """A module of the model without values."""
    return model.build("meta")


@lru_cache(maxsize=256)
def _check_layers(model: AnyModel, method: Method, stages: int) -> None:
    """Refuse a method that asks for layers which the model has not."""
    method.changes(_layers(model), 0, stages)


@spec
class Pretrained:
    """Start where training `run` ended, in all layers but the head, which `Run.init` draws anew.

    With a `method` of re-initialization it is a start from all layers, the head among them, as the
    method changes them at the second of two stages: `ShrinkPerturb(1.0, 0.0)` is the warm start of
    Ash & Adams 2020, `ShrinkPerturb()` their remedy. θ′ is what `Run.init` draws from the run's own
    seed, so that `Full()` is the run without a start. `buffers`, the running statistics of
    normalization, are "fresh" or "kept", by default as the method has them.
    """

    run: Run
    method: Method | None = None
    buffers: str | None = None

    def __post_init__(self) -> None:
        """Refuse a run that does not train, and what a start cannot be changed by."""
        if self.run.budget is None:
            raise ValueError("a run can start from the end of a run that trains; this one does not")
        if self.run.stages is not None and self.run.stages.method.normalizes:
            raise ValueError(
                "a run cannot start from the end of one whose network was normalized on the way: "
                "its layers would miss that; give its method normalize=False"
            )
        if self.method is not None and self.method.normalizes:
            raise ValueError(
                f"{self.method.label} normalizes, which only stages of one run can: give it "
                "normalize=False"
            )
        if self.buffers not in (None, "fresh", "kept"):
            raise ValueError(f"buffers must be 'fresh', 'kept' or None, not {self.buffers!r}")
        if self.buffers is not None and self.method is None:
            raise ValueError("buffers are for a start with a method")

    @property
    def kept_buffers(self) -> bool:
        """Whether running statistics go on from where the other run ended."""
        return self.method is not None and (self.buffers or self.method.buffers) == "kept"


def grid(base: Run, **axes: Iterable[Any]) -> list[Run]:
    """Every combination of the given fields, as runs; the last axis varies fastest.

    Raises `ValueError` for a field that a run does not have.

    >>> from initlab.init import HeNormal, LecunNormal
    >>> from initlab.measure import SecondMoments
    >>> from initlab.models import MLP
    >>> base = Run(MLP.constant(20, 10), HeNormal(), measure=SecondMoments(), networks=100)
    >>> len(grid(base, init=[HeNormal(), LecunNormal()], seed=range(10)))
    20
    """
    known = [field.name for field in dataclasses.fields(base)]
    for name, values in axes.items():
        if name not in known:
            raise ValueError(f"a run has no field {name!r}; it has {', '.join(known)}")
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise ValueError(f"the axis {name} must be a list of values, not {values!r}")
    return [
        dataclasses.replace(base, **dict(zip(axes, values, strict=True)))
        for values in itertools.product(*axes.values())
    ]


def from_json(text: str) -> Run:
    """The run of a stored row's `run` column; raises `ValueError` for any other text."""
    try:
        run = from_plain(json.loads(text))
    except json.JSONDecodeError as error:
        raise ValueError(f"a run in JSON was expected, not {text!r} ({error})") from None
    if not isinstance(run, Run):
        raise ValueError(f"a run was expected, not {text!r}")
    return run


def by_key(runs: Iterable[Run]) -> dict[str, Run]:
    """Runs by the key of each, every one once.

    Raises `ValueError` for what is no list of runs, and for none.
    """
    if isinstance(runs, Run) or not isinstance(runs, Iterable):
        raise ValueError(f"a list of runs was expected, such as grid(…), not {runs!r:.80}")
    named: dict[str, Run] = {}
    for r in runs:
        if not isinstance(r, Run):
            raise ValueError(f"a list of runs was expected; {r!r:.80} in it is none")
        named[key(r)] = r
    if not named:
        raise ValueError("there are no runs: the list is empty")
    return named


#: What a tidy frame has of a stored row.
COLUMNS = ("key", "network", "layer", "step", "statistic", "value", "seconds", "commit")


def tidy(values: pd.DataFrame, named: dict[str, Run]) -> pd.DataFrame:
    """Stored rows with every field of their runs as columns, in the order of `named`.

    A statistic that there is many of is stored under a name with numbers, such as `mode/07` or
    `picture/03/11`. Here they are columns: `index` and `index_2`, −1 where a statistic has none.
    """
    place = pd.Index(named).get_indexer(values.key)
    found = _indexed(values[list(COLUMNS)].assign(_order=place)[place >= 0])
    order = ["_order", "statistic", "layer", "network", "step", "index", "index_2"]
    found = found.sort_values(order, kind="stable", ignore_index=True)
    fields = pd.DataFrame([flat(run) for run in named.values()])
    of_each = fields.take(found.pop("_order")).reset_index(drop=True)
    return pd.concat([found, of_each], axis="columns")


def _indexed(values: pd.DataFrame) -> pd.DataFrame:
    """Rows with the numbers in the names of their statistics as columns."""
    codes, names = pd.factorize(values.statistic)
    parts = [name.split("/") for name in names]
    at = np.array([[*map(int, rest), -1, -1][:2] for _, *rest in parts]).reshape(-1, 2)
    found = values.assign(statistic=np.array([first for first, *_ in parts], object)[codes])
    after = 1 + found.columns.get_loc("statistic")
    found.insert(after, "index", at[codes, 0])
    found.insert(after + 1, "index_2", at[codes, 1])
    return found


def select(frame: pd.DataFrame, runs: Iterable[Run], statistic: str | None = None) -> pd.DataFrame:
    """The rows of a frame that belong to `runs`, and of one statistic if it is named."""
    chosen = frame.key.isin({key(r) for r in runs})
    if statistic is not None:
        chosen &= frame.statistic == statistic
    return frame[chosen].dropna(axis="columns", how="all")
