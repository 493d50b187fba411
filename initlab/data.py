"""Named data sets as tensors that live on the device.

`digits` and `gaussian` are always there, and so are the first samples of `mnist`, `fashion_mnist`
and `emnist` (`initlab.packaged`). Larger parts of these, `cifar10` and `cifar100` are read by
torchvision's classes from files that `initlab.files` has checked or had downloaded; `hasy` and
`tiny_imagenet` are read where a user has put them (`initlab.pictures`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from math import prod
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from initlab import packaged, pictures, tree
from initlab.files import DataError, ensure, root, torchvision_class
from initlab.spec import spec
from initlab.tensors import Inputs, Tensors

__all__ = [
    "NAMES",
    "SCALINGS",
    "SHAPES",
    "Data",
    "DataError",
    "DataSet",
    "Split",
    "Tensors",
    "load",
    "root",
]

#: Shape of one input of each set, so that a model can be sized without loading anything.
SHAPES: dict[str, tuple[int, ...]] = {
    "digits": (1, 8, 8),
    "gaussian": (64,),
    "mnist": (1, 28, 28),
    "fashion_mnist": (1, 28, 28),
    "cifar10": (3, 32, 32),
    "cifar100": (3, 32, 32),
    "emnist": (1, 28, 28),
    **pictures.SHAPES,
}
NAMES = tuple(SHAPES)
SCALINGS = ("unit", "raw", "standard")
#: Number of classes of each set.
CLASSES = {name: 10 for name in NAMES} | {"cifar100": 100, "emnist": 62} | pictures.CLASSES

#: Training and test samples of each set. Of EMNIST ByClass only the test split is used, and it is
#: split again, as HASYv2 is: one in ten of a fixed permutation are for testing. Tiny ImageNet is
#: tested on its validation samples, because its test samples have no labels.
SIZES = {
    "digits": (1_437, 360),
    "gaussian": (2_000, 500),
    "mnist": (60_000, 10_000),
    "fashion_mnist": (60_000, 10_000),
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
    "emnist": (104_691, 11_632),
    "hasy": (151_410, 16_823),
    "tiny_imagenet": (100_000, 10_000),
}
Arrays: TypeAlias = tuple[np.ndarray, np.ndarray]


@spec
class Data:
    """A data set, how its inputs are scaled, and how many samples of it are used.

    `scaling`: "unit" divides pixels by their largest possible value; "raw" gives them the range
    0–255; "standard" shifts and scales each channel to mean 0 and standard deviation 1 over the
    training samples in use. `gaussian` has no pixels: "unit" and "raw" leave it as it is, and
    each of its features is a channel. `train` and `test` take the first so many samples of one
    fixed permutation, so that a small subset is part of a larger one; None takes all, in the
    order of the set. Small subsets of some sets ship with the package: see `packaged`.

    `classes` keeps the samples of these classes, which become 0, 1, … in the order given; sizes
    then count what is kept. `side` averages images down to `side` × `side` pixels, before they are
    scaled. `gain` is a factor on every scaled input. `subset` is the number of the permutation of
    the training set: a subset with another number is drawn anew.

    `val` samples of the training set, those that come after the first `train`, are held back for
    validation: on them numbers are tuned and a moment of training is chosen. With `test` 0 the test
    set is not read, so that it decides nothing.

    Raises `ValueError` for a name, scaling, size, class, side or gain that there is not.
    """

    name: str
    scaling: str = "unit"
    train: int | None = None
    test: int | None = None
    classes: tuple[int, ...] | None = None
    side: int | None = None
    gain: float = 1.0
    val: int = 0
    subset: int = 0

    def __post_init__(self) -> None:
        """Refuse what no set can give."""
        if self.name not in NAMES:
            raise ValueError(f"unknown data set {self.name!r}; known: {', '.join(NAMES)}")
        if self.scaling not in SCALINGS:
            raise ValueError(f"unknown scaling {self.scaling!r}; known: {', '.join(SCALINGS)}")
        for split, most in zip(("train", "test"), SIZES[self.name], strict=True):
            n = getattr(self, split)
            least = 0 if split == "test" else 1
            if n is not None and (type(n) is not int or not least <= n <= most):
                raise ValueError(
                    f"{split} must be a whole number from {least} to {most:,} for {self.name}, "
                    f"or None for all, not {n!r}"
                )
        if self.classes is not None:
            kept = self.classes
            most = CLASSES[self.name]
            known = all(type(c) is int and 0 <= c < most for c in kept)
            if not known or len(set(kept)) != len(kept) or len(kept) < 2:
                raise ValueError(
                    f"classes must be two or more different whole numbers from 0 to {most - 1}, "
                    f"or None for all, not {kept!r}"
                )
            if self.train is None or self.test is None:
                raise ValueError("with a choice of classes, train and test must be given")
        whole = SHAPES[self.name][-1]
        if self.side is not None and (
            self.name == "gaussian" or type(self.side) is not int or not 1 <= self.side <= whole
        ):
            raise ValueError(
                f"side must be a whole number of pixels from 1 to {whole} for images such as "
                f"digits, or None, not {self.side!r} for {self.name}"
            )
        if not 0 < self.gain < float("inf"):
            raise ValueError(f"gain must be a finite number > 0, not {self.gain!r}")
        if type(self.subset) is not int or not 0 <= self.subset < 2**32:
            raise ValueError(
                f"subset must be a whole number from 0 to 4,294,967,295, not {self.subset!r}"
            )
        most = SIZES[self.name][0]
        if type(self.val) is not int or not 0 <= self.val <= most - (self.train or most):
            raise ValueError(
                "val must be a whole number of samples beside the first `train`, which must be "
                f"given, within the {most:,} training samples of {self.name}, not {self.val!r}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        channels, *pixels = SHAPES[self.name]
        return (channels, *pixels) if self.side is None else (channels, self.side, self.side)

    @property
    def packaged(self) -> bool:
        """Whether all samples in use ship with the package, so that no file is needed.

        >>> Data("mnist", train=1000, test=500).packaged, Data("mnist").packaged
        (True, False)
        """
        if self.name not in packaged.SIZES:
            return self.name in ("digits", "gaussian")
        if self.classes is not None or self.train is None or self.subset:
            return False
        return packaged.holds(self.name, self.train + self.val, self.test)

    @property
    def outputs(self) -> int:
        """Number of classes."""
        return CLASSES[self.name] if self.classes is None else len(self.classes)

    @property
    def label(self) -> str:
        """The name of the set, for a column of a frame."""
        return self.name


@dataclass(frozen=True, eq=False)
class Split:
    """Samples: inputs `x`, (N, *shape) or several such tensors, and targets `y`, (N, …)."""

    x: Inputs
    y: Tensor

    def __len__(self) -> int:
        """N."""
        return len(self.y)

    def parts(self, size: int) -> Iterator[Split]:
        """The samples in order, `size` at a time."""
        for at in range(0, len(self), size):
            here = slice(at, at + size)
            yield Split(tree.part(self.x, here), self.y[here])


@dataclass(frozen=True, eq=False)
class DataSet:
    """A loaded set. It is shared by all who load it, so its tensors are not to be changed.

    `test` has no samples where the test set is not read.
    """

    name: str
    train: Split
    test: Split
    classes: int | None
    val: Split | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input, of the first where there are several."""
        return tuple(tree.first(self.train.x).shape[1:])

    @property
    def features(self) -> int:
        """Numbers in one input."""
        return prod(self.shape)


