"""Nobody in the benchmarks is fast by being wrong, and the times are turned into honest ratios."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.cases import CASES, ORDERS, Training
from benchmarks.harness import compared, interleaved
from benchmarks.ours import Ours
from benchmarks.peers import UnavailableError, peers
from benchmarks.peers.loop import Tensors
from benchmarks.peers.torch_func import Compiled

EVERYONE = [Ours(), *peers()[0]]
TRAININGS = [case for case in CASES.values() if isinstance(case, Training)]


def tiny(case: Training) -> Training:
    """A few steps of a few networks of the same model, at a rate at which steps matter.

    A ResNet-9 gets fewer: rounding moves single activations across the kink of ReLU, and float32
    leaves float64 by more than the tolerance after three steps.
    """
    samples, lr = (32, 0.005) if case.letter == "d" else (64, 0.05)
    return replace(case, networks=3, few=3, samples=samples, batch=16, lr=lr)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("case", TRAININGS, ids=lambda case: case.letter)
@pytest.mark.parametrize("peer", EVERYONE, ids=lambda peer: peer.name)
def test_everyone_trains_the_same_thing(peer, case, order):
    if case.letter not in peer.letters:
        pytest.skip(f"{peer.name} does not take on case {case.letter}")
    if isinstance(peer, Compiled) and case.letter != "a":
        pytest.skip("compiling takes half a minute, and the step is that of torch.func")
    work = replace(tiny(case), order=order)
    try:
        run = peer.prepare(work)
    except UnavailableError as why:
        pytest.skip(str(why))
    expected = Tensors().prepare(work)()
    assert expected.shape == (3,)
    assert torch.allclose(run(), expected, rtol=1e-4, atol=1e-4)
    assert torch.allclose(run(), expected, rtol=1e-4, atol=1e-4), "the second call differs"


@pytest.mark.parametrize(
    "peer", [p for p in EVERYONE if "e" in p.letters], ids=lambda peer: peer.name
)
def test_everyone_measures_the_same_signal(peer):
    """He normal with ReLU: E[M_j] = M_0 = 1/n and E[M_j²] = M_0² (1 + 5/n)^j, exactly."""
    n, R = 50, 4000
    run = peer.prepare(replace(CASES["e"], depth=3, width=n, networks=R, few=R))
    M = run().double() * n
    assert M.shape == (R, 4)
    assert torch.allclose(M[:, 0], torch.ones(R).double(), atol=1e-5)
    for j in (1, 2, 3):
        for values, expected in ((M[:, j], 1.0), (M[:, j].square(), (1 + 5 / n) ** j)):
            error = values.std() / R**0.5
            assert abs(values.mean() - expected) < 5 * error
    assert len(set(M[:, 3].tolist())) > R - 10, "networks are not independent"
    assert not torch.equal(run().double() * n, M), "nothing is drawn at the second call"


@pytest.mark.parametrize("case", TRAININGS, ids=lambda case: case.letter)
def test_the_comparison_sees_a_wrong_order_and_a_wrong_rate(case):
    """Else agreement of the losses would say nothing."""
    work = tiny(case)
    shared = Tensors().prepare(work)()
    own = Tensors().prepare(replace(work, order="own"))()
    other = Tensors().prepare(replace(work, lr=0.8 * work.lr))()
    assert not torch.allclose(own[1:], shared[1:], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(other, shared, rtol=1e-3, atol=1e-3)


class Clock:
    """Time that passes only while someone works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rates_of_work_with_known_times():
    clock, turns = Clock(), []

    def work(name: str, count: int, seconds: list[float]):
        remaining = iter(seconds)

        def run() -> int:
            turns.append(name)
            clock.now += next(remaining)
            return count

        return run

    rates = interleaved(
        {
            "ours": work("ours", 8, [100.0, 1.0, 2.0, 4.0]),
            "theirs": work("theirs", 4, [50.0, 2.0, 8.0, 2.0]),
        },
        rounds=3,
        clock=clock,
    )
    assert turns == ["ours", "theirs"] * 4
    assert rates == {"ours": [8.0, 4.0, 2.0], "theirs": [2.0, 0.5, 2.0]}
    assert compared(rates["ours"], rates["theirs"]) == {
        "ours": 4.0,
        "theirs": 2.0,
        "ratio": 4.0,  # the median of 4, 8 and 1, not the ratio of the medians
        "spread": [1.0, 8.0],
        "rounds": 3,
    }
