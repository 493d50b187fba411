"""Both ways through many networks at once: against hooks on one module, and against theory.

Each comparison with an expectation allows 4.5 standard errors, as in `test_signal`.
"""

from __future__ import annotations

from math import pi

import numpy as np
import pytest
import torch

from initlab.data import Data
from initlab.init import HeNormal, LecunNormal, initialize
from initlab.measure import Correlation, SecondMoments, Signal
from initlab.measure.propagation import (
    correlations,
    forward_backward,
    random_inputs,
    random_pairs,
)
from initlab.models import MLP, ConvNet, ResidualMLP, ResNet9
from initlab.spec import canonical, key
from initlab.sweep import Run, execute, from_json
from tests.measure.test_signal import z_score

#: Small models, and how the children are called whose outputs a tap sees.
MODELS = {
    "mlp": (MLP((5, 4), inputs=6, outputs=3, activation="tanh"), "act"),
    "without a head": (MLP((5, 4), inputs=6, outputs=None), "act"),
    "with norm": (MLP((5, 4), inputs=6, norm="batch"), "act"),
    "residual": (ResidualMLP(2, 4, outputs=2), "block"),
    "conv": (ConvNet((3, 4), input_shape=(2, 5, 5), outputs=3), "act"),
    "resnet9": (ResNet9(width=2, input_shape=(2, 8, 8), outputs=3), ("layer", "block")),
}


def drawn(model, R, seed=0, examples=4):
    g = torch.Generator().manual_seed(seed)
    params = initialize(model.build("meta"), HeNormal(), g, count=R)
    x = random_inputs(R, model.input_shape, g, examples)
    with torch.no_grad():
        outputs = model.forward(params, x)
    return params, x, torch.empty_like(outputs).normal_(generator=g)


@pytest.mark.parametrize("name", MODELS)
def test_a_stack_has_what_one_module_has(name):
    """Ordinary hooks and `backward()` on the module of one network of the stack."""
    model, tapped = MODELS[name]
    params, x, v = drawn(model, 3)
    forward, backward = forward_backward(model, params, x, v)
    for r in range(3):
        module = model.build().double()
        module.load_state_dict({k: p[r] for k, p in params.items()}, strict=False)
        seen = [x[r].double().requires_grad_()]

        def hook(_module, _inputs, output, seen=seen):
            output.retain_grad()
            seen.append(output)

        for child, layer in module.named_children():
            if child.startswith(tapped):
                layer.register_forward_hook(hook)
        module(seen[0]).backward(v[r].double())
        for j, h in enumerate(seen):
            assert float(forward[r, j]) == pytest.approx(float(h.detach().square().mean()))
            assert float(backward[r, j]) == pytest.approx(float(h.grad.square().mean()))
        assert len(seen) == forward.shape[1]


def test_networks_in_parts_are_the_same(monkeypatch):
    model = MODELS["resnet9"][0]
    params, x, v = drawn(model, 5)
    whole = forward_backward(model, params, x, v)
    monkeypatch.setattr("initlab.measure.propagation.AT_ONCE", 2 * x[0].numel())
    for one, parts in zip(whole, forward_backward(model, params, x, v), strict=True):
        torch.testing.assert_close(one, parts, rtol=1e-9, atol=0)


def test_nothing_is_changed_and_no_global_number_drawn():
    model = MODELS["conv"][0]
    params, x, v = drawn(model, 2)
    before = [t.clone() for t in (*params.values(), x, v)]
    state = torch.get_rng_state()
    forward_backward(model, params, x, v)
    Signal(examples=4).values(model, params, x, torch.Generator().manual_seed(0))
    assert torch.equal(state, torch.get_rng_state())
    for now, then in zip((*params.values(), x, v), before, strict=True):
        assert torch.equal(now, then) and not now.requires_grad


def test_forward_is_the_length():
    model = MODELS["mlp"][0]
    run = Run(model, HeNormal(), networks=20, data=None, measure=Signal(reduce=False), seed=3)
    rows = execute([run])[0][3]
    g = torch.Generator().manual_seed(0)
    params = initialize(model.build("meta"), HeNormal(), g, count=20)
    x = random_inputs(20, (6,), g)
    M = SecondMoments().values(model, params, x, g)
    ours = Signal().values(model, params, x, g)[..., 0]
    np.testing.assert_allclose(ours, M, rtol=1e-5)
    assert {(r[3], r[1]) for r in rows} == {
        (w, j) for w in ("forward", "backward") for j in (0, 1, 2)
    }
    assert all(
        v == pytest.approx(1, rel=1e-6) for _, j, _, s, v in rows if (j, s) == (0, "forward")
    )


def sample(model, rule, measure, networks, seed=0) -> dict[tuple[int, str], np.ndarray]:
    """Values of each network, by layer and statistic."""
    run = Run(model, rule, networks=networks, measure=measure, seed=seed)
    found: dict[tuple[int, str], list[float]] = {}
    for _, layer, _, statistic, value in execute([run])[0][3]:
        found.setdefault((layer, statistic), []).append(value)
    return {where: np.array(values) for where, values in found.items()}


def test_he_keeps_a_relu_network_level_both_ways_and_lecun_halves_it():
    """E M_j/M_0 = (s/2)^j and E D_j/D_d = (s/2)^(d−j) at constant width: exact for ReLU."""
    model = MLP.constant(8, 24, inputs=24, outputs=24)
    for rule, half_s in ((HeNormal(), 1.0), (LecunNormal(), 0.5)):
        M = sample(model, rule, Signal(reduce=False), 4000)
        for j in range(9):
            assert z_score(M[j, "forward"], half_s**j if j else 1.0) < 4.5 or j == 0
            expected = 2 * half_s * half_s ** (8 - j)  # the head has no ReLU: twice as much
            assert z_score(M[j, "backward"], expected) < 4.5


