"""Every exported graph gives what its function gives, and that is what the package gives.

Some mistakes of an exporter are silent: the graph runs and its numbers are wrong.
"""

from __future__ import annotations

import itertools

import pytest
import torch

from initlab.live import initializers, network, steps
from initlab.live.samples import samples
from tests.live.conftest import blank, eager

#: Rates at which the loss falls steadily, so that rounding is not amplified.
TAME = {"sgd": 0.02, "adam": 0.0005, "adamw": 0.0005}
STEPS, BATCH = 100, 32
LOSS = 1e-4


def began(R=2, depth=4, width=16, rule="lecun_normal", inputs=64):
    like = network.zeros(R, depth, width, inputs)
    scales = torch.linspace(1, 1.2, R)
    return list(initializers.initialize(rule, like, torch.arange(R) + 3, scales, torch.tensor(1.3)))


def batches(R, count=STEPS, data="digits"):
    found = samples(data)
    x, y = found.inputs(), found.targets()
    noisy = torch.stack([y if r % 2 == 0 else found.targets(0.3) for r in range(R)])
    for k in range(count):
        at = k % (found.train // BATCH) * BATCH
        yield x[at : at + BATCH], noisy[:, at : at + BATCH]


def numbers(optimizer, R, eps=1e-6):
    """Another rate and another decay for each network.

    Adam divides a gradient by its size, also one that is zero but for rounding, as those of inputs
    are that do not vary within a batch and are normalized; a small `eps` makes steps of them.
    """
    lr = TAME[optimizer] * torch.linspace(1, 1.5, R)
    decay = torch.linspace(0, 0.01, R)
    if optimizer == "sgd":
        return lr, torch.linspace(0.9, 0.5, R), decay
    return lr, torch.tensor(0.9), torch.tensor(0.999), torch.tensor(eps), decay


def worst(found, expected):
    return max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("phi, norm", network.KINDS, ids=lambda v: str(v))
@pytest.mark.parametrize("optimizer", steps.STATES)
def test_a_hundred_steps_are_those_of_pytorch(graphs, optimizer, phi, norm):
    R, kind = 2, f"{phi}_bn" if norm else phi
    theirs = ours = [*began(R), *blank(optimizer, began(R))]
    first = last = 0.0
    for x, y in batches(R):
        theirs, told = graphs.step(optimizer, kind, theirs, x, y, *numbers(optimizer, R))
        ours, expected = eager(optimizer, phi, norm, ours, x, y, *numbers(optimizer, R))
        assert worst(told[:1], expected[:1]) < LOSS
        first, last = first or float(expected[0].mean()), float(expected[0].mean())
    assert last < 0.8 * first, "nothing was learned: this would show nothing"
    # What is told besides, at the end of the way.
    assert worst(told[2:], expected[2:]) < 1e-3
    assert worst(told[1:2], expected[1:2]) <= 1 / BATCH + 1e-6


@pytest.mark.parametrize(
    "optimizer, kind", [("sgd", "relu"), ("adam", "tanh"), ("adamw", "relu_bn")]
)
def test_steps_in_one_call_are_those_of_as_many_calls(graphs, optimizer, kind):
    R, count = 2, 5
    begin = [*began(R), *blank(optimizer, began(R))]
    xs, ys = zip(*batches(R, count), strict=True)
    numbers_ = numbers(optimizer, R)
    many = graphs(f"{optimizer}_{kind}", *begin, torch.stack(xs), torch.stack(ys), *numbers_)
    state, told = begin, []
    for x, y in zip(xs, ys, strict=True):
        state, seen = graphs.step(optimizer, kind, state, x, y, *numbers_)
        told.append(seen)
    assert worst(many[:-4], state) < 1e-6
    for found, expected in zip(many[-4:], zip(*told, strict=True), strict=True):
        assert worst([found], [torch.stack(expected)]) < 1e-6


def drifts(graphs, optimizer, norm, eps):
    """How far 100 steps lead apart: PyTorch from itself, and the graph from PyTorch.

    The control has weights that differ in the last digit, and each batch in another order.
    """
    R, kind = 2, "relu_bn" if norm else "relu"
    ours = graph = [*began(R), *blank(optimizer, began(R))]
    nudged = [torch.nextafter(t, torch.full_like(t, 9.0)) for t in ours[:6]] + list(ours[6:])
    drift = distance = 0.0
    turned = torch.randperm(BATCH, generator=torch.Generator().manual_seed(0))
    for x, y in batches(R):
        n = numbers(optimizer, R, eps)
        ours, expected = eager(optimizer, "relu", norm, ours, x, y, *n)
        nudged, other = eager(optimizer, "relu", norm, nudged, x[turned], y[:, turned], *n)
        graph, told = graphs.step(optimizer, kind, graph, x, y, *n)
        drift = max(drift, worst(other[:1], expected[:1]))
        distance = max(distance, worst(told[:1], expected[:1]))
    print(f"{optimizer} {kind} eps {eps:g}: PyTorch {drift:.1e} from itself, graph {distance:.1e}")
    return drift, distance


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("optimizer", steps.STATES)
def test_pytorch_drifts_from_itself_as_far(graphs, optimizer, norm):
    drift, distance = drifts(graphs, optimizer, norm, 1e-6)
    assert 0 < drift < LOSS
    assert distance < 10 * drift


def test_at_wild_settings_pytorch_is_as_far_from_itself(graphs):
    """Why parity is tested at tame ones: the control itself goes far from there."""
    tame, _ = drifts(graphs, "adam", True, 1e-6)
    drift, distance = drifts(graphs, "adam", True, 1e-8)
    assert drift > 10 * tame
    assert distance < 10 * drift


def test_depth_width_batch_and_networks_are_free(graphs):
    shapes = [(1, 3, 2, 64), (5, 3, 33, 196), (1, 12, 20, 64), (3, 31, 8, 196)]
    for (R, depth, width, inputs), norm in itertools.product(shapes, (False, True)):
        if norm and depth > 20:
            continue  # gradients of hundreds: rounding is amplified as much
        state = began(R, depth, width, inputs=inputs)
        state += blank("adam", state)
        data = "digits" if inputs == 64 else "fashion"
        for x, y in batches(R, 3, data):
            told = graphs.step("adam", "relu_bn" if norm else "relu", state, x, y,
                               *numbers("adam", R))  # fmt: skip
            mine = eager("adam", "relu", norm, state, x, y, *numbers("adam", R))
            assert [t.shape for t in told[0]] == [t.shape for t in mine[0]]
            assert worst(told[1], mine[1]) < 1e-4
            state = mine[0]


@pytest.mark.parametrize("phi, norm", network.KINDS, ids=lambda v: str(v))
def test_evaluation_is_that_of_pytorch(graphs, phi, norm):
    params = began(3, 5, 24)
    found = samples("digits")
    x = found.inputs()[found.train :]
    y = found.targets()[found.train :].expand(3, -1, -1).contiguous()
    edges = torch.linspace(-1.7, 2.3, 21)
    told = graphs(f"evaluate_{phi}_bn" if norm else f"evaluate_{phi}", *params, x, y, edges)
    expected = network.evaluate(params, x, y, edges, phi, norm)
    assert [t.shape for t in told] == [t.shape for t in expected]
    assert worst(told[:1] + told[3:], expected[:1] + expected[3:]) < 1e-5
    # A rounding may put a sample on the other side of an edge, or of a decision.
    assert worst(told[1:3], expected[1:3]) < 3 / len(x)


@pytest.mark.parametrize("R, seeds", [(1, [0]), (3, [7, 123456789, 2**32 - 1])], ids=str)
@pytest.mark.parametrize("rule", initializers.NAMES)
def test_one_seed_gives_the_same_weights(graphs, rule, R, seeds):
    like = network.zeros(R, 6, 31, 64)
    gain = torch.tensor(graphs.manifest["gains"][rule]["tanh"])
    given = torch.tensor(seeds), torch.linspace(0.5, 2, R), gain
    theirs = graphs(f"init_{rule}", *like, *given)
    ours = initializers.initialize(initializers.drawn(rule), like, *given)
    assert [t.shape for t in theirs] == [t.shape for t in ours]
    assert worst(theirs, ours) < 1e-6
    assert all(float(t.abs().max()) == 0 for t in theirs[1::2])


def test_mixing_is_exact(graphs):
    params, fresh = began(2), began(2, rule="glorot_uniform")
    keep, mix = torch.tensor(0.4), torch.tensor(0.1)
    told = graphs("mix", *params, *fresh, keep, mix)
    assert worst(told, steps.mix(params, fresh, keep, mix)) < 1e-7


def test_displacement_is_exact(graphs):
    params, first = began(3, 5), began(3, 5, rule="glorot_uniform")
    told, expected = graphs("displacement", *params, *first), steps.displacement(params, first)
    assert [t.shape for t in told] == [t.shape for t in expected]
    assert worst(told, expected) < 1e-6
    torch.testing.assert_close(told[0][2], (params[2] - first[2])[1].square().mean((1, 2)).sqrt())


@pytest.mark.parametrize("norm", [False, True])
def test_a_network_alone_is_what_it_is_in_a_group(graphs, norm):
    R, kind = 3, "relu_bn" if norm else "relu"
    group = [*began(R), *blank("adamw", began(R))]
    axis = {2: 1, 3: 1, 8: 1, 9: 1, 14: 1, 15: 1}

    def row(tensors, r):
        return [t.narrow(axis.get(k, 0), r, 1).contiguous() for k, t in enumerate(tensors)]

    alone = row(group, 1)
    for x, y in batches(R, 20):
        lr, *shared, decay = numbers("adamw", R)
        group, told = graphs.step("adamw", kind, group, x, y, lr, *shared, decay)
        one = lr[1:2], *shared, decay[1:2]
        alone, by_itself = graphs.step("adamw", kind, alone, x, y[1:2].contiguous(), *one)
        assert abs(float(told[0][1] - by_itself[0][0])) < 1e-5
    assert worst(row(group, 1)[:6], alone[:6]) < 1e-5
