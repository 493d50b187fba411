"""Files of the data sets: where they lie, whether they are whole, and how they get there.

Files are checked by size and MD5 before anything reads them. torchvision downloads into a folder
of its own; what came is checked too, and moved into place only then.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from initlab import folders, packaged

# Files of the MNIST family: shape of what they hold, and the md5 of the file as torchvision
# unpacks it (torchvision itself knows only the md5s of the packed files): MNIST, Fashion-MNIST.
IDX = {
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
# Of EMNIST ByClass only the test split is used. No official md5 of its unpacked files is known,
# so that these are held against their sizes and headers alone.
EMNIST = {
    "emnist-byclass-test-images-idx3-ubyte": (116_323, 28, 28),
    "emnist-byclass-test-labels-idx1-ubyte": (116_323,),
}


def idx_header(file: str) -> bytes:
    """First bytes of an idx file: zeros, type (8: unsigned bytes), number of axes, their sizes."""
    shape = EMNIST[file] if file in EMNIST else IDX[file][0]
    return bytes((0, 0, 8, len(shape))) + b"".join(n.to_bytes(4, "big") for n in shape)


def _idx_files(which: int) -> dict[str, tuple[int | None, str | None]]:
    return {f: (len(idx_header(f)) + prod(s), md5s[which]) for f, (s, md5s) in IDX.items()}


#: Where a torchvision root has a set, and its files there: name → (bytes, md5), None if not known.
FILES: dict[str, tuple[str, dict[str, tuple[int | None, str | None]]]] = {
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
    "cifar100": (
        "cifar-100-python",
        {
            "train": (None, "16019d7e3df5f24257cddd939b257f8d"),
            "test": (None, "f0ef6b0ae62326f3e7ffdfab6717acfc"),
            "meta": (None, "7973b15100ade9c7d40fb424638fde48"),
        },
    ),
    "emnist": (
        "EMNIST/raw",
        {file: (len(idx_header(file)) + prod(shape), None) for file, shape in EMNIST.items()},
    ),
}

#: Every set, by its name: what it is.
ABOUT = {
    "digits": "1,797 digits of 8×8 pixels, part of scikit-learn",
    "gaussian": "2,500 points of 64 features around ten means, drawn when loaded",
    "mnist": "70,000 handwritten digits of 28×28 pixels",
    "fashion_mnist": "70,000 pieces of clothing of 28×28 pixels",
    "cifar10": "60,000 colour photographs of 32×32 pixels",
    "cifar100": "60,000 colour photographs of 32×32 pixels, of 100 classes",
    "emnist": "116,323 digits and letters of 28×28 pixels: ByClass' test split, split again 90/10",
    "hasy": "168,233 symbols of 32×32 pixels (HASYv2), where you have put it; split 90/10",
    "tiny_imagenet": "110,000 photographs of 64×64 pixels, of 200 classes, where you have put it",
}
#: Sets that are read where a user has put them, and what they need there.
BY_HAND = {
    "hasy": ("HASYv2", ("hasy-data-labels.csv", "hasy-data")),
    "tiny_imagenet": ("tiny-imagenet-200", ("wnids.txt", "train", "val")),
}
EMBEDDED, COMPLETE, MISSING, PARTIAL, DAMAGED = (
    "embedded",
    "complete",
    "missing",
    "partial",
    "damaged",
)


class DataError(Exception):
    """A set cannot be had; the message names it, its folder, what is wrong and both remedies."""


def root() -> Path:
    """The torchvision root: `INITLAB_DATA`, or `data` in the platform's cache folder."""
    return folders.named("INITLAB_DATA", "data")


def torchvision_remedy() -> str:
    """The command that installs the torchvision made for the torch that is here, and keeps torch.

    Alone, `pip install torchvision` takes the newest one, which brings a torch of its own.
    """
    from importlib.metadata import version  # slow, and not for the help of every command

    return f"pip install torchvision torch=={version('torch').partition('+')[0]}"


def torchvision_class(name: str) -> Any:
    """torchvision's class of a set.

    Raises `DataError` where there is no torchvision, or one made for another torch.
    """
    try:
        import torchvision.datasets as sets
    except (ImportError, OSError, RuntimeError) as error:
        raise DataError(
            f"{name} is read by torchvision, which cannot be imported here ({error}). Install the "
            f"one that was made for your torch, which is left as it is: {torchvision_remedy()}"
        ) from None

    class ByClass(sets.EMNIST):
        def __init__(self, root: str, **options: Any) -> None:
            super().__init__(root, split="byclass", **options)

    ByClass.__name__ = "EMNIST"
    cls = {
        "mnist": sets.MNIST,
        "fashion_mnist": sets.FashionMNIST,
        "cifar10": sets.CIFAR10,
        "cifar100": sets.CIFAR100,
        "emnist": ByClass,
    }[name]
    # Old torchvisions left a `processed` folder, which new ones would read in place of the
    # files that are checked here. The name stays, because it is also the folder's.
    return type(cls.__name__, (cls,), {"_check_legacy_exist": lambda self: False})


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _fault(path: Path, size: int | None, md5: str | None) -> str | None:
    """What is wrong with a file that is there, or None."""
    try:
        found = path.stat().st_size
        if not path.is_file():
            return "is not a file"
        if path.name in IDX or path.name in EMNIST:
            expected = idx_header(path.name)
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
        if md5 is not None and (md5_found := _md5(path)) != md5:
            return f"is corrupt (md5 {md5_found}, not {md5})"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return None


