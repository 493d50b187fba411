"""Samples of real sets that ship with the package: whole, legal to ship, and those of the sets."""

from __future__ import annotations

import hashlib
from importlib.resources import files

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from initlab import data, packaged
from initlab.data import CLASSES, Data, DataError, load

FOLDER = files("initlab.packaged")


@pytest.mark.parametrize("name", packaged.SIZES)
def test_files_are_those_that_were_made(name):
    content = FOLDER.joinpath(f"{name}.npz").read_bytes()
    assert hashlib.sha256(content).hexdigest() == packaged.SHA256[name]
    assert f"{name}.npz" in FOLDER.joinpath("LICENSES.txt").read_text()


@pytest.mark.parametrize("name", packaged.SIZES)
def test_parts_have_their_sizes_and_nearly_all_classes(name):
    for (x, y), n in zip(packaged.read(name), packaged.SIZES[name], strict=True):
        assert x.shape == (n, 1, 28, 28) and x.dtype == np.uint8
        assert y.shape == (n,) and len(np.unique(y)) > 0.95 * CLASSES[name]
        assert x.max() == 255 and x.min() == 0


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No data set on this machine, and none to be had."""
    monkeypatch.setenv("INITLAB_DATA", str(tmp_path))
    monkeypatch.setattr(data, "ensure", lambda name, root: pytest.fail(f"{name} was asked for"))
    data._load.cache_clear()


@pytest.mark.parametrize("name", packaged.SIZES)
def test_subsets_load_without_a_file(name, nowhere):
    most, tests = packaged.SIZES[name]
    loaded = load(Data(name, train=most, test=tests))
    assert len(loaded.train.y) == most and len(loaded.test.y) == tests
    small = load(Data(name, train=100, test=50, val=most - 100))
    assert torch.equal(small.train.x, loaded.train.x[:100])
    assert torch.equal(small.test.y, loaded.test.y[:50])
    assert small.val is not None
    assert torch.equal(small.val.x, loaded.train.x[100:])
    tuned = load(Data(name, train=100, val=50, test=0))
    assert tuned.val is not None and torch.equal(tuned.val.x, loaded.train.x[100:150])


@given(
    name=st.sampled_from([*packaged.SIZES, "cifar10"]),
    train=st.none() | st.integers(1, 9_000),
    test=st.none() | st.integers(0, 2_500),
    val=st.integers(0, 4_000),
    classes=st.sampled_from([None, (0, 1)]),
)
def test_a_subset_ships_if_all_its_samples_do(name, train, test, val, classes):
    try:
        subset = Data(name, train=train, test=test, val=val, classes=classes)
    except ValueError:
        return
    last = (train or 10**9) + val
    tests = 10**9 if test is None else test
    most = packaged.SIZES.get(name, (0, 0))
    assert subset.packaged == (last <= most[0] and tests <= most[1] and classes is None)


def test_what_does_not_ship_says_what_does(monkeypatch, tmp_path):
    monkeypatch.setenv("INITLAB_DATA", str(tmp_path))
    monkeypatch.setattr("initlab.files._download", lambda *_: 1 / 0)
    data._load.cache_clear()
    with pytest.raises(DataError, match=r"Or take at most 4,096 training and 1,000 test samples"):
        load(Data("mnist", train=5_000, test=10))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.data(n)) for n in packaged.SIZES]
)
def test_they_are_the_samples_of_the_set(name):
    train, test = data._splits(Data(name))
    n, tests = packaged.SIZES[name]
    parts = data._first(train, n, 0), data._first(test, tests, 1)
    for (x, y), (x_part, y_part) in zip(parts, packaged.read(name), strict=True):
        assert np.array_equal(x, x_part) and np.array_equal(y, y_part)
    assert hashlib.sha256(packaged.packed(*parts)).hexdigest() == packaged.SHA256[name]