def load(data: Data | Tensors | str, device: str | torch.device = "cpu") -> DataSet:
    """The data set on `device`; a second call with the same arguments gives the same object.

    Raises `DataError` when the files are missing and cannot be downloaded, or are truncated or
    corrupt, and `ValueError` for an unknown name. Samples that ship with the package need no files.

    >>> load("digits").train.x.shape
    torch.Size([1437, 1, 8, 8])
    >>> load(Data("gaussian", train=100)).features
    64
    """
    if isinstance(data, Tensors):
        return _moved(data, str(torch.device(device)))
    return _load(Data(data) if not isinstance(data, Data) else data, str(torch.device(device)))


@lru_cache(maxsize=4)
def _moved(data: Tensors, device: str) -> DataSet:
    """A user's tensors on the device."""
    found = {
        split: Split(tree.apply(lambda t: t.to(device), x), y.to(device))
        for split, (x, y) in data.splits.items()
    }
    train = found["train"]
    nothing = Split(tree.apply(lambda t: t[:0], train.x), train.y[:0])
    test = found.get("test", nothing)
    return DataSet(data.name, train, test, data.outputs, found.get("val"))


@lru_cache(maxsize=4)  # all of CIFAR-10 takes 740 MB as float32, all of Tiny ImageNet 5.4 GB
def _load(data: Data, device: str) -> DataSet:
    samples = _samples(data)
    inputs = [torch.from_numpy(x).to(device, torch.float32) for x, _ in samples]
    if data.side is not None:
        inputs = [
            F.adaptive_avg_pool2d(a, data.side) if len(a) else a.new_empty(0, *data.shape)
            for a in inputs
        ]
    shift, divisor = _scaling(inputs[0], data)
    for a in inputs:
        a.sub_(shift).div_(divisor)  # in place: CIFAR-10 is too large to hold three times
        if data.gain != 1:
            a.mul_(data.gain)
    classes = [torch.from_numpy(y).to(device, torch.int64) for _, y in samples]
    train, test, val = [Split(a, b) for a, b in zip(inputs, classes, strict=True)]
    return DataSet(data.name, train, test, data.outputs, val if data.val else None)


