"""HASYv2 (Thoma 2017): 369 handwritten symbols, read where a user has put them.

The set is never downloaded. Its folder holds `hasy-data/`, a PNG of 32 × 32 pixels per sample, and
`hasy-data-labels.csv`, whose columns `path` and `symbol_id` name each image and its symbol.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from initlab.files import BY_HAND, DataError, ensure

SHAPE = (1, 32, 32)
CLASSES = 369


def read(here: Path) -> tuple[np.ndarray, np.ndarray]:
    """All images, (N, 1, 32, 32) uint8, and classes, (N,), of `HASYv2` in the folder `here`.

    Symbols become 0, 1, … in the order of their ids. All 168,233 images take about a minute.

    Raises `DataError` for a folder, a table or an image that is not as described.
    """
    from PIL import Image, UnidentifiedImageError

    ensure("hasy", here)
    folder = here / BY_HAND["hasy"][0]
    file = folder / "hasy-data-labels.csv"
    try:
        table = pd.read_csv(file, usecols=["path", "symbol_id"])
    except (ValueError, OSError) as error:
        raise DataError(f"cannot read {file}: {error}") from error
    symbols, y = np.unique(table.symbol_id.to_numpy(), return_inverse=True)
    if not 0 < len(symbols) <= CLASSES:
        raise DataError(f"{file} names {len(symbols)} symbols, but HASYv2 has {CLASSES}")
    x = np.empty((len(table), *SHAPE), np.uint8)
    for i, path in enumerate(table.path):
        try:
            with Image.open(folder / path) as image:
                pixels = np.asarray(image.convert("L"))
        except (OSError, UnidentifiedImageError) as error:
            raise DataError(
                f"cannot read {folder / path}, which {file.name} names: {error}"
            ) from error
        if pixels.shape != SHAPE[1:]:
            raise DataError(f"{folder / path} has {pixels.shape} pixels, not {SHAPE[1:]}")
        x[i, 0] = pixels
    return x, y
