"""Named data sets as tensors that live on the device.

`digits` and `gaussian` are always there. `mnist`, `fashion_mnist` and `cifar10` are read by
torchvision's classes from files that are checked first, or downloaded by torchvision into a
folder of its own and moved into place only once they are whole.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import platformdirs
import torch
from torch import Tensor

from initlab.spec import spec

#: Shape of one input of each set, so that a model can be sized without loading anything.
SHAPES: dict[str, tuple[int, ...]] = {
    "digits": (1, 8, 8),
    "gaussian": (64,),
    "mnist": (1, 28, 28),
    "fashion_mnist": (1, 28, 28),
    "cifar10": (3, 32, 32),
}
NAMES = tuple(SHAPES)
SCALINGS = ("unit", "raw", "standard")
CLASSES = 10  # every set here happens to have ten

_SIZES = {
    "digits": (1_437, 360),
    "gaussian": (2_000, 500),
    "mnist": (60_000, 10_000),
    "fashion_mnist": (60_000, 10_000),
    "cifar10": (50_000, 10_000),
}
# Files of the MNIST family: shape of what they hold, and the md5 of the file as torchvision
# unpacks it (torchvision itself knows only the md5s of the packed files): MNIST, Fashion-MNIST.
_IDX = {
    "train-images-idx3-ubyte": (
        (60_000, 28, 28),
        ("6bbc9ace898e44ae57da46a324031adb", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
    ),
    "train-labels-idx1-ubyte": (
        (60_000,),
        ("a25bea736e30d166cdddb491f175f624", "9018921c3c673c538a1fc5bad174d6f9"),
    ),
    "t10k-images-idx3-ubyte": (
        (10_000, 28, 28),
        ("2646ac647ad5339dbf082846283269ea", "8181f5470baa50b63fa0f6fddb340f0a"),
    ),
    "t10k-labels-idx1-ubyte": (
        (10_000,),
        ("27ae3e4e09519cfbb04c329615203637", "15d484375f8d13e6eb1aabb0c3f46965"),
    ),
}


def _idx_header(file: str) -> bytes:
    """First bytes of an idx file: zeros, type (8: unsigned bytes), number of axes, their sizes."""
    shape, _ = _IDX[file]
    return bytes((0, 0, 8, len(shape))) + b"".join(n.to_bytes(4, "big") for n in shape)


def _idx_files(which: int) -> dict[str, tuple[int, str]]:
    return {f: (len(_idx_header(f)) + prod(s), md5s[which]) for f, (s, md5s) in _IDX.items()}


#: Where a torchvision root has a set, and its files there: name → (bytes, md5).
_FILES: dict[str, tuple[str, dict[str, tuple[int, str]]]] = {
    "mnist": ("MNIST/raw", _idx_files(0)),
    "fashion_mnist": ("FashionMNIST/raw", _idx_files(1)),
    "cifar10": (
        "cifar-10-batches-py",
        {
            "data_batch_1": (31_035_704, "c99cafc152244af753f735de768cd75f"),
            "data_batch_2": (31_035_320, "d4bba439e000b95fd0a9bffe97cbabec"),
            "data_batch_3": (31_035_999, "54ebc095f3ab1f0389bbae665268c751"),
            "data_batch_4": (31_035_696, "634d18415352ddfa80567beed471001a"),
            "data_batch_5": (31_035_623, "482c414d41f54cd18b22e5b47cb7c3cb"),
            "test_batch": (31_035_526, "40351d587109b95175f43aff81a1287e"),
            "batches.meta": (158, "5ff9c542aee3614f3951f8cda6e48888"),
        },
    ),
}

Arrays: TypeAlias = tuple[np.ndarray, np.ndarray]


class DataError(Exception):
    """A set cannot be had; the message names it, its folder, what is wrong and both remedies."""


@spec
class Data:
    """A data set, how its inputs are scaled, and how many samples of it are used.

    `scaling`: "unit" divides pixels by their largest possible value; "raw" gives them the range
    0–255; "standard" shifts and scales each channel to mean 0 and standard deviation 1 over the
    training samples in use. `gaussian` has no pixels: "unit" and "raw" leave it as it is, and
    each of its features is a channel. `train` and `test` take the first so many samples of one
    fixed permutation, so that a small subset is part of a larger one; None takes all, in the
    order of the set.

    Raises `ValueError` for a name, scaling or size that there is not.
    """

    name: str
    scaling: str = "unit"
    train: int | None = None
    test: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no set can give."""
        if self.name not in NAMES:
            raise ValueError(f"unknown data set {self.name!r}; known: {', '.join(NAMES)}")
        if self.scaling not in SCALINGS:
            raise ValueError(f"unknown scaling {self.scaling!r}; known: {', '.join(SCALINGS)}")
        for split, most in zip(("train", "test"), _SIZES[self.name], strict=True):
            n = getattr(self, split)
            if n is not None and (type(n) is not int or not 1 <= n <= most):
                raise ValueError(
                    f"{split} must be a whole number from 1 to {most:,} for {self.name}, "
                    f"or None for all, not {n!r}"
                )

    @property
    def label(self) -> str:
        """The name of the set, for a column of a frame."""
        return self.name


