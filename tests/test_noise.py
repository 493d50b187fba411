"""Wrong labels: exactly so many, drawn once, from a seed of their own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from initlab.noise import KINDS, LabelNoise

Y = torch.arange(1000) % 10


@given(rate=st.floats(0, 1), kind=st.sampled_from(KINDS), seed=st.integers(0, 5))
def test_exactly_the_share_is_wrong_and_is_drawn_once(rate, kind, seed):
    noise = LabelNoise(rate, kind, seed)
    noisy = noise(Y, 10)
    assert int((noisy != Y).sum()) == round(rate * 1000)
    assert torch.equal(noisy, noise(Y, 10))
    assert noisy.min() >= 0 and noisy.max() <= 9
    if kind == "pairs":
        assert set(((noisy - Y) % 10).tolist()) <= {0, 1}


def test_more_noise_keeps_the_wrong_labels_of_less():
    less, more = LabelNoise(0.2)(Y, 10), LabelNoise(0.4)(Y, 10)
    assert torch.equal(more[less != Y], less[less != Y])


def test_symmetric_noise_takes_every_other_class_alike():
    y = torch.zeros(20_000, dtype=torch.int64)
    counts = torch.bincount(LabelNoise(1.0)(y, 5), minlength=5)
    assert counts[0] == 0
    assert ((counts[1:] - 5000).abs() < 4 * (5000 * 0.75) ** 0.5).all()


def test_seeds_differ_and_the_labels_are_left_alone(untouched_random_state):
    before = Y.clone()
    assert not torch.equal(LabelNoise(0.3, seed=1)(Y, 10), LabelNoise(0.3, seed=2)(Y, 10))
    assert torch.equal(Y, before)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: LabelNoise(1.5), "rate is a share of the labels in [0, 1], not 1.5"),
        (lambda: LabelNoise(0.1, "odd"), "unknown kind of label noise 'odd'"),
    ],
)
def test_bad_noise_is_refused(make, says):
    with pytest.raises(ValueError) as error:
        make()
    assert says in str(error.value)
