"""A user's own tensors as a data set that is a value: its key is the hash of what it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Protocol, TypeAlias
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

from initlab import tree
from initlab.files import DataError
from initlab.spec import spec

#: Inputs of N samples: a tensor (N, …), or several of them in a tuple or by the argument's name.
Inputs: TypeAlias = Any
SPLITS = ("train", "val", "test")


class MapStyle(Protocol):
    """A map-style `torch.utils.data.Dataset`: of known length, with samples by number."""

    def __len__(self) -> int:
        """Number of samples."""

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """A sample: its inputs and its target."""


class _Held:
    """The tensors, by split; found again by their content."""

    def __init__(self, splits: dict[str, tuple[Inputs, Tensor]]) -> None:
        self.splits = splits


_KNOWN: WeakValueDictionary[str, _Held] = WeakValueDictionary()


@spec
class Tensors:
    """Tensors as the data of a run: inputs and targets to train on, for validation and for testing.

    Inputs of N samples are a tensor (N, …), a tuple of tensors for a network of several arguments,
    or a mapping by their names. Targets are a tensor (N, …): whole numbers are classes (of samples,
    or of the places of a sequence), others are numbers to regress on, or probabilities. Arrays of
    numpy will do. Numbers of float64 and float16 become float32, and whole numbers int64.

    >>> x, y = torch.randn(8, 3), torch.randint(2, (8,))
    >>> data = Tensors(train=(x[:6], y[:6]), test=(x[6:], y[6:]))
    >>> data.train, data.test, data.shape
    (6, 2, (3,))
    """

    content: str
    train: int
    val: int
    test: int
    name: str = field(default="tensors", compare=False)

    def __init__(
        self,
        *,
        train: tuple[Any, Any],
        val: tuple[Any, Any] | None = None,
        test: tuple[Any, Any] | None = None,
        name: str = "tensors",
    ) -> None:
        """Hold copies of the tensors.

        Args:
            train: Inputs and targets to train on.
            val: Those on which a moment of training is chosen, and settings are tuned.
            test: Those that decide nothing.
            name: A name for columns of frames; it decides nothing either.

        Raises:
            ValueError: For what is no pair of tensors, for other shapes or types in one split than
                in another, for no samples, and for numbers that are not finite.
        """
        given = {"train": train, "val": val, "test": test}
        splits = {s: _pair(s, pair) for s, pair in given.items() if pair is not None}
        if "train" not in splits:
            raise ValueError("train must be a pair of inputs and targets, not None")
        for split, pair in splits.items():
            _check_alike(split, pair, splits["train"])
        content = _hash(splits)
        held = _KNOWN.setdefault(content, _Held(splits))
        self._set(name, content, held)

    def _set(self, name: str, content: str, held: _Held | None, **counts: int) -> None:
        if held is not None:
            counts = {s: len(held.splits[s][1]) if s in held.splits else 0 for s in SPLITS}
        for part, value in {"name": name, "content": content, **counts, "_held": held}.items():
            object.__setattr__(self, part, value)

    @classmethod
    def from_fields(cls, content: str, train: int, val: int, test: int) -> Tensors:
        """The value with these fields, and its tensors where their content is known."""
        made = object.__new__(cls)
        made._set("tensors", content, _KNOWN.get(content), train=train, val=val, test=test)
        return made

    @classmethod
    def from_datasets(
        cls,
        *,
        train: MapStyle,
        val: MapStyle | None = None,
        test: MapStyle | None = None,
        name: str = "tensors",
    ) -> Tensors:
        """Tensors from map-style data sets, each read once from beginning to end.

        Args:
            train: A `torch.utils.data.Dataset` whose samples are pairs of inputs and target.
            val: See `Tensors`.
            test: See `Tensors`.
            name: See `Tensors`.

        Raises:
            ValueError: For what is no such data set, and as `Tensors` does.
        """
        given = {"train": train, "val": val, "test": test}
        pairs = {s: None if d is None else _collated(s, d) for s, d in given.items()}
        return cls(**pairs, name=name)  # type: ignore[arg-type]

    def __reduce__(self) -> tuple:
        """The tensors go with it to another process, which keeps them once."""
        held: _Held | None = self._held  # type: ignore[attr-defined]
        return _received, (self.name, self.content, None if held is None else held.splits)

    @property
    def splits(self) -> dict[str, tuple[Inputs, Tensor]]:
        """The tensors by split.

        Raises:
            DataError: If only their hash is known: the value was read from a store.
        """
        held: _Held | None = self._held or _KNOWN.get(self.content)  # type: ignore[attr-defined]
        if held is None:
            raise DataError(
                f"the tensors {self.name!r} are known by their hash {self.content} alone: results "
                "on them can be read, and computed again after Tensors(…) was given them"
            )
        return held.splits

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input, of the first where there are several."""
        return tuple(tree.first(self.splits["train"][0]).shape[1:])

    @property
    def outputs(self) -> int | None:
        """Number of classes, where targets are classes."""
        targets = [y for _, y in self.splits.values()]
        if targets[0].is_floating_point():
            return None
        return int(max(int(y.max()) for y in targets)) + 1

    @property
    def label(self) -> str:
        """The name, for a column of a frame."""
        return self.name