@dataclass(frozen=True, eq=False)
class Split:
    """Samples: inputs `x`, (N, *shape) float32, and classes `y`, (N,) int64."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True, eq=False)
class DataSet:
    """A loaded set. It is shared by all who load it, so its tensors are not to be changed."""

    name: str
    train: Split
    test: Split
    classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.train.x.shape[1:])

    @property
    def features(self) -> int:
        """Numbers in one input."""
        return prod(self.shape)


def root() -> Path:
    """The torchvision root: `INITLAB_DATA`, or `data` in the platform's cache folder."""
    chosen = os.environ.get("INITLAB_DATA")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return Path(platformdirs.user_cache_dir("initlab")) / "data"


def load(data: Data | str, device: str | torch.device = "cpu") -> DataSet:
    """The data set on `device`; a second call with the same arguments gives the same object.

    Raises `DataError` when the files are missing and cannot be downloaded, or are truncated or
    corrupt, and `ValueError` for an unknown name.

    >>> load("digits").train.x.shape
    torch.Size([1437, 1, 8, 8])
    >>> load(Data("gaussian", train=100)).features
    64
    """
    return _load(Data(data) if not isinstance(data, Data) else data, str(torch.device(device)))


@lru_cache(maxsize=4)  # all of CIFAR-10 takes 740 MB as float32
def _load(data: Data, device: str) -> DataSet:
    if data.name == "digits":
        train, test = _digits()
    elif data.name == "gaussian":
        train, test = _gaussian()
    else:
        train, test = _images(data.name)
    (x, y), (x_test, y_test) = _first(train, data.train, 0), _first(test, data.test, 1)
    inputs = [torch.from_numpy(a).to(device, torch.float32) for a in (x, x_test)]
    shift, divisor = _scaling(inputs[0], data)
    for a in inputs:
        a.sub_(shift).div_(divisor)  # in place: CIFAR-10 is too large to hold three times
    classes = [torch.from_numpy(a).to(device, torch.int64) for a in (y, y_test)]
    splits = [Split(a, b) for a, b in zip(inputs, classes, strict=True)]
    return DataSet(data.name, train=splits[0], test=splits[1], classes=CLASSES)


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
    chosen = _draws(seed).permutation(len(y))[:n]
    return x[chosen], y[chosen]


def _digits() -> tuple[Arrays, Arrays]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    # They come in the order of their writers: unshuffled, the test set would be other hands.
    order = _draws(0).permutation(len(y))
    x, y = x[order].reshape(-1, *SHAPES["digits"]) * (255 / 16), y[order]  # 0–255, exactly
    n, _ = _SIZES["digits"]
    return (x[:n], y[:n]), (x[n:], y[n:])


def _gaussian() -> tuple[Arrays, Arrays]:
    draws = _draws(0)
    (features,) = SHAPES["gaussian"]
    # Means 0.5·√(2·64) ≈ 5.7 noise widths apart: the best classifier errs on 2 %.
    means = 0.5 * draws.standard_normal((CLASSES, features))

    def samples(n: int) -> Arrays:
        y = draws.permutation(np.arange(n) % CLASSES)
        return (means[y] + draws.standard_normal((n, features))).astype(np.float32), y

    train, test = map(samples, _SIZES["gaussian"])
    return train, test


def _torchvision(name: str) -> Any:
    """torchvision's class of a set."""
    import torchvision.datasets as sets

    cls = {"mnist": sets.MNIST, "fashion_mnist": sets.FashionMNIST, "cifar10": sets.CIFAR10}[name]
    # Old torchvisions left a `processed` folder, which new ones would read in place of the
    # files that are checked here. The name stays, because it is also the folder's.
    return type(cls.__name__, (cls,), {"_check_legacy_exist": lambda self: False})