def _samples(data: Data) -> list[Arrays]:
    """The samples in use: for training, for testing, and for validation."""
    ships = data.packaged and data.name in packaged.SIZES
    train, test = packaged.read(data.name) if ships else _splits(data)
    first = _leading if ships else _first
    if data.classes is not None:
        new = np.full(CLASSES[data.name], -1)
        new[list(data.classes)] = np.arange(len(data.classes))
        train, test = (_kept(samples, new) for samples in (train, test))
    n = data.train
    x, y = first(train, None if n is None else n + data.val, data.subset)
    n = len(y) if n is None else n
    return [(x[:n], y[:n]), first(test, data.test, 1), (x[n:], y[n:])]


def _splits(data: Data) -> tuple[Arrays, Arrays]:
    """The set's own splits; a test set of which no sample is wanted is not read."""
    if data.name == "digits":
        train, test = _digits()
    elif data.name == "gaussian":
        train, test = _gaussian()
    elif data.name == "emnist":
        train, test = _split_again(_pixels(data.name, train=False))
    elif data.name == "hasy":
        train, test = _split_again(pictures.read_hasy(root()))
    else:
        read = _photographs if data.name == "tiny_imagenet" else partial(_pixels, data.name)
        train = read(train=True)
        test = (train[0][:0], train[1][:0]) if data.test == 0 else read(train=False)
    return train, test


def _kept(samples: Arrays, new: np.ndarray) -> Arrays:
    """The samples of the classes that have a new number, by their old one; others have −1."""
    x, y = samples
    kept = new[y] >= 0
    return x[kept], new[y[kept]]


def _scaling(x: Tensor, data: Data) -> tuple[Tensor | float, Tensor | float]:
    """What is taken off every input, and what it is then divided by."""
    if data.scaling == "standard":
        variance, mean = torch.var_mean(
            x, [axis for axis in range(x.dim()) if axis != 1], correction=0, keepdim=True
        )
        # A channel without variation (one sample of a feature) is centred and left at that.
        return mean, torch.where(variance > 0, variance, torch.ones_like(variance)).sqrt()
    return 0.0, 255.0 if data.scaling == "unit" and data.name != "gaussian" else 1.0


def _draws(seed: int) -> np.random.RandomState:
    # numpy promises RandomState's stream for ever, and no other generator's.
    return np.random.RandomState(seed)


def _first(samples: Arrays, n: int | None, seed: int) -> Arrays:
    x, y = samples
    if n is None:
        return x, y
    if n > len(y):
        raise ValueError(f"{n} samples were asked for, but the chosen classes have {len(y)}")
    chosen = _draws(seed).permutation(len(y))[:n]
    return x[chosen], y[chosen]


def _leading(samples: Arrays, n: int | None, seed: int) -> Arrays:
    """`_first` of samples that lie in the order of its permutation already."""
    x, y = samples
    return x[:n], y[:n]


def _digits() -> tuple[Arrays, Arrays]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    # They come in the order of their writers: unshuffled, the test set would be other hands.
    order = _draws(0).permutation(len(y))
    x, y = x[order].reshape(-1, *SHAPES["digits"]) * (255 / 16), y[order]  # 0–255, exactly
    n, _ = SIZES["digits"]
    return (x[:n], y[:n]), (x[n:], y[n:])


def _gaussian() -> tuple[Arrays, Arrays]:
    draws = _draws(0)
    (features,) = SHAPES["gaussian"]
    # Means 0.5·√(2·64) ≈ 5.7 noise widths apart: the best classifier errs on 2 %.
    means = 0.5 * draws.standard_normal((CLASSES["gaussian"], features))

    def samples(n: int) -> Arrays:
        y = draws.permutation(np.arange(n) % CLASSES["gaussian"])
        return (means[y] + draws.standard_normal((n, features))).astype(np.float32), y

    train, test = map(samples, SIZES["gaussian"])
    return train, test


def _pixels(name: str, *, train: bool) -> Arrays:
    """Pixels as they are in the files, channels first, (N, C, H, W) uint8, and classes."""
    ensure(name, root())
    samples = torchvision_class(name)(str(root()), train=train)
    x = np.asarray(samples.data)
    x = x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(x), np.asarray(samples.targets)


def _photographs(*, train: bool) -> Arrays:
    return pictures.read_tiny_imagenet(root(), train=train)


def _split_again(samples: Arrays) -> tuple[Arrays, Arrays]:
    """Nine in ten of the samples for training and the others for testing, always the same."""
    x, y = samples
    order = _draws(0).permutation(len(y))
    test, train = np.split(order, [len(y) // 10])
    return (x[train], y[train]), (x[test], y[test])
