"""Networks that users bring: everyone who is measured on them trains the same thing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks.cases import ORDERS
from benchmarks.ours import OnProcesses, Ours
from benchmarks.own import OWN, OwnTraining
from benchmarks.peers import UnavailableError, peers
from benchmarks.peers.own_loop import OwnLoop
from initlab.train import choose

EVERYONE = [Ours(), *(p for p in peers()[0] if set(p.letters) & set(OWN) and p.name != "own loop")]
#: The large ones take long, case (g) is (f) in another size, and (n) is random.
SMALL = "fhklm"


@pytest.fixture(autouse=True)
def _forms(monkeypatch, tmp_path):
    monkeypatch.setattr(choose, "_folder", lambda: tmp_path)
    monkeypatch.setattr(choose, "_FOUND", {})


def tiny(letter: str, order: str = "own") -> OwnTraining:
    """Few steps, at a rate at which steps matter."""
    sizes = {"networks": 3, "few": 3, "samples": 32, "batch": 8, "passes": 2}
    return replace(OWN[letter], **sizes, lr=0.1 if letter == "k" else 0.01, order=order)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "peer, letter",
    [(peer, letter) for peer in EVERYONE for letter in SMALL if letter in peer.letters],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_everyone_trains_the_same_thing(peer, letter, order):
    if peer.name == "JAX" and order == "shared":
        pytest.skip("JAX takes seconds to compile each, and its orders differ by an index alone")
    case = tiny(letter, order)
    try:
        run = peer.prepare(case)
    except UnavailableError as why:
        assert letter == "k", why  # torch.func knows no LSTM
        pytest.skip(str(why))
    expected = OwnLoop().prepare(case)()
    assert expected.shape == (3,)
    assert torch.allclose(run(), expected, rtol=1e-4, atol=1e-5)
    assert torch.allclose(run(), expected, rtol=1e-4, atol=1e-5), "the second call differs"


@pytest.mark.parametrize("letter", SMALL)
def test_the_comparison_sees_a_wrong_order_and_a_wrong_momentum(letter):
    case = tiny(letter)
    right = OwnLoop().prepare(case)()
    for wrong in (replace(case, order="shared"), replace(case, momentum=0.5)):
        assert not torch.allclose(OwnLoop().prepare(wrong)()[1:], right[1:], rtol=1e-4, atol=1e-5)


def test_run_trains_as_many_and_its_passes_count():
    case = tiny("f")
    work = command.work(OnProcesses(), case)
    assert work() == 3 * 32 * case.passes
    assert command.work(Ours(), case)() == 3 * 32
    assert OnProcesses().prepare(case)().isfinite().all()


def test_they_are_cases_of_the_command_on_the_processor_alone():
    assert set(OWN) <= set(command.parsed([]).letters)
    for case in OWN.values():
        assert [c.order for c in command.orders(case)] == ["own"]