def _images(name: str) -> tuple[Arrays, Arrays]:
    """Pixels as they are in the files, channels first: (N, C, H, W) uint8."""
    here = root()
    _ensure(name, here)
    splits = []
    for train in (True, False):
        samples = _torchvision(name)(str(here), train=train)
        x = np.asarray(samples.data)
        x = x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)
        splits.append((np.ascontiguousarray(x), np.asarray(samples.targets)))
    return splits[0], splits[1]


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _fault(path: Path, size: int | None, md5: str) -> str | None:
    """What is wrong with a file that is there, or None."""
    try:
        found = path.stat().st_size
        if not path.is_file():
            return "is not a file"
        if path.name in _IDX:
            expected = _idx_header(path.name)
            with path.open("rb") as file:
                header = file.read(len(expected))
            if header[:4] != expected[: len(header)][:4]:
                return f"is not the idx file it should be (it starts with {header[:4].hex(' ')})"
            if len(header) == len(expected) and header != expected:
                return "holds another number of samples, or of another size, than it should"
        if size is not None and found < size:
            return f"is truncated ({found:,} of {size:,} bytes)"
        if size is not None and found > size:
            return f"is corrupt ({found:,} bytes where {size:,} belong)"
        if (md5_found := _md5(path)) != md5:
            return f"is corrupt (md5 {md5_found}, not {md5})"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return None


def _faults(name: str, here: Path) -> tuple[list[str], list[str]]:
    """Files of a set that are missing, and sentences about those that are wrong."""
    folder, files = _FILES[name]
    missing = [file for file in files if not os.path.lexists(here / folder / file)]
    wrong = []
    for file, (size, md5) in files.items():
        if file not in missing and (fault := _fault(here / folder / file, size, md5)):
            wrong.append(f"{file} {fault}")
    return missing, wrong


def _packed(name: str, here: Path) -> dict[Path, str | None]:
    """torchvision's archives of a set that are there, each with what is wrong with it."""
    cls = _torchvision(name)
    if name == "cifar10":
        md5s = {here / cls.filename: cls.tgz_md5}
    else:
        md5s = {here / _FILES[name][0] / file: md5 for file, md5 in cls.resources}
    return {path: _fault(path, None, md5) for path, md5 in md5s.items() if os.path.lexists(path)}


def _ensure(name: str, here: Path) -> None:
    """Have the right files of a set under `here`, or raise `DataError`."""
    missing, wrong = _faults(name, here)
    if not missing and not wrong:
        return
    cause = None
    if missing and not wrong:
        try:
            return _download(name, here)
        except Exception as error:  # urllib, tarfile, gzip, the file system: all end the same way
            text = " ".join(str(error).split()) or repr(error)
            wrong = [f"{path.name} {fault}" for path, fault in _packed(name, here).items() if fault]
            wrong.append(f"torchvision's download failed ({text})")
            cause = error
    if missing:
        wrong.insert(0, f"missing: {', '.join(missing)}")
    folder, files = _FILES[name]
    first = "" if cause else "move the wrong files away and "
    raise DataError(
        f"cannot load {name} from {here / folder}: {'; '.join(wrong)}. "
        f"Either {first}load it again with a net connection, and torchvision downloads it; or put "
        "the files there yourself, or point the environment variable INITLAB_DATA to a "
        f"torchvision root that has them ({folder}/ with {', '.join(files)})."
    ) from cause


@contextmanager
def _patience(seconds: float):
    """Give up on a silent server: without this, a net that swallows packets blocks for minutes."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _download(name: str, here: Path) -> None:
    """Let torchvision fetch a set beside its place, then move in what is missing there.

    A download that fails or is killed leaves nothing that could be taken for the set, and no
    file that is already there is written to.
    """
    relative, files = _FILES[name]
    folder = here / relative
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as beside:
            there = Path(beside)
            # Archives that were put here: torchvision unpacks them instead of asking the net.
            for archive in (path for path, fault in _packed(name, here).items() if not fault):
                copy = there / archive.relative_to(here)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(archive, copy)
            with _patience(30):
                _torchvision(name)(str(there), download=True)
            missing, wrong = _faults(name, there)
            if missing or wrong:
                raise RuntimeError(f"what came is not {name}: {', '.join(missing + wrong)}")
            for file in files:
                if not os.path.lexists(folder / file):
                    (there / relative / file).replace(folder / file)
    finally:
        for path in made:
            with suppress(OSError):  # not empty: it worked
                path.rmdir()
