"""Displacement against fields that are known because they were made."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
import torch

from initlab.data import Data, load
from initlab.init import GlorotUniform, initialize
from initlab.init.mark import LETTER, MarkedLayer, mark
from initlab.measure.displacement import (
    Displacement,
    conditional,
    correlation,
    cosine,
    counts,
    mode,
    moments,
    picture,
    recovery,
    spectrum,
    stable_rank,
    travelled,
)
from initlab.models import MLP
from initlab.train import SGD, Budget, fit

N = 200
RNG = np.random.default_rng(0)
W = RNG.uniform(-0.1, 0.1, (N, N))


def test_a_linear_field_with_noise_is_found_again():
    """w_final = 1.5 w_initial + 0.01 + noise: every conditional statistic is known."""
    sigma = 0.02
    field = conditional(W, 1.5 * W + 0.01 + RNG.normal(0, sigma, W.shape), bins=20)
    count = field["count"]
    assert count.sum() == W.size and set(count) == {W.size // 20}
    error = 4 * sqrt(sigma**2 + (0.5 * 0.01) ** 2) / np.sqrt(count)
    assert (abs(field["mean"] - (0.5 * field["start"] + 0.01)) < error).all()
    # Within a bin of width 0.01 the start itself varies by 0.01/√12.
    std = sqrt(sigma**2 + (0.5 * 0.01) ** 2 / 12)
    assert (abs(field["std"] / std - 1) < 4 / np.sqrt(2 * count)).all()
    assert (abs(field["skew"]) < 4 * np.sqrt(6 / count)).all()
    for q, z in ((2, -2.0537), (25, -0.6745), (50, 0.0), (75, 0.6745), (98, 2.0537)):
        expected = 1.5 * field["start"] + 0.01 + z * sqrt(sigma**2 + (1.5 * 0.01) ** 2 / 12)
        assert (abs(field[f"p{q}"] - expected) < 0.006).all()
    assert abs((field["mode"] - 1.5 * field["start"] - 0.01).mean()) < 0.005


def test_a_lean_outwards_is_seen_as_skewness():
    out = np.sign(W) * RNG.exponential(0.05, W.shape)
    field = conditional(W, W + out, bins=10)
    assert (field["skew"][:4] < -1).all() and (field["skew"][-4:] > 1).all()
    assert (abs(field["mode"] - field["start"]) < 0.01).all()  # the peak stays where it was


def test_nothing_moved():
    field = conditional(W, W, bins=50)
    assert (field["std"] == 0).all() and (field["skew"] == 0).all()
    assert correlation(W, W) == pytest.approx(1) and cosine(W, W) == pytest.approx(1)
    assert stable_rank(spectrum(W - W)) == 0
    assert moments(W - W) == {"mean": 0, "std": 0, "skew": 0}


@pytest.mark.parametrize("noise", [0.5, 1.0, 3.0])
def test_correlation_and_cosine_with_known_noise(noise):
    v = W + RNG.normal(0, noise * W.std(), W.shape)
    expected = 1 / sqrt(1 + noise**2)
    assert abs(correlation(W, v) - expected) < 4 / N
    assert abs(cosine(W, v) - expected) < 4 / N


def test_correlation_forgets_the_mean_and_cosine_does_not():
    assert correlation(W, W + 5) == pytest.approx(1)
    assert cosine(W, W + 5) < 0.1
    assert np.isnan(correlation(W, np.ones_like(W))) and np.isnan(cosine(W, 0 * W))


@pytest.mark.parametrize(("stretch", "sigma"), [(1.5, 0.0), (1.0, 0.03), (-0.5, 0.1)])
def test_the_way_of_a_known_field(stretch, sigma):
    """w_final = s w_initial + noise of a known size, which is normal."""
    noise = RNG.normal(0, 1, W.shape)
    found = travelled(W, stretch * W + sigma * noise)
    s0, far = W.std(), abs(stretch - 1)
    std = sqrt((far * s0) ** 2 + sigma**2)
    assert found["delta_std"] == pytest.approx(std, rel=0.03)
    assert abs(found["delta_mean"]) < 4 * std / N
    assert abs(found["delta_skew"]) < 4 * sqrt(6) / N
    assert found["relative"] == pytest.approx(std / s0, rel=0.03)
    expected = stretch * s0 / sqrt((stretch * s0) ** 2 + sigma**2)
    assert found["correlation"] == pytest.approx(expected, abs=4 / N)
    assert found["cosine"] == pytest.approx(expected, abs=4 / N)
    assert np.isnan(travelled(0 * W, W)["relative"])


def test_ranks():
    u, v = RNG.normal(size=(2, N))
    assert stable_rank(spectrum(np.outer(u, v))) == pytest.approx(1)
    assert stable_rank(spectrum(np.eye(7))) == pytest.approx(7)
    assert spectrum(np.ones((4, 3, 2, 2))).shape == (4,)
    # A displacement of three known directions and sizes, in noise far below them.
    q, _ = np.linalg.qr(RNG.normal(size=(N, 6)))
    delta = q[:, :3] * [5.0, 3.0, 2.0] @ q[:, 3:].T
    seen = spectrum(delta + RNG.normal(0, 1e-6, (N, N)))
    assert seen[:3] == pytest.approx([5, 3, 2], abs=1e-4) and seen[3] < 1e-4
    assert stable_rank(seen) == pytest.approx((25 + 9 + 4) / 25, rel=1e-4)


@pytest.mark.parametrize("shift", [0.0, -3.0])
def test_the_mode_is_where_points_are_dense(shift):
    x = np.concatenate([RNG.normal(1, 0.1, 800), RNG.uniform(-5, 5, 400)]) + shift
    assert abs(mode(x) - 1 - shift) < 0.1
    assert mode([2.0]) == 2
    with pytest.raises(ValueError, match="nothing has no mode"):
        mode([])


def test_a_mark_at_known_noise():
    mask = mark((N, N)).numpy()
    planted = W * mask
    assert recovery(planted, mask, box=1) == pytest.approx(1, abs=1e-3)
    clear = recovery(planted, mask)
    faint = [recovery(planted + RNG.normal(0, s, W.shape), mask) for s in (0.03, 0.1, 0.3)]
    assert 0.95 < clear <= 1
    assert clear >= faint[0] > faint[1] > faint[2] > 0.5
    gone = RNG.normal(0, 0.1, W.shape)
    assert abs(recovery(gone, mask) - 0.5) < 0.1
    # Without a box: P(|w + e| > |e′|) of independent pairs, computed here another way.
    noisy = planted + RNG.normal(0, 0.05, W.shape)
    inside, outside = abs(noisy[mask]), np.sort(abs(noisy[~mask]))
    pairs = np.searchsorted(outside, inside).mean() / len(outside)
    assert recovery(noisy, mask, box=1) == pytest.approx(pairs, abs=1e-9)


def test_the_letter_keeps_its_proportions():
    assert len(set(map(len, LETTER))) == 1 and len(LETTER) == len(LETTER[0])
    small, large = mark((16, 16)).float().mean(), mark((160, 320)).float().mean()
    assert small == large
    assert 0.2 < small < 0.4


def test_a_marked_layer_is_the_rule_with_zeros():
    module = MLP((32, 48), inputs=64).build("meta")
    g = [torch.Generator().manual_seed(1) for _ in range(2)]
    marked = initialize(module, MarkedLayer(), g[0], count=3)
    plain = initialize(module, GlorotUniform(), g[1], count=3)
    mask = mark((48, 32))
    assert torch.equal(marked["layer2.weight"], plain["layer2.weight"] * mask)
    assert torch.equal(marked["layer1.weight"], plain["layer1.weight"])
    with pytest.raises(ValueError, match="layer must be from 1 to 3"):
        initialize(module, MarkedLayer(layer=4), g[0])


def test_a_run_is_watched_from_its_start_to_its_end():
    model, data = MLP((20, 20), inputs=64), load(Data("digits", train=200))
    module = model.build("meta")
    start = initialize(module, MarkedLayer(), torch.Generator().manual_seed(0), count=2)
    watch = Displacement(resolution=1.0, bins=10, mark=True, box=3, side=4, cells=8, singular=5)
    ended = fit(
        model,
        start,
        data,
        optimizer=[SGD(0.1), SGD(0.01)],
        budget=Budget(epochs=5, batch_size=50),
        order=torch.Generator().manual_seed(0),
        observer=watch,
    )
    for r, outcome in enumerate(ended):
        seen = {(n, s, name): v for n, s, name, v in outcome.seen}
        assert len(seen) == len(outcome.seen), "one value is reported twice"
        assert sorted({s for _, s, _ in seen}) == [0, 1, 2, 4, 8, 16, 19, 20]
        w, v = start["layer2.weight"][r].numpy(), outcome.params["layer2.weight"].numpy()
        assert seen[2, 20, "delta_std"] == pytest.approx((v - w).std(), rel=1e-4)
        for k, s in enumerate(spectrum(v.astype(float) - w)[:5]):
            assert seen[2, 20, f"singular/{k:02d}"] == pytest.approx(s, rel=1e-6)
        assert (2, 20, "singular/05") not in seen and (2, 8, "singular/00") not in seen
        # All links together are layer −1; biases are no links.
        every = [
            np.concatenate([p[f"{n}.weight"].numpy().ravel() for n in ("layer1", "layer2", "head")])
            for p in ({k: t[r] for k, t in start.items()}, outcome.params)
        ]
        for name, value in travelled(*every).items():
            assert seen[-1, 20, name] == pytest.approx(value, rel=1e-6)
        assert seen[2, 20, "correlation"] == pytest.approx(correlation(w, v), rel=1e-6)
        assert seen[2, 20, "recovery"] == pytest.approx(recovery(v, w != 0, 3))
        assert seen[2, 20, "picture/03/01"] == pytest.approx(abs(v[15:, 5:10]).mean())
        table = [v for (n, s, name), v in seen.items() if n == 2 and name.startswith("cell/")]
        assert sum(table) == w.size and min(table) > 0
        assert seen[2, 20, "reach_end"] == pytest.approx(abs(v).max())
        assert seen[1, 0, "delta_std"] == 0 and seen[1, 0, "correlation"] == pytest.approx(1)
        field = conditional(w, v, 10)
        assert seen[2, 20, "p50/03"] == pytest.approx(field["p50"][3], abs=1e-6)
        relative = [seen[3, s, "relative"] for s in (1, 4, 20)]
        assert relative == sorted(relative) and relative[0] > 0
    assert (
        seen[2, 20, "delta_std"]
        < dict(((n, s, name), v) for n, s, name, v in ended[0].seen)[2, 20, "delta_std"]
    )


def test_counts_find_every_link_in_its_cell():
    found, a, b = counts([-1.0, -1.0, 0.9, 0.1], [3.0, -4.0, 4.0, 0.1], 2)
    assert (a, b) == (1, 4)
    assert found.tolist() == [[1, 1], [0, 2]]
    found, a, b = counts(np.zeros(5), np.zeros(5), 3)
    assert found[1, 1] == 5 and (a, b) == (1, 1)


def test_a_picture_shows_the_letter():
    mask = mark((160, 160)).numpy()
    seen = picture(W[:160, :160] * mask, 16)
    letter = np.array([[c == "#" for c in line] for line in LETTER])
    assert (seen[~letter] == 0).all()
    # The mean of |w| on a stroke is half of the bound, in each part over 100 links.
    assert (abs(seen[letter] - 0.05) < 5 * 0.1 / sqrt(12 * 100)).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: conditional(W, W[:5]), "start and end are the same links"),
        (lambda: conditional(W[:3, :3], W[:3, :3], 5), "5 bins need 10 links each"),
        (lambda: recovery(W, np.ones_like(W)), "links inside of it and outside"),
        (lambda: recovery(W, np.ones(3)), r"a mark lies on a matrix of its shape"),
        (lambda: Displacement(resolution=0.0), "resolution must be > 0, not 0"),
        (lambda: Displacement(bins=-1), "bins must be ≥ 0 and layers count from 1"),
        (lambda: Displacement(box=0), "box must be ≥ 1, side, cells and singular ≥ 0, not 0, 0"),
        (lambda: Displacement(cells=-2), "singular ≥ 0, not 9, 0, -2 and 0"),
        (lambda: Displacement(singular=-1), "singular ≥ 0, not 9, 0, 0 and -1"),
    ],
)
def test_bad_calls_are_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()
