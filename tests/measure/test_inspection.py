"""`inspect`: all at once, of our networks and of torchvision's, and the network untouched."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from torch import nn

from initlab import inspect, plot
from initlab.init import HeNormal, LecunNormal, initialize
from initlab.measure.curvature import gradient_quotient, top_eigenvalue
from initlab.measure.inspection import COLUMNS, PARTS
from initlab.measure.layers import layers, units
from initlab.models import MLP
from initlab.plot.starts import WEIGHED

SIDE = 32
#: With the number of parameters' layers: a test of all of them would not be quick.
TORCHVISION = {
    "resnet18": lambda: torchvision.models.resnet18(num_classes=10),
    "mobilenet_v2": lambda: torchvision.models.mobilenet_v2(num_classes=10),
    "densenet121": lambda: torchvision.models.densenet121(num_classes=10),
    "vit_b_16": lambda: torchvision.models.vit_b_16(image_size=SIDE, num_classes=10),
}


def batch(n: int, *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(5)
    return torch.empty(n, *shape).normal_(generator=g), torch.arange(n) % 3


def snapshot(module: nn.Module) -> dict:
    """All of a module that a look at it may not change."""
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
        for m in module.modules()
    ]
    return {
        "values": {k: v.clone() for k, v in module.state_dict().items()},
        "where": [v.data_ptr() for v in (*module.parameters(), *module.buffers())],
        "versions": [v._version for v in (*module.parameters(), *module.buffers())],
        "flags": [m.training for m in module.modules()],
        "grads": [None if p.grad is None else p.grad.clone() for p in module.parameters()],
        "needs": [p.requires_grad for p in module.parameters()],
        "hooks": hooks,
        "keys": [sorted(vars(m)) for m in module.modules()],
        "random": torch.get_rng_state(),
    }


def assert_untouched(module: nn.Module, before: dict) -> None:
    after = snapshot(module)
    assert torch.equal(before.pop("random"), after.pop("random"))
    values, now = before.pop("values"), after.pop("values")
    assert list(values) == list(now)
    assert all(torch.equal(values[k], now[k]) for k in values)
    for a, b in zip(before.pop("grads"), after.pop("grads"), strict=True):
        assert (a is None and b is None) or torch.equal(a, b)
    assert before == after


@pytest.mark.parametrize(
    ("name", "rule"),
    [*((name, HeNormal()) for name in TORCHVISION), ("resnet18", None), ("vit_b_16", None)],
)
def test_torchvisions_networks_are_seen_whole_and_left_alone(name, rule):
    with torch.random.fork_rng([]):
        module = TORCHVISION[name]()
    next(module.parameters()).grad = torch.ones_like(next(module.parameters()))
    next(module.modules()).register_forward_hook(lambda *_: None)
    list(module.parameters())[1].requires_grad_(False)
    before = snapshot(module)
    quick = PARTS if rule is None and name == "resnet18" else ("layers", "units", "jacobian")
    x, y = batch(4, 3, SIDE, SIDE)
    frame = inspect(module, rule, (x, y), parts=quick, products=2)
    assert_untouched(module, before)
    assert tuple(frame.columns) == COLUMNS
    # Attention's two products are one layer, all others are one each, and some are called often.
    owners = (nn.Linear, nn.Conv2d, nn.BatchNorm2d, nn.LayerNorm, nn.MultiheadAttention)
    inside = [p for p, m in module.named_modules() if isinstance(m, nn.MultiheadAttention)]
    paths = {
        p
        for p, m in module.named_modules()
        if isinstance(m, owners) and not any(p.startswith(f"{q}.") for q in inside)
    }
    of_layers = frame[frame.kind != "network"]
    assert paths <= set(of_layers.path)
    assert {"forward", "backward", "correlation", "dead", "saturated"} <= set(of_layers.statistic)
    assert np.isfinite(frame.value).all()
    assert (frame[frame.statistic == "singular_value"].value > 0).all() == (
        rule is not None or name != "vit_b_16"  # whose head torchvision starts at zero
    )


def small() -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(2, 3, 3),
            nn.BatchNorm2d(3),
            nn.ReLU(inplace=True),
            nn.Dropout(0.3),
            nn.Flatten(),
            nn.Linear(27, 3),
        )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("rule", [HeNormal(), None])
def test_every_part_leaves_the_network_alone(training, rule):
    module = small().train(training)
    module(batch(4, 2, 5, 5)[0]).sum().backward()
    for part in (*[(p,) for p in PARTS], PARTS):
        before = snapshot(module)
        inspect(module, rule, batch(4, 2, 5, 5), parts=part)
        assert_untouched(module, before)


def test_the_batch_is_left_alone():
    module = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(50, 3))
    x, y = batch(4, 2, 5, 5)
    kept = x.clone()
    inspect(module, None, (x, y))
    assert torch.equal(x, kept) and not x.requires_grad


def test_the_frame_is_what_the_measures_say():
    module = MLP((6, 5), inputs=4, outputs=3).build()
    data = batch(8, 4)
    frame = inspect(module, LecunNormal(), data, generator=torch.Generator().manual_seed(3))
    params = initialize(module, LecunNormal(), torch.Generator().manual_seed(3))
    assert set(frame.network) == {0} and set(frame.step) == {-1}
    seen = frame.drop(columns=["network", "step"])
    for expected in (layers(module, params, data), units(module, params, data[0])):
        own = seen[seen.statistic.isin(expected.statistic)].reset_index(drop=True)
        pd.testing.assert_frame_equal(own[list(expected.columns)], expected)
    whole = frame[frame.layer == -1].groupby("statistic").value.first()
    assert whole.gradient_quotient == pytest.approx(gradient_quotient(module, params, data))
    exact = top_eigenvalue(module, params, data)
    assert abs(whole.hessian_top - exact.value) <= whole.hessian_residual + exact.residual
    counts = frame[frame.layer == -1].groupby("statistic").size()
    assert counts.singular_value == 2 * 3 and counts.ntk_eigenvalue == 4


def test_networks_are_independent_and_repeatable():
    module, data = MLP((6,), inputs=4, outputs=3).build(), batch(4, 4)

    def look(seed, networks):
        g = torch.Generator().manual_seed(seed)
        return inspect(module, HeNormal(), data, networks=networks, generator=g, parts=["layers"])

    frame = look(0, 3)
    assert look(0, 3).equals(frame) and not look(1, 3).equals(frame)
    first = frame[(frame.statistic == "forward") & (frame.layer == 1)].value
    assert first.nunique() == 3 and first.index.is_unique
    assert frame[frame.network == 0].equals(look(0, 1))


def test_a_whole_set_may_be_given_for_units():
    module = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 3))
    with torch.no_grad():
        module[0].weight.fill_(1)
        module[0].bias.fill_(-5)
    data = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])

    def dead(**options):
        frame = inspect(module, None, data, parts=["units"], **options)
        return float(frame[frame.statistic == "dead"].value.iloc[0])

    assert dead() == 1 and dead(inputs=torch.linspace(0, 6, 1000)[:, None]) == 0


def test_modules_on_the_meta_device_are_inspected_by_a_rule():
    module = MLP((6,), inputs=4, outputs=3).build("meta")
    frame = inspect(module, HeNormal(), batch(4, 4))
    assert next(module.parameters()).is_meta and len(frame) > 10


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"parts": ["layers", "hesian"]}, "unknown part hesian; known: layers, units, jacobian"),
        ({"networks": 0}, "networks must be a whole number ≥ 1"),
        ({"rule": None, "networks": 2}, "and 1 where no rule draws them, not 2"),
        ({"batch": torch.ones(2, 4)}, "batch must be a pair of tensors (inputs, targets)"),
    ],
)
def test_senseless_looks_are_refused(change, says):
    given = {"rule": HeNormal(), "batch": batch(4, 4)} | change
    module = MLP((6,), inputs=4, outputs=3).build()
    with pytest.raises(ValueError) as error:
        inspect(module, **given)
    assert says in str(error.value)


# The plot


def test_the_plot_shows_what_is_in_the_frame():
    frame = inspect(small(), HeNormal(), batch(4, 2, 5, 5), networks=3)
    untouched = copy.deepcopy(frame)
    lengths, shares, spectrum = plot.inspection(frame)
    pd.testing.assert_frame_equal(frame, untouched)
    assert lengths.get_yscale() == "log"
    forward = frame[(frame.statistic == "forward") & frame.kind.isin(WEIGHED)]
    line = lengths.containers[0].lines[0]
    np.testing.assert_allclose(
        line.get_ydata().astype(float), forward.groupby("layer").value.median()
    )
    assert list(line.get_xdata()) == [0, 1, 4]
    assert [t.get_text() for t in shares.figure.legends[0].texts] == [
        *("correlation", "dead", "saturated")
    ]
    values = frame[frame.statistic == "singular_value"].value.to_numpy().reshape(3, -1)
    drawn = spectrum.containers[0].lines[0].get_ydata().astype(float)
    np.testing.assert_allclose(drawn, np.median(np.sort(values, 1)[:, ::-1], 0))
    assert "Hessian: λ₁ = " in spectrum.get_xlabel() and "quotient" in spectrum.get_xlabel()
    shown = plot.show([lengths, shares, spectrum], name="seen", caption="Seen.", data=frame)
    assert shown.markup.count("<svg") == 3 and "seen.csv" in shown.markup


def test_the_plot_leaves_out_what_was_left_out():
    frame = inspect(small(), HeNormal(), batch(4, 2, 5, 5), parts=["layers"])
    panels = plot.inspection(frame)
    assert len(panels) == 2
    assert not panels[1].figure.legends, "one curve needs no legend"
    for ax in panels:
        plot.svg(ax.figure)