def _faults(name: str, here: Path) -> tuple[list[str], list[str]]:
    """Files of a set that are missing, and sentences about those that are wrong."""
    folder, files = FILES[name]
    missing = [file for file in files if not os.path.lexists(here / folder / file)]
    wrong = []
    for file, (size, md5) in files.items():
        if file not in missing and (fault := _fault(here / folder / file, size, md5)):
            wrong.append(f"{file} {fault}")
    return missing, wrong


@dataclass(frozen=True)
class Found:
    """What is on disk of a set: its state, its folder (None: embedded) and what is wrong."""

    state: str
    folder: Path | None
    faults: tuple[str, ...]


def look(name: str) -> Found:
    """Whether a set is there and whole, by its files' sizes and MD5 sums; changes nothing.

    Of EMNIST no sums are known; of a set of image files only its folders and tables are looked for.

    Raises `ValueError` for an unknown name.

    >>> look("digits").state
    'embedded'
    """
    if name not in ABOUT:
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(ABOUT)}")
    if name in BY_HAND:
        folder, parts = BY_HAND[name]
        lacking = [part for part in parts if not (root() / folder / part).exists()]
        state = MISSING if len(lacking) == len(parts) else PARTIAL if lacking else COMPLETE
        faults = [f"{part} is missing" for part in lacking] if state == PARTIAL else []
        return Found(state, root() / folder, tuple(faults))
    if name not in FILES:
        return Found(EMBEDDED, None, ())
    folder, files = FILES[name]
    missing, wrong = _faults(name, root())
    faults = [*wrong, *(f"{file} is missing" for file in missing)]
    if len(missing) == len(files):
        faults, state = [], MISSING
    else:
        state = DAMAGED if wrong else PARTIAL if missing else COMPLETE
    return Found(state, root() / folder, tuple(faults))


def _packed(name: str, here: Path) -> dict[Path, str | None]:
    """torchvision's archives of a set that are there, each with what is wrong with it."""
    cls = torchvision_class(name)
    if name in ("cifar10", "cifar100"):
        md5s = {here / cls.filename: cls.tgz_md5}
    elif name == "emnist":
        md5s = {here / FILES[name][0] / Path(cls.url).name: cls.md5}
    else:
        md5s = {here / FILES[name][0] / file: md5 for file, md5 in cls.resources}
    return {path: _fault(path, None, md5) for path, md5 in md5s.items() if os.path.lexists(path)}


def unpacked(name: str) -> str:
    """How a set comes that a user puts there, as a sentence."""
    folder, parts = BY_HAND[name]
    return (
        f"It is never downloaded: unpack {folder} there yourself, or point the variable "
        f"INITLAB_DATA to a folder that has it ({folder}/ with {', '.join(parts)})."
    )


def ensure(name: str, here: Path) -> None:
    """Have the right files of a set under `here`, or raise `DataError`."""
    if name in BY_HAND:
        folder, parts = BY_HAND[name]
        lacking = [part for part in parts if not (here / folder / part).exists()]
        if lacking:
            raise DataError(
                f"cannot load {name} from {here / folder}: missing: {', '.join(lacking)}. "
                f"{unpacked(name)}"
            )
        return
    missing, wrong = _faults(name, here)
    if not missing and not wrong:
        return
    asked = missing and not wrong
    if asked:
        torchvision_class(name)  # where it is missing it says so itself
        try:
            return _download(name, here)
        except Exception as error:  # urllib, tarfile, gzip, the file system: all end the same way
            text = " ".join(str(error).split()) or repr(error)
            wrong = [f"{path.name} {fault}" for path, fault in _packed(name, here).items() if fault]
            wrong.append(f"torchvision's download failed ({text})")
    if missing:
        wrong.insert(0, f"missing: {', '.join(missing)}")
    folder, files = FILES[name]
    first = "" if asked else "move the wrong files away and "
    raise DataError(
        f"cannot load {name} from {here / folder}: {'; '.join(wrong)}. "
        f"Either {first}load it again with a net connection, and torchvision downloads it; or put "
        "the files there yourself, or point the environment variable INITLAB_DATA to a "
        f"torchvision root that has them ({folder}/ with {', '.join(files)})."
        f"{_ships(name)}"
    )


def _ships(name: str) -> str:
    """What of a set needs no file, as a sentence; nothing if all of it does."""
    if name not in packaged.SIZES:
        return ""
    train, test = packaged.SIZES[name]
    return (
        f" Or take at most {train:,} training and {test:,} test samples, which ship with the "
        f'package: Data("{name}", train={train}, test={test}).'
    )


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
    relative, files = FILES[name]
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
                torchvision_class(name)(str(there), download=True)
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
