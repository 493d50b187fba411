"""Nobody in the benchmarks is fast by being wrong, and the times are turned into honest ratios."""

from __future__ import annotations

import doctest
import json
import re
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import diagnosis, harness, memory, peak
from benchmarks.cases import CASES, ORDERS, Training
from benchmarks.growth import growth
from benchmarks.harness import compared, interleaved
from benchmarks.ours import Ours
from benchmarks.parts import PRODUCTS, REST, STEP, parts
from benchmarks.peers import UnavailableError, peers
from benchmarks.peers.loop import Tensors
from benchmarks.peers.torch_func import Compiled
from initlab.models import MLP
from initlab.train import native

EVERYONE = [Ours(), *peers()[0]]
TRAININGS = [case for case in CASES.values() if isinstance(case, Training)]


def tiny(case: Training) -> Training:
    """A few steps of a few networks of the same model, at a rate at which steps matter.

    A ResNet-9 gets fewer: rounding moves single activations across the kink of ReLU, and float32
    leaves float64 by more than the tolerance after three steps.
    """
    samples, lr = (32, 0.005) if case.letter == "d" else (64, 0.05)
    return replace(case, networks=3, few=3, samples=samples, batch=16, lr=lr)


def label(value) -> str:
    """Of a peer or a case, for the name of a test."""
    return value.letter if isinstance(value, Training) else value.name


#: Who trains what. Cases (b) and (c) are (a) in other sizes; compiling takes half a minute, and
#: what is compiled is torch.func's step.
PAIRS = [
    (peer, case)
    for peer in EVERYONE
    for case in TRAININGS
    if case.letter in ("a" if isinstance(peer, Compiled) else set(peer.letters) & set("ad"))
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("peer, case", PAIRS, ids=label)
def test_everyone_trains_the_same_thing(peer, case, order):
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


@pytest.mark.parametrize("module", [harness, peak])
def test_examples_in_docstrings(module):
    results = doctest.testmod(module)
    assert results.attempted > 0 and results.failed == 0


def test_share_of_the_peak():
    model = MLP((3,), inputs=4, outputs=2)  # 84 operations per sample
    assert peak.share(model, [1e9, 2e9, 2e9], [84e9, 84e9, 336e9]) == {
        "gflops": 84.0,
        "share": 1.0,
        "spread": [0.5, 2.0],
    }


@pytest.fixture
def only_the_loop(monkeypatch):
    """One peer, which is quick to prepare."""
    monkeypatch.setattr(command, "peers", lambda: ([Tensors()], ["JAX is left out"]))


def test_a_quick_run_of_one_case(only_the_loop, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(peak, "FLOP", 3e9)
    out = tmp_path / "out.json"
    command.main(["--quick", "--only", "a", "--rounds", "2", "--output", str(out)])
    result = json.loads(out.read_text())
    shared = [row for row in result["rows"] if row["order"] == "shared"]
    assert [row["peer"] for row in shared] == ["PyTorch loop, tensors"]
    assert shared[0]["rounds"] == 2 and shared[0]["ours"] > 0 and shared[0]["theirs"] > 0
    assert shared[0]["spread"][0] <= shared[0]["ratio"] <= shared[0]["spread"][1]
    assert {row["library"] for row in result["peak"]} >= {"MKL"}
    assert result["about"]["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert "growth" not in result
    assert "JAX is left out" in capsys.readouterr().out


def test_a_slow_peer_gets_fewer_networks_and_says_so(only_the_loop):
    case = replace(CASES["a"], samples=128, networks=6, few=2)
    assert command.work(Tensors(), case)() == 2 * 128
    assert command.work(Ours(), case)() == 6 * 128
    rows, _ = command.measured(replace(case, letter="c"), [Tensors()], rounds=1)
    assert [row["scaled"] for row in rows] == [True]
    rows, _ = command.measured(replace(case, letter="c", few=6), [Tensors()], rounds=1)
    assert [row["scaled"] for row in rows] == [False]


@pytest.mark.parametrize(
    "options, said",
    [
        (["--only", "a,z"], r"no case z; known: a, b, c, d, e"),
        (["--rounds", "0"], r"≥ 1, not 0"),
        (["--device", "tpu"], r"invalid choice: 'tpu'"),
        pytest.param(
            ["--device", "cuda"],
            r"this machine has no cuda; it has cpu",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has one"),
        ),
    ],
)
def test_options_that_make_no_sense(options, said, capsys):
    with pytest.raises(SystemExit):
        command.main(options)
    assert re.search(said, capsys.readouterr().err)


def test_only_a_whole_run_replaces_the_published_figures():
    assert command.parsed([]).output == command.TARGETS["cpu"]
    assert command.parsed(["--only", "a"]).output is None
    assert command.parsed(["--quick"]).output is None


def test_a_peer_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("benchmarks.peers.PEERS", (("loop", "Tensors", None), ("gone", "It", "x")))

    def importing(name: str):
        if name.endswith("gone"):
            raise ModuleNotFoundError("No module named 'x'", name="x")
        return import_module(name)

    monkeypatch.setattr("benchmarks.peers.import_module", importing)
    found, missing = peers()
    assert [peer.name for peer in found] == ["PyTorch loop, tensors"]
    assert missing == ["It is left out: x is not installed"]


@pytest.mark.parametrize("letter", CASES)
def test_a_gpu_is_given_the_same_networks_and_more_samples(letter):
    here, there = CASES[letter].on("cpu"), CASES[letter].on("cuda")
    assert here == CASES[letter] and there.device == "cuda"
    assert there.networks == here.networks and there.few < here.few
    assert there.samples > here.samples or letter == "e"


def test_growth_is_per_network():
    rows = growth(rounds=1, networks=(1, 4))
    assert [row["networks"] for row in rows] == [1, 4]
    assert all(row["spread"][0] <= row["seconds_per_network"] for row in rows)


def test_a_diagnosis_is_measured_in_steps(monkeypatch):
    monkeypatch.setattr(diagnosis, "NETWORKS", {"mlp": diagnosis.mlp})
    [row] = diagnosis.diagnosis(rounds=3)
    assert row["rounds"] == 3 and row["step"] > 0
    assert row["spread"][0] <= row["steps"] <= row["spread"][1]


@pytest.mark.skipif(not native.available(), reason="no C compiler on this machine")
@pytest.mark.parametrize("order", ORDERS)
def test_every_part_of_a_step_is_found(order):
    threads = torch.get_num_threads()
    case = replace(CASES["a"], samples=512, order=order)
    row = parts(case, rounds=3)
    assert row["networks"] == 32 and row["order"] == order
    assert set(row["milliseconds"]) == {PRODUCTS, STEP, REST}
    spent = row["milliseconds"]
    assert spent[PRODUCTS] > 0 and spent[STEP] > 0
    assert abs(spent[REST]) < float("inf")  # a difference of times: below zero if noise is larger
    assert torch.get_num_threads() == threads


def test_peak_memory_sees_what_was_held_and_let_go():
    before = memory.peak()
    torch.ones(before // 4 + 2**26)
    assert memory.peak() > before + 2**26


def test_without_a_cluster_there_is_no_row(monkeypatch, capsys):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert command.cluster() is None
    assert "there is no benchmarks.cluster" in capsys.readouterr().out


def test_the_cluster_row_is_what_its_script_prints_last(monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: name)
    printed = SimpleNamespace(stdout='starting\n{"workers": 2}\n')
    monkeypatch.setattr(command.subprocess, "run", lambda *a, **k: printed)
    assert command.cluster() == {"workers": 2}
