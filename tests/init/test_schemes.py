"""One contract for every scheme: deterministic, complete, alone, and known by what it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from initlab import init
from initlab.init import HeNormal, Normal, initialize, plan
from initlab.models import MLP, ResidualMLP, ResNet18
from initlab.spec import from_plain, to_plain

ALL = pytest.mark.parametrize("name", init.SCHEMES)
IMAGES = {"width": 2, "input_shape": (1, 8, 8), "outputs": 4}
#: A network with all that a scheme may ask for, and one whose branches end in a normalization.
FACTORED = ResNet18(**IMAGES, norm="none", multiplier=True)
NORMALIZED = ResNet18(**IMAGES)
BIBLIOGRAPHY = Path(__file__).parents[2] / "book" / "references.bib"


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model_for(name: str) -> ResNet18:
    return NORMALIZED if name == "zero_gamma" else FACTORED


def batch_for(shape, count: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(count, *shape, generator=seeded(5)), torch.arange(count) % 4


def quick(name: str):
    """The scheme with few steps, where it takes many."""
    scheme = init.SCHEMES[name]
    return type(scheme)(steps=2) if hasattr(scheme, "steps") else scheme


@ALL
def test_same_seed_same_network_on_every_device(name, device):
    model, scheme, batch = model_for(name), quick(name), batch_for((1, 8, 8))
    one = initialize(model.build("meta"), scheme, seeded(7), device=device, batch=batch)
    two = initialize(model.build(), scheme, seeded(7), batch=batch)
    assert list(one) == list(two)
    for parameter, value in one.items():
        assert value.device.type == device and value.dtype == torch.float32
        if device == "cpu":
            assert torch.equal(value, two[parameter])
        else:
            # Whitening makes rounding grow along directions that a batch hardly has.
            away = (value.cpu() - two[parameter]).norm()
            allowed = 2e-2 if name == "whitening" else 1e-3
            assert away <= allowed * two[parameter].norm() + 1e-5, parameter


@ALL
def test_the_module_and_the_global_state_are_untouched(name):
    module, batch = model_for(name).build(), batch_for((1, 8, 8))
    before = {n: t.clone() for n, t in module.state_dict().items()}
    given, state = batch[0].clone(), torch.get_rng_state()
    params = initialize(module, quick(name), seeded(), batch=batch)
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(batch[0], given)
    assert all(torch.equal(t, before[n]) for n, t in module.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in module.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())
    assert module.training
    # Every parameter is set, in its shape, and nothing that is returned asks for gradients.
    named = dict(module.named_parameters())
    assert {n: p.shape for n, p in params.items()} == {n: p.shape for n, p in named.items()}
    assert not any(p.requires_grad for p in params.values())
    module.load_state_dict(params, strict=False)


@ALL
def test_networks_drawn_together_are_independent(name):
    model, scheme, batch = model_for(name), quick(name), batch_for((1, 8, 8))
    params = initialize(model.build("meta"), scheme, seeded(), count=3, batch=batch)
    assert all(p.shape[0] == 3 for p in params.values())
    stem = params["layer1.conv.weight"]
    if name != "idinit":
        assert not torch.equal(stem[0], stem[1])
    model.forward(params, batch[0])


@ALL
def test_a_scheme_survives_its_json_and_is_known_by_its_label(name):
    scheme = init.SCHEMES[name]
    assert from_plain(to_plain(scheme)) == scheme
    assert init.rule(name) == scheme
    labels = [s.label for s in (init.RULES | init.SCHEMES).values()]
    assert labels.count(scheme.label) == 1


@ALL
def test_a_scheme_says_where_it_is_from_and_what_it_is_for(name):
    scheme = init.SCHEMES[name]
    keys = re.findall(r"^@\w+\{(\w+),", BIBLIOGRAPHY.read_text(encoding="utf8"), re.MULTILINE)
    assert scheme.source in keys
    assert scheme.formula and scheme.preserves and scheme.use.endswith(".")
    assert scheme.formula.count("{") == scheme.formula.count("}")


@ALL
@pytest.mark.parametrize("kind", ["resnet18", "vit_b_16"])
def test_torchvisions_models_are_set_or_listed(name, kind):
    """Every parameter has a rule or a reason; or the scheme says what it is for instead."""
    with torch.device("meta"):
        module = torchvision.models.get_model(kind, weights=None)
    try:
        parts = plan(module, init.SCHEMES[name])
    except ValueError as error:
        refused = {"fixup", "skipinit", "rezero"} if kind == "resnet18" else {"zero_gamma"}
        assert name in refused | {"skipinit", "rezero"}
        assert len(str(error)) > 60
        return
    assert list(parts) == [n for n, _ in module.named_parameters()]
    left = {n: part.why for n, part in parts.items() if part.rule is None}
    assert set(left) == ({"class_token", "encoder.pos_embedding"} if kind == "vit_b_16" else set())
    assert all(left.values())


def test_attention_is_three_maps_with_the_fans_of_each():
    attention = nn.MultiheadAttention(64, 4)
    params = initialize(attention, HeNormal(), seeded(), bias=Normal(0.1))
    torch.testing.assert_close(
        params["in_proj_weight"].var(), torch.tensor(2 / 64), rtol=0.1, atol=0
    )
    orthogonal = initialize(attention, init.Orthogonal(), seeded())["in_proj_weight"]
    for part in orthogonal.chunk(3):
        torch.testing.assert_close(part @ part.T, torch.eye(64), atol=1e-5, rtol=0)
    assert params["in_proj_bias"].any()
    other = nn.MultiheadAttention(8, 2, kdim=6, vdim=4)
    parts = plan(other, HeNormal())
    assert [parts[f"{n}_proj_weight"].fans.fan_in for n in "qkv"] == [8, 6, 4]


def test_a_scheme_that_looks_at_data_asks_for_it():
    module = MLP((5,), inputs=4).build()
    for scheme in init.SCHEMES.values():
        if scheme.needs_batch:
            with pytest.raises(ValueError, match=r"looks at data: give batch=\(x, y\)"):
                initialize(module, scheme, seeded())


def test_schemes_train_in_a_group_with_their_rates():
    from initlab.data import Data, load
    from initlab.init.mup import MuP
    from initlab.train import SGD, Budget, fit

    model = ResidualMLP(2, 8, matrices=2, inputs=64, outputs=10, multiplier=True)
    data = load(Data("digits", train=200, test=50))
    module, batch = model.build("meta"), (data.train.x.flatten(1)[:64], data.train.y[:64])
    names = [n for n in init.SCHEMES if n not in ("zero_gamma", "mup", "mup_sgd")]
    schemes = [*map(quick, names), MuP(4, "sgd")]  # those two are for networks of width 64
    starts = [initialize(module, s, seeded(1), batch=batch) for s in schemes]
    ended = fit(
        model,
        {n: torch.stack([own[n] for own in starts]) for n in starts[0]},
        data,
        optimizer=SGD(0.05),
        budget=Budget(epochs=2, batch_size=50),
        order=seeded(2),
        rates=[s.rates(module) for s in schemes],
    )
    assert len(ended) == len(schemes)
    diverged = [s.label for s, o in zip(schemes, ended, strict=True) if o.diverged]
    assert diverged == []
