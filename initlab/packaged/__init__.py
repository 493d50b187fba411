"""Small parts of real data sets that ship with the package, so that they need no download.

A part holds the first samples of the fixed permutation that `initlab.data.Data` draws its subsets
from. So `Data("mnist", train=1000, test=500)` is the same samples, whether they are read here or
from the whole set.

=============  ============  =====  ============================================================
set            train         test   licence and source
=============  ============  =====  ============================================================
mnist          4,096         1,000  CC BY-SA 3.0; Y. LeCun, C. Cortes and C. J. C. Burges, *The
                                    MNIST database of handwritten digits*, 1998, made from
                                    NIST's Special Databases 1 and 3
fashion_mnist  4,096         1,000  MIT; Zalando SE, 2017; H. Xiao, K. Rasul and R. Vollgraf,
                                    arXiv:1708.07747
emnist         8,000         2,000  public domain; NIST's Special Database 19; G. Cohen, S.
                                    Afshar, J. Tapson and A. van Schaik, arXiv:1702.05373
=============  ============  =====  ============================================================

The samples are unchanged: 28×28 pixels, a byte each. `SHA256` holds the checksums of the files.
LICENSES.txt beside them has the licences.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # the command line asks for `SIZES` alone, at once
    import numpy as np

Arrays: TypeAlias = "tuple[np.ndarray, np.ndarray]"

#: Training and test samples of each part.
SIZES = {"mnist": (4_096, 1_000), "fashion_mnist": (4_096, 1_000), "emnist": (8_000, 2_000)}
#: SHA-256 of each set's file, NAME.npz beside this one.
SHA256 = {
    "mnist": "a977813d46a8830a21589a7dc03ea58d70b5f38efb4e6447c965dbb8ae7e5df1",
    "fashion_mnist": "80d10c0f55fcc3c15e4686f253467cd2235ac4b9c6644ac08562c9a6033f1fc0",
    "emnist": "e6bee32c375eb6725ce3f8484a9ef5a96417d1ad55157bcdbc7f4cb547692512",
}


def holds(name: str, train: int | None, test: int | None) -> bool:
    """Whether the part of a set that ships with the package has so many samples of each kind.

    Args:
        name: of a data set, any.
        train: number of training samples, counting those that are held back; None for all.
        test: number of test samples; None for all.

    >>> holds("mnist", 1000, 500), holds("mnist", None, 500), holds("cifar10", 1, 1)
    (True, False, False)
    """
    if name not in SIZES or train is None or test is None:
        return False
    return train <= SIZES[name][0] and test <= SIZES[name][1]


@lru_cache(maxsize=len(SIZES))
def read(name: str) -> tuple[Arrays, Arrays]:
    """Training and test samples of a part, in the order of the permutation.

    Args:
        name: one of `SIZES`.

    Returns:
        For each kind pixels, (N, 1, 28, 28) uint8, and classes, (N,) int64. They are shared: do
        not change them.
    """
    import numpy as np

    content = files("initlab.packaged").joinpath(f"{name}.npz").read_bytes()
    with np.load(BytesIO(content)) as part:
        train, test = (
            (part[f"{kind}_x"][:, None], part[f"{kind}_y"].astype(np.int64))
            for kind in ("train", "test")
        )
    return train, test


def packed(train: Arrays, test: Arrays) -> bytes:
    """The content of a file, made from what `read` returns; the same samples, the same bytes."""
    import numpy as np

    (x, y), (x_test, y_test) = train, test
    pixels, pixels_test = (a.squeeze(1).astype(np.uint8) for a in (x, x_test))
    classes, classes_test = (a.astype(np.uint8) for a in (y, y_test))
    file = BytesIO()
    np.savez_compressed(
        file, train_x=pixels, train_y=classes, test_x=pixels_test, test_y=classes_test
    )
    return file.getvalue()
