"""The files of data: the package's own samples, and wrong labels like the package's."""

from __future__ import annotations

import gzip
import hashlib

import numpy as np
import pytest
import torch

from initlab.data import Data, load
from initlab.live.samples import CLASSES, SETS, Samples, samples
from initlab.noise import LabelNoise


def test_digits_are_scaled_as_the_package_scales_them():
    found, expected = samples("digits"), load(Data("digits", scaling="standard"))
    x = found.inputs()
    torch.testing.assert_close(x[: found.train], expected.train.x.flatten(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(x[found.train :], expected.test.x.flatten(1), rtol=1e-5, atol=1e-6)
    assert found.targets().argmax(1).tolist() == [*expected.train.y, *expected.test.y]
    assert (found.train, found.test) == (1437, 360)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.25, 0.4, 1.0])
def test_wrong_labels_are_those_of_label_noise(name, rate):
    found = samples(name)
    right = found.targets().argmax(1)
    noisy = found.targets(rate).argmax(1)
    expected = LabelNoise(rate)(right[: found.train], CLASSES)
    assert torch.equal(noisy[: found.train], expected)
    assert torch.equal(noisy[found.train :], right[found.train :])


@pytest.mark.parametrize("name", SETS)
def test_a_file_holds_what_was_packed(name):
    found = samples(name)
    packed = found.packed()
    back = Samples.unpacked(packed, found.images.shape[1], found.train)
    for field in ("images", "labels", "wrong", "rank"):
        np.testing.assert_array_equal(getattr(back, field), getattr(found, field))
    assert packed == found.packed(), "the same samples give the same bytes"
    raw, rows = gzip.decompress(packed), found.train + found.test
    size = rows * found.images.shape[1] + rows + 3 * found.train
    assert len(raw) == size and len(packed) < 95_000
    # The last rank, with its lower byte first.
    assert raw[-2] + 256 * raw[-1] == found.rank[-1]


def test_a_page_trains_on_the_same_clothes_as_before():
    raw = gzip.decompress(samples("fashion").packed())
    assert hashlib.sha256(raw).hexdigest() == (
        "692d216ffbf6b59a7f71c2ffb61637b220ea3ea10e1448fc20ff58a4427c62f8"
    )


def test_an_unknown_set_is_refused():
    with pytest.raises(ValueError, match="unknown data 'mnist'; known: digits, fashion"):
        samples("mnist")
