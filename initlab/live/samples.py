"""The data of the live sections: small files of bytes, the same for a page and for a kernel.

A file holds the images of training and test samples, a byte per pixel and row by row, then their
labels, a byte each, then for label noise of each training sample a wrong label, a byte, and its
rank, two bytes with the lower one first: at a share s of noise the round(s · N) samples with the
lowest ranks have their wrong label. All of it is compressed by gzip.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from initlab.data import Data, load
from initlab.noise import LabelNoise

CLASSES = 10
#: The sets, and the largest byte of a pixel in each. Eight shades of grey suffice for 14 × 14
#: pixels of clothes, and make the file 93 KB where 256 shades would make it 263.
SETS = {
    "digits": (Data("digits", scaling="raw"), 16),
    "fashion": (Data("fashion_mnist", scaling="raw", train=1600, test=400, side=14), 7),
}


@dataclass(frozen=True, eq=False)
class Samples:
    """A set as it lies in its file: images (N, i), labels (N,), wrong labels and ranks (train,)."""

    images: np.ndarray
    labels: np.ndarray
    wrong: np.ndarray
    rank: np.ndarray

    @property
    def train(self) -> int:
        """Number of training samples, which come first."""
        return len(self.rank)

    @property
    def test(self) -> int:
        """Number of test samples."""
        return len(self.labels) - self.train

    def scaling(self) -> tuple[float, float]:
        """Mean and standard deviation of the bytes of all training images."""
        x = self.images[: self.train].astype(np.float64)
        return float(x.mean()), float(x.std())

    def inputs(self) -> Tensor:
        """All images with mean 0 and standard deviation 1, (N, i)."""
        mean, std = self.scaling()
        # In float64 and then rounded, as a browser does it.
        return torch.from_numpy((self.images - mean) / std).float()

    def targets(self, noise: float = 0.0) -> Tensor:
        """One-hot labels (N, 10) with that share of wrong ones among the training samples."""
        y = self.labels.copy()
        wrong = self.rank < round(noise * self.train)
        y[: self.train][wrong] = self.wrong[wrong]
        return torch.eye(CLASSES)[torch.from_numpy(y.astype(np.int64))]

    def packed(self) -> bytes:
        """The content of a file; the same samples give the same bytes."""
        parts = (self.images, self.labels, self.wrong, self.rank.astype("<u2"))
        return gzip.compress(b"".join(a.tobytes() for a in parts), 9, mtime=0)

    @classmethod
    def unpacked(cls, content: bytes, inputs: int, train: int) -> Samples:
        """Read back what `packed` made."""
        raw = np.frombuffer(gzip.decompress(content), np.uint8)
        rows = (len(raw) - 3 * train) // (inputs + 1)
        sizes = [rows * inputs, rows, train]
        images, labels, wrong, rank = np.split(raw, np.cumsum(sizes))
        return cls(images.reshape(rows, inputs), labels, wrong, rank.view("<u2"))


@lru_cache
def samples(name: str) -> Samples:
    """The set of that name, from samples that ship with the package.

    Raises `ValueError` naming the known ones.

    >>> samples("digits").images.shape, samples("fashion").train
    ((1797, 64), 1600)
    """
    if name not in SETS:
        raise ValueError(f"unknown data {name!r}; known: {', '.join(SETS)}")
    data, largest = SETS[name]
    loaded = load(data)
    parts = (loaded.train, loaded.test)
    images = torch.cat([part.x.flatten(1) for part in parts]).double() * (largest / 255)
    labels = torch.cat([part.y for part in parts])
    order, shift = LabelNoise(1.0).drawn(len(loaded.train.y), CLASSES)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    wrong = loaded.train.y.clone()
    wrong[order] = (wrong[order] + shift) % CLASSES
    pixels, right, other = (t.round().numpy().astype(np.uint8) for t in (images, labels, wrong))
    return Samples(pixels, right, other, rank.numpy().astype("<u2"))
