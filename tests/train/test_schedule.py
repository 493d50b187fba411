"""Factors of the rate, beside torch's own schedulers."""

from __future__ import annotations

import pytest
import torch
from torch.optim import lr_scheduler

from initlab.train import ConstantRate, Cosine, StepDecay

STEPS = 40


def by_torch(make) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    scheduler, factors = make(optimizer), []
    for _ in range(STEPS):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return factors


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (ConstantRate(), lambda o: lr_scheduler.ConstantLR(o, 1.0)),
        (StepDecay((0.5, 0.75)), lambda o: lr_scheduler.MultiStepLR(o, [20, 30])),
        (Cosine(), lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS)),
        (Cosine(floor=0.1), lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS, 0.1)),
        (Cosine(cycles=4), lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 10)),
    ],
)
def test_factors_are_those_of_torch(ours, theirs):
    found = [ours.factor(step, STEPS, 10) for step in range(STEPS)]
    assert found == pytest.approx(by_torch(theirs), abs=1e-12)


def test_warm_up_reaches_the_rate_and_the_cosine_goes_on_from_there():
    found = [Cosine(warmup=2).factor(step, STEPS, 5) for step in range(STEPS)]
    assert found[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert found[10:] == pytest.approx([Cosine().factor(i, 30, 5) for i in range(30)])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: StepDecay(at=(1.5,)), "shares of the training between 0 and 1, not (1.5,)"),
        (lambda: StepDecay(at=()), "shares of the training between 0 and 1, not ()"),
        (lambda: StepDecay(gamma=0), "gamma must be > 0, not 0"),
        (lambda: Cosine(cycles=0), "cycles must be ≥ 1, not 0"),
        (lambda: Cosine(warmup=-1), "warmup is a number of epochs ≥ 0, not -1"),
        (lambda: Cosine(floor=2), "floor is a share of the rate in [0, 1], not 2"),
    ],
)
def test_bad_schedules_are_refused(make, says):
    with pytest.raises(ValueError) as error:
        make()
    assert says in str(error.value)
