"""A kernel answers the front end's messages, and says in a sentence what it cannot do."""

from __future__ import annotations

import json

import pytest
import torch

from initlab.live import network
from initlab.live.answers import Kernel
from initlab.live.sections import sections, settings

NETWORK = {"rule": "he_normal", "scale": 1, "seed": 3, "lr": 0.05, "weight_decay": 0, "noise": 0}
CONFIG = {
    "data": "digits", "depth": 3, "width": 16, "activation": "relu", "norm": False,
    "optimizer": "sgd", "momentum": 0.9, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "batch": 64,
    "networks": [NETWORK, {**NETWORK, "rule": "orthogonal", "scale": 2.0, "noise": 0.4}],
}  # fmt: skip
EDGES = [-1.0, 0.0, 1.0, 2.0]


def asked(kernel, command, **more):
    answer = json.loads(json.dumps(kernel({"id": 7, "client": 1, "command": command, **more})))
    assert answer["id"] == 7
    assert "error" not in answer, answer
    return answer["result"]


@pytest.fixture
def kernel():
    kernel = Kernel()
    asked(kernel, "start", config=CONFIG)
    return kernel


def test_a_start_tells_what_there_is(kernel):
    told = asked(kernel, "start", config=CONFIG)
    assert (told["networks"], told["depth"], told["steps_per_epoch"]) == (2, 3, 1437 // 64)
    assert len(told["act_rms"]) == 3 * 2 and len(told["grad_rms"]) == 4 * 2
    assert torch.__version__.split("+")[0] in told["label"]
    group = kernel.group
    again = Kernel()
    asked(again, "start", config=CONFIG)
    for mine, other in zip(group.params, again.group.params, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=0)


@pytest.mark.parametrize("optimizer, lr", [("sgd", 0.05), ("adam", 0.01), ("adamw", 0.01)])
@pytest.mark.parametrize("norm", [False, True])
def test_steps_train(optimizer, lr, norm):
    kernel = Kernel()
    networks = [{**NETWORK, "lr": lr}] * 2
    asked(kernel, "start", config={**CONFIG, "networks": networks} | {
        "optimizer": optimizer, "norm": norm})  # fmt: skip
    before = asked(kernel, "evaluate", edges=EDGES)
    told = asked(kernel, "steps", count=60)
    after = asked(kernel, "evaluate", edges=EDGES)
    assert told["done"] == told["step"] == 60
    assert len(told["loss"]) == len(told["accuracy"]) == 60 * 2
    assert max(after["loss"]) < 0.7 * min(before["loss"])
    assert min(after["accuracy"]) > 0.7
    assert told["loss"][0] == told["loss"][1], "the same network twice"
    assert asked(kernel, "steps", count=1)["step"] == 61


def test_time_ends_a_slice(kernel):
    told = asked(kernel, "steps", count=100_000, milliseconds=1)
    assert 1 <= told["done"] < 1000


def test_an_evaluation_has_the_shape_that_is_described(kernel):
    told = asked(kernel, "evaluate", edges=EDGES, split="train")
    assert [len(told[k]) for k in ("loss", "accuracy", "histogram", "act_rms")] == [2, 2, 18, 6]
    # ReLU: nothing below zero, so that the first of three bins is empty in each layer.
    assert told["histogram"][0::3] == [0.0] * 6


def test_mixing_starts_the_chosen_networks_anew():
    kernel = Kernel()
    asked(kernel, "start", config={**CONFIG, "optimizer": "adam"})
    asked(kernel, "steps", count=5)
    before = [t.clone() for t in kernel.group.params]
    told = asked(kernel, "mix", keep=0.5, mix=0.25, seed=1000, networks=[1])
    assert told == {"step": 5}
    group = kernel.group
    fresh = group.drawn(1000)
    torch.testing.assert_close(group.params[2][:, 0], before[2][:, 0], rtol=0, atol=0)
    torch.testing.assert_close(group.params[2][:, 1], 0.5 * before[2][:, 1] + 0.25 * fresh[2][:, 1])
    assert (
        float(group.state[0][2][:, 1].abs().max()) == 0 < float(group.state[0][2][:, 0].abs().max())
    )
    assert group.t.tolist() == [5, 0]
    assert asked(kernel, "mix", keep=0, mix=1, seed=0)["step"] == 5
    for now, first in zip(group.params, group.first, strict=True):
        torch.testing.assert_close(now, first, rtol=0, atol=0)


def test_displacement_is_from_the_first_weights(kernel):
    still = asked(kernel, "displacement", layer=1, points=10)
    assert still["delta_rms"] == [0.0] * 8 and still["delta"] == [0.0] * 20
    asked(kernel, "steps", count=3)
    told = asked(kernel, "displacement", layer=2, points=10_000)
    assert min(told["delta_rms"]) > 0
    assert len(told["first"]) == len(told["delta"]) == 2 * 16 * 16
    first = kernel.group.first[2][1, 0].flatten()
    torch.testing.assert_close(torch.tensor(told["first"][:256]), first)
    some = asked(kernel, "displacement", layer=2, points=7)["first"][:7]
    assert some == [told["first"][j * 256 // 7] for j in range(7)]


def test_what_is_not_finite_travels_as_null():
    kernel = Kernel()
    wild = [{**NETWORK, "lr": 1e30}]
    asked(kernel, "start", config={**CONFIG, "networks": wild})
    assert asked(kernel, "steps", count=4)["loss"][-1] is None


def changed(**fields):
    return {"command": "start", "config": {**CONFIG, **fields}}


def one(**fields):
    return changed(networks=[{**NETWORK, **fields}])


WRONG = {
    "no command": ({}, "unknown command None"),
    "unknown command": ({"command": "stop"}, "known: start, steps"),
    "no config": ({"command": "start"}, "lacks 'config'"),
    "config of text": ({"command": "start", "config": "deep"}, "config must be an object"),
    "unknown field": (changed(color="red"), "config has no 'color'"),
    "no networks": ({"command": "start", "config": {"depth": 3}}, "networks must be a list"),
    "empty group": (changed(networks=[]), "1 to 64 networks, not 0"),
    "unknown data": (changed(data="mnist"), "unknown data 'mnist'; known: digits, fashion"),
    "unknown activation": (changed(activation="sine"), "unknown activation 'sine'; known: relu"),
    "unknown optimizer": (changed(optimizer="lars"), "known: sgd, adam, adamw"),
    "shallow": (changed(depth=2), "depth must be from 3 to 200, not 2"),
    "half a layer": (changed(depth=3.5), "depth must be a whole number"),
    "wide": (changed(width=10**6), "width must be from 2 to 1024"),
    "large batch": (changed(batch=1024, data="digits", depth="3"), "whole number, not '3'"),
    "no truth value": (changed(norm="yes"), "norm must be True or False, not 'yes'"),
    "no such graph": (
        changed(norm=True, activation="tanh"), "no networks with batch normalization and tanh",
    ),
    "momentum": (changed(momentum=1), "momentum must be ≥ 0 and < 1"),
    "not a number": (changed(eps=None), "eps must be a finite number"),
    "unknown rule": (one(rule="fixup"), "unknown rule 'fixup'; known: he_normal"),
    "infinite rate": (one(lr=float("inf")), "lr must be a finite number"),
    "negative rate": (one(lr=-1), "lr must be ≥ 0, not -1"),
    "negative seed": (one(seed=-1), "seed must be from 0"),
    "unknown of a network": (one(depth=4), "a network has no 'depth'"),
    "too much noise": (one(noise=1.5), "noise must be ≥ 0 and < 1"),
    "no steps": ({"command": "steps", "count": 0}, "count must be from 1"),
    "steps of text": ({"command": "steps", "count": "ten"}, "count must be a whole number"),
    "one edge": ({"command": "evaluate", "edges": [0]}, "edges must be 2 to"),
    "unknown split": ({"command": "evaluate", "edges": EDGES, "split": "x"}, "unknown split 'x'"),
    "no seed": ({"command": "mix", "keep": 1, "mix": 0}, "lacks 'seed'"),
    "no such network": (
        {"command": "mix", "keep": 1, "mix": 0, "seed": 0, "networks": [2]}, "from 0 to 1, not 2",
    ),
    "output layer": ({"command": "displacement", "layer": 3, "points": 9}, "layer must be from 1"),
}  # fmt: skip


@pytest.mark.parametrize("message, said", WRONG.values(), ids=WRONG)
def test_bad_messages_get_a_sentence(kernel, message, said):
    answer = kernel({"id": "x", **message})
    assert answer["id"] == "x" and "result" not in answer
    assert said in answer["error"]
    assert asked(kernel, "steps", count=1)["step"] == 1, "what was there goes on"


@pytest.mark.parametrize("command", ["steps", "evaluate", "mix", "displacement"])
def test_nothing_can_be_asked_before_a_start(command):
    assert "send start first" in Kernel()({"id": 1, "command": command})["error"]


def test_what_is_no_message_gets_an_answer():
    assert "an object with a command" in Kernel()("hello")["error"]


@pytest.mark.parametrize("name", ["start", "scale", "travel", "reinit", "memory"])
def test_every_story_can_be_started(name):
    for story in [{"set": {}}, *sections()[name]["stories"]]:
        s = settings(name, story["set"])
        own = {k: s[k] for k in NETWORK}
        config = {k: s[k] for k in CONFIG if k in s} | {"networks": [own]}
        told = asked(Kernel(), "start", config=config)
        assert told["depth"] == s["depth"]


def test_settings_that_there_are_not():
    with pytest.raises(ValueError, match="unknown section 'end'; known: start, scale"):
        settings("end", {})
    with pytest.raises(ValueError, match="start has no setting 'depht'; known: data"):
        settings("start", {"depht": 3})
    with pytest.raises(ValueError, match="depth must be a number, such as 30, not 'deep'"):
        settings("start", {"depth": "deep"})


def test_the_manifest_of_shapes_is_that_of_the_module():
    assert [tuple(t.shape) for t in network.zeros(2, 4, 5, 64)] == [
        (2, 5, 64), (2, 5), (3, 2, 5, 5), (3, 2, 5), (2, 10, 5), (2, 10),
    ]  # fmt: skip