def _received(name: str, content: str, splits: dict[str, tuple[Inputs, Tensor]] | None) -> Tensors:
    made = object.__new__(Tensors)
    held = _KNOWN.get(content)
    if held is None and splits is not None:
        held = _KNOWN.setdefault(content, _Held(splits))
    made._set(name, content, held)
    return made


def _pair(split: str, pair: Any) -> tuple[Inputs, Tensor]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise ValueError(f"{split} must be a pair of inputs and targets, not {type(pair).__name__}")
    x, y = pair
    if isinstance(x, Mapping):
        inputs: Inputs = {str(name): _tensor(f"{split}: {name}", x[name]) for name in sorted(x)}
    elif isinstance(x, tuple | list):
        inputs = tuple(_tensor(f"{split}: input {i}", t) for i, t in enumerate(x))
    else:
        inputs = _tensor(f"{split}: inputs", x)
    y = _tensor(f"{split}: targets", y)
    counts = {len(t) for t in tree.leaves(inputs)} | {len(y)}
    if len(counts) != 1 or counts == {0}:
        raise ValueError(
            f"{split} must have one target for each of one or more samples; its tensors have "
            f"{', '.join(str(len(t)) for t in tree.leaves(inputs))} inputs and {len(y)} targets"
        )
    return inputs, y


def _tensor(what: str, given: Any) -> Tensor:
    if isinstance(given, np.ndarray):
        given = torch.from_numpy(np.ascontiguousarray(given))
    if not isinstance(given, Tensor) or given.dim() == 0:
        raise ValueError(f"{what} must be a tensor or an array of samples, not {given!r:.60}")
    t = given.detach().cpu()
    if t.dtype == torch.uint8:
        raise ValueError(
            f"{what} are bytes: give pixels as numbers, t.float() / 255, or tokens as t.long()"
        )
    if t.is_complex():
        raise ValueError(f"{what} are complex, which no network here takes: give two real parts")
    if not t.is_floating_point():
        return t.long().clone(memory_format=torch.contiguous_format)
    t = t.float().clone(memory_format=torch.contiguous_format)
    if not bool(torch.isfinite(t).all()):
        wrong = int((~torch.isfinite(t)).sum())
        raise ValueError(f"{what}: {wrong} numbers are not finite; remove or replace them")
    return t


def _check_alike(split: str, pair: tuple[Inputs, Tensor], train: tuple[Inputs, Tensor]) -> None:
    def form(pair: tuple[Inputs, Tensor]) -> list[tuple]:
        x, y = pair
        names: Sequence[Any] = sorted(x) if isinstance(x, Mapping) else []
        return [*names, *((tuple(t.shape[1:]), t.dtype) for t in (*tree.leaves(x), y))]

    if form(pair) != form(train):
        raise ValueError(
            f"{split} has samples of another form than train: {form(pair)} and {form(train)}"
        )


def _collated(split: str, samples: MapStyle) -> tuple[Any, Any]:
    from torch.utils.data import default_collate

    if not hasattr(samples, "__len__") or not hasattr(samples, "__getitem__"):
        raise ValueError(
            f"{split} must be a map-style data set, with a length and samples by number, not "
            f"{type(samples).__name__}"
        )
    try:
        x, y = default_collate([samples[i] for i in range(len(samples))])
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"the samples of {split} cannot be stacked: {error}; each must be a pair of inputs and "
            "target, of one shape"
        ) from error
    return (tuple(x) if isinstance(x, list) else x), y


def _hash(splits: Mapping[str, tuple[Inputs, Tensor]]) -> str:
    digest = hashlib.sha256()
    for split in SPLITS:
        if split not in splits:
            continue
        x, y = splits[split]
        names = ",".join(x) if isinstance(x, Mapping) else type(x).__name__
        digest.update(f"{split}({names})".encode())
        for t in (*tree.leaves(x), y):
            digest.update(f"{tuple(t.shape)}{t.dtype}".encode())
            digest.update(t.numpy().tobytes())
    return digest.hexdigest()[:16]
