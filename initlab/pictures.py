"""Sets that are folders of image files, read where a user has put them and never downloaded.

`HASYv2` (Thoma 2017), 369 handwritten symbols: `hasy-data/`, a PNG of 32 × 32 pixels per sample,
and `hasy-data-labels.csv`, whose columns `path` and `symbol_id` name each image and its symbol.

`tiny-imagenet-200` (Stanford CS231n), 200 classes of photographs of 64 × 64 pixels: `wnids.txt`
names the classes, `train/<class>/images/` holds 500 of each, and `val/images/` 10,000, whose
classes `val/val_annotations.txt` says. Its own test set has no labels and is not used.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from initlab.files import BY_HAND, DataError, ensure

SHAPES = {"hasy": (1, 32, 32), "tiny_imagenet": (3, 64, 64)}
CLASSES = {"hasy": 369, "tiny_imagenet": 200}


def read_hasy(here: Path) -> tuple[np.ndarray, np.ndarray]:
    """All images, (N, 1, 32, 32) uint8, and classes, (N,), of `HASYv2` in the folder `here`.

    Symbols become 0, 1, … in the order of their ids. All 168,233 images take about a minute.

    Raises `DataError` for a folder, a table or an image that is not as described.
    """
    ensure("hasy", here)
    folder = here / BY_HAND["hasy"][0]
    file = folder / "hasy-data-labels.csv"
    table = _table(file, usecols=["path", "symbol_id"])
    symbols, y = np.unique(table.symbol_id.to_numpy(), return_inverse=True)
    if not 0 < len(symbols) <= CLASSES["hasy"]:
        raise DataError(
            f"{file} names {len(symbols)} symbols, but HASYv2 has {CLASSES['hasy']}; "
            "unpack it again"
        )
    return _images("hasy", [folder / path for path in table.path]), y


def read_tiny_imagenet(here: Path, *, train: bool) -> tuple[np.ndarray, np.ndarray]:
    """Images, (N, 3, 64, 64) uint8, and classes, (N,), of `tiny-imagenet-200` in `here`.

    Classes become 0, 1, … in the alphabet's order of their names; grey images are given three
    equal channels. All 110,000 images take some minutes.

    Raises `DataError` for a folder, a table or an image that is not as described.
    """
    ensure("tiny_imagenet", here)
    folder = here / BY_HAND["tiny_imagenet"][0]
    names = sorted((folder / "wnids.txt").read_text().split())
    if not 0 < len(names) <= CLASSES["tiny_imagenet"]:
        raise DataError(
            f"{folder / 'wnids.txt'} names {len(names)} classes, but Tiny ImageNet has "
            f"{CLASSES['tiny_imagenet']}; unpack it again"
        )
    if train:
        paths = [p for name in names for p in sorted((folder / "train" / name).glob("images/*"))]
        of = [path.parent.parent.name for path in paths]
    else:
        file = folder / "val" / "val_annotations.txt"
        table = _table(file, sep="\t", header=None, usecols=[0, 1])
        paths, of = [folder / "val/images" / str(name) for name in table[0]], list(table[1])
    unknown = sorted(set(map(str, of)) - set(names))
    lacking = sorted(set(names) - set(map(str, of)))
    if unknown or lacking:
        wrong = (
            f"has class {unknown[0]}, which wnids.txt does not name"
            if unknown
            else (f"has no image of class {lacking[0]}, which wnids.txt names")
        )
        raise DataError(f"{folder / ('train' if train else 'val')} {wrong}; unpack it again")
    number = {name: i for i, name in enumerate(names)}
    return _images("tiny_imagenet", paths), np.array([number[str(name)] for name in of])


def _table(file: Path, **options) -> pd.DataFrame:
    try:
        return pd.read_csv(file, **options)
    except (ValueError, OSError) as error:
        raise DataError(f"cannot read {file}: {error}") from error


def _images(name: str, paths: list[Path]) -> np.ndarray:
    """The pixels of some files, (N, C, H, W) uint8."""
    from PIL import Image, UnidentifiedImageError

    channels, *pixels = SHAPES[name]
    mode = "L" if channels == 1 else "RGB"
    x = np.empty((len(paths), *SHAPES[name]), np.uint8)
    for i, path in enumerate(paths):
        try:
            with Image.open(path) as image:
                found = np.asarray(image.convert(mode))
        except (OSError, UnidentifiedImageError) as error:
            raise DataError(f"cannot read {path}, an image of {name}: {error}") from error
        if found.shape[:2] != tuple(pixels):
            raise DataError(f"{path} has {found.shape[:2]} pixels, not {tuple(pixels)}")
        x[i] = found if channels == 1 else found.transpose(2, 0, 1)
    return x
