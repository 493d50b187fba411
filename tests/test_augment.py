"""Changes of images, by their definition."""

from __future__ import annotations

import pytest
import torch

from initlab.augment import Augment


def images(count: int = 64) -> torch.Tensor:
    return torch.rand(count, 2, 6, 5, generator=torch.Generator().manual_seed(0)) + 1


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_flips_half_of_the_images(device):
    x = images(400).to(device)
    y = Augment(flip=True)(x, seeded())
    kept, flipped = ((y == z).flatten(1).all(1) for z in (x, x.flip(-1)))
    assert (kept ^ flipped).all()
    assert abs(int(flipped.sum()) - 200) < 4 * 10  # four standard errors


def test_crops_are_shifts_with_zeros_moving_in():
    x = images(200)
    y = Augment(crop=1)(x, seeded())
    seen = set()
    for a, b in zip(x, y, strict=True):
        padded = torch.nn.functional.pad(a, (1, 1, 1, 1))
        shifts = {(i, j): padded[:, i : i + 6, j : j + 5] for i in range(3) for j in range(3)}
        [shift] = [s for s, crop in shifts.items() if torch.equal(crop, b)]
        seen.add(shift)
    assert len(seen) == 9


def test_cutout_blanks_one_square_and_leaves_the_rest():
    x = images(300)
    y = Augment(cutout=2)(x, seeded())
    blank = (y == 0).all(1)
    assert ((y == x) | (y == 0)).all()
    assert (blank.flatten(1).sum(1) <= 4).all() and (blank.flatten(1).sum(1) >= 1).all()
    assert (blank.flatten(1).sum(1) == 4).any()


def test_one_seed_one_result_and_the_input_is_left_alone(untouched_random_state):
    x, augment = images(), Augment(crop=2, flip=True, cutout=3)
    before = x.clone()
    assert torch.equal(augment(x, seeded(1)), augment(x, seeded(1)))
    assert not torch.equal(augment(x, seeded(1)), augment(x, seeded(2)))
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Augment(), "needs crop, flip or cutout; for none give None"),
        (lambda: Augment(crop=-1), "crop is a number of pixels ≥ 0, not -1"),
        (lambda: Augment(cutout=-2), "cutout is a number of pixels ≥ 0, not -2"),
        (lambda: Augment(flip=True)(torch.zeros(3, 4), seeded()), "(B, C, H, W) can be augmented"),
    ],
)
def test_what_cannot_be_done_is_refused(make, says):
    with pytest.raises(ValueError) as error:
        make()
    assert says in str(error.value)