def test_widths_change_the_backward_signal_by_fan_out_over_fan_in():
    """E D_{j−1}/D_j = (n_j/n_{j−1}) · s/2 where the variance is s/fan-in."""
    model = MLP((40, 10, 20), inputs=20, outputs=5)
    M = sample(model, HeNormal(), Signal(reduce=False), 4000)
    widths = (20, 40, 10, 20)
    D_3 = 5 * 2 / 20  # from the head: outputs · s/fan-in
    for j in range(4):
        assert z_score(M[j, "backward"], D_3 * 20 / widths[j]) < 4.5


def test_reduced_moments_are_those_of_the_networks():
    model = MLP.constant(3, 6, inputs=6, outputs=2)
    each = sample(model, HeNormal(), Signal(reduce=False), 300)
    reduced = {k: float(v[0]) for k, v in sample(model, HeNormal(), Signal(), 300).items()}
    for j in range(4):
        for name, before in (("forward", j - 1), ("backward", j + 1)):
            now = each[j, name]
            assert reduced[j, f"{name}_mean"] == pytest.approx(now.mean())
            assert reduced[j, f"{name}_mean_square"] == pytest.approx((now**2).mean())
            assert reduced[j, f"{name}_dead"] == pytest.approx((now == 0).mean())
            assert ((j, f"{name}_ratio_mean") in reduced) == (0 <= before <= 3)
            if 0 <= before <= 3:
                past = each[before, name]
                ratio = now[past > 0] / past[past > 0]
                assert reduced[j, f"{name}_ratio_mean"] == pytest.approx(ratio.mean())
    ends = sample(model, HeNormal(), Signal(layers="last"), 300)
    assert {j for j, _ in ends} == {0, 3}


def arc_cosine(c: float) -> float:
    """E[ReLU(u) ReLU(v)] / E[ReLU(u)²] at correlation c (Cho & Saul 2009)."""
    return (np.sqrt(1 - c * c) + c * (pi - np.arccos(c))) / pi


def test_two_inputs_align_in_a_wide_relu_network_as_the_arc_cosine_kernel_says():
    n, networks = 1500, 60
    model = MLP((n,), inputs=50, outputs=None)
    for start in (-1.0, 0.0, 0.6, 1.0):
        cosines = sample(model, HeNormal(), Correlation(start, reduce=False), networks)
        np.testing.assert_allclose(cosines[0, "correlation"], start, atol=1e-6)
        one = cosines[1, "correlation"]
        if abs(start) == 1:  # the same signal, or two that share no active unit
            np.testing.assert_allclose(one, max(start, 0), atol=1e-6)
        else:
            # A cosine of n samples is biased by O(1/n), far below the error here.
            assert abs(one.mean() - arc_cosine(start)) < 4.5 * one.std() / networks**0.5 + 2 / n


def test_pairs_have_the_angle_and_the_length_that_were_asked_for():
    x = random_pairs(7, (3, 4), torch.Generator().manual_seed(0), 0.3).double().flatten(2)
    torch.testing.assert_close(x.square().mean(-1), torch.ones(7, 2, dtype=torch.float64))
    cosine = (x[:, 0] * x[:, 1]).mean(-1)
    torch.testing.assert_close(cosine, torch.full((7,), 0.3, dtype=torch.float64))


def test_dead_networks_have_no_correlation():
    values = np.array([[0.5, 0.25], [0.5, np.nan]])
    rows = {(j, s): v for _, j, _, s, v in Correlation().report(values)}
    assert rows[1, "dead"] == 0.5 and rows[1, "mean"] == 0.25
    rows = {(j, s): v for _, j, _, s, v in Correlation().report(values[1:])}
    assert rows[1, "dead"] == 1 and (1, "mean") not in rows
    model = MLP((2,), inputs=4, outputs=None)
    params = {k: -p.abs() for k, p in drawn(model, 2)[0].items()}
    assert torch.isnan(correlations(model, params, torch.ones(2, 4))[:, 1]).all()


@pytest.mark.parametrize("measure", [Signal(image=3, examples=5), Correlation(image=3)])
def test_a_run_on_images(measure):
    model = MLP((6, 6), inputs=64)
    run = Run(model, HeNormal(), data=Data("digits"), networks=8, measure=measure)
    rows = execute([run])[0][3]
    assert rows and all(np.isfinite(r[-1]) for r in rows)
    last = Run(
        model, HeNormal(), data=Data("digits"), networks=2, measure=type(measure)(image=1436)
    )
    if measure.examples == 5:
        execute([last])  # the very last image, alone
    else:
        with pytest.raises(ValueError, match="image 1437 is not among the 1437 of digits"):
            execute([last])


def test_old_keys_stay_and_new_runs_survive_json():
    old = Run(MLP.constant(5, 6, inputs=6, outputs=None), HeNormal(), measure=SecondMoments())
    assert key(old) == "bc7b65316c86f9aa"
    for measure in (Signal(examples=3), Correlation(0.25), SecondMoments(reduce=True)):
        run = Run(MLP((3,)), HeNormal(), measure=measure)
        assert from_json(canonical(run)) == run
