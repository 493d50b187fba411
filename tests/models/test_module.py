"""Networks of ordinary modules: a stack gives the modules' numbers, and no state is changed."""

from __future__ import annotations

import json
from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from initlab.init import HeNormal, Normal, initialize
from initlab.measure.signal import second_moments
from initlab.models import ACTIVATIONS, DenseNet, MobileNetV2, PreActResNet18, ResNet9, ResNet18
from initlab.spec import canonical, from_plain, key, to_plain

#: The families at a small size, and the number of layers and blocks that the tap sees.
SMALL = {
    "resnet9": (ResNet9(width=4, input_shape=(2, 8, 11), outputs=3), 6),
    "resnet18": (ResNet18(width=4, input_shape=(1, 9, 8), outputs=3), 9),
    "preact": (PreActResNet18(width=4, input_shape=(3, 7, 5), outputs=2), 9),
    "mobilenet": (MobileNetV2(width=0.2, input_shape=(3, 9, 8), outputs=3), 19),
    "densenet": (DenseNet(depth=10, growth=3, input_shape=(2, 5, 8), outputs=3), 10),
    "densenet-bc": (DenseNet(16, 2, 0.5, True, input_shape=(3, 8, 8), outputs=2), 10),
}
FAMILIES = pytest.mark.parametrize("name", SMALL)
NORMS = pytest.mark.parametrize("norm", ["batch", "none"])
#: Relative to the largest output: float32 through twenty to fifty layers.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def variant(name: str, **fields):
    model = SMALL[name][0]
    return type(model)(**{**vars(model), **fields})


def drawn(model, R: int, seed: int = 0):
    """A module, and stacks of R networks' parameters and of their buffers, none of them trivial."""
    generator = torch.Generator().manual_seed(seed)
    module = model.build()
    params = initialize(module, HeNormal(), generator, bias=Normal(0.1), count=R)
    buffers = {}
    for path, layer in module.named_modules():
        if isinstance(layer, nn.BatchNorm2d):
            for parameter in ("weight", "bias"):
                noise = torch.empty(R, layer.num_features).uniform_(-0.5, 0.5, generator=generator)
                params[f"{path}.{parameter}"] += noise
            buffers[f"{path}.running_mean"] = torch.empty(R, layer.num_features).normal_(
                0, 0.3, generator=generator
            )
            buffers[f"{path}.running_var"] = torch.empty(R, layer.num_features).uniform_(
                0.5, 2, generator=generator
            )
    x = torch.empty(R, 4, *model.input_shape).normal_(generator=generator)
    return module, params, buffers, x


@torch.no_grad()
def assert_same(model, R: int = 2, seed: int = 0):
    module, params, buffers, x = drawn(model, R, seed)
    for stacks in (params, params | buffers) if buffers else (params,):
        module.train(stacks is params)
        before = {name: value.clone() for name, value in stacks.items()}
        of_own, of_shared = model.forward(stacks, x), model.forward(stacks, x[0])
        assert of_own.shape == (R, 4, model.outputs)
        for r in range(R):
            module.load_state_dict({k: v[r] for k, v in stacks.items()}, strict=False)
            for ours, inputs in ((of_own[r], x[r]), (of_shared[r], x[0])):
                theirs = module(inputs)
                size = float(theirs.abs().max())
                torch.testing.assert_close(ours / size, theirs / size, **CLOSE)
        for name, value in stacks.items():
            assert torch.equal(value, before[name]), f"{name} was changed"


@FAMILIES
@NORMS
def test_a_stack_equals_its_modules(name, norm):
    assert_same(variant(name, norm=norm))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation):
    """On one family; the property below draws family and activation together."""
    assert_same(variant("resnet9", activation=activation), R=1)


def any_of(make, smallest: int, **fields):
    """Strategy for models of one family, on images of `smallest` pixels a side or a bit more."""
    side = st.integers(smallest, smallest + 5)
    return st.builds(
        make,
        input_shape=st.tuples(st.integers(1, 4), side, side),
        outputs=st.integers(1, 4),
        activation=st.sampled_from(list(ACTIVATIONS)),
        norm=st.sampled_from(["batch", "none"]),
        **fields,
    )


ANY = st.one_of(
    any_of(ResNet9, 8, width=st.integers(1, 5)),
    any_of(ResNet18, 1, width=st.integers(1, 5)),
    any_of(PreActResNet18, 1, width=st.integers(1, 5)),
    any_of(MobileNetV2, 1, width=st.floats(0.05, 0.4)),
    any_of(
        DenseNet,
        4,
        depth=st.sampled_from([10, 16]),
        growth=st.integers(1, 4),
        compression=st.floats(0.05, 1),
        bottleneck=st.booleans(),
    ),
)


@settings(max_examples=25)
@given(model=ANY, R=st.integers(1, 3), seed=st.integers(0, 2**31))
def test_any_network_equals_its_modules(model, R, seed):
    assert_same(model, R, seed)
    assert from_plain(json.loads(canonical(model))) == model


@FAMILIES
def test_buffers_decide_what_normalization_uses(name):
    model = SMALL[name][0]
    _, params, buffers, x = drawn(model, 1)
    shifted = {k: v + 1 if k.endswith("mean") else v for k, v in buffers.items()}
    with torch.no_grad():
        evaluated = model.forward(params | buffers, x)
        assert not torch.allclose(evaluated, model.forward(params, x), rtol=0.01)
        assert not torch.allclose(evaluated, model.forward(params | shifted, x), rtol=0.01)
        # In evaluation an example does not depend on the others, in training it does.
        for stacks, alone in ((params | buffers, True), (params, False)):
            few, all_of_them = model.forward(stacks, x[:, :2]), model.forward(stacks, x)
            assert torch.allclose(few, all_of_them[:, :2], rtol=1e-4, atol=1e-4) == alone


@FAMILIES
@NORMS
def test_the_tap_sees_the_input_and_every_layer_and_block(name, norm):
    model, hidden = variant(name, norm=norm), SMALL[name][1]
    module, params, _, x = drawn(model, 3)
    seen = []
    model.forward(params, x[0], seen.append)
    assert len(seen) == hidden + 1
    torch.testing.assert_close(seen[0], x[0].movedim(0, -1).expand(3, *model.input_shape, 4))
    # What ordinary hooks on the module see.
    expected = []
    for child, layer in module.named_children():
        if child.startswith(("layer", "block")):
            layer.register_forward_hook(lambda _m, _x, out: expected.append(out))
    module.load_state_dict({k: v[2] for k, v in params.items()}, strict=False)
    module(x[0])
    for ours, theirs in zip(seen[1:], expected, strict=True):
        assert ours.shape == (3, *theirs.shape[1:], 4)
        size = float(theirs.detach().abs().max())
        torch.testing.assert_close(ours[2] / size, theirs.movedim(0, -1) / size, **CLOSE)
    assert second_moments(model, params, x).shape == (3, hidden + 1)


@FAMILIES
@NORMS
def test_initialize_gives_every_parameter(name, norm):
    module = variant(name, norm=norm).build("meta")
    params = initialize(module, HeNormal(), torch.Generator().manual_seed(0), count=2)
    assert {k: v.shape for k, v in params.items()} == {
        k: (2, *v.shape) for k, v in module.named_parameters()
    }


@FAMILIES
@NORMS
def test_depth_counts_the_weighted_layers_of_the_main_path(name, norm):
    model = variant(name, norm=norm)
    weighted = [
        path
        for path, layer in model.build("meta").named_modules()
        if isinstance(layer, (nn.Conv2d, nn.Linear)) and "shortcut" not in path
    ]
    assert model.depth == len(weighted)


@FAMILIES
def test_gradients_reach_every_parameter_of_every_network(name):
    model = SMALL[name][0]
    module, params, _, x = drawn(model, 2)
    leaves = {k: v.requires_grad_() for k, v in params.items()}
    target = torch.linspace(-1, 1, model.outputs)
    (model.forward(leaves, x) * target).square().sum().backward()
    module.load_state_dict({k: v[1].detach() for k, v in params.items()}, strict=False)
    (module(x[1]) * target).square().sum().backward()
    for k, p in module.named_parameters():
        size = float(p.grad.abs().max()) + 1e-6
        torch.testing.assert_close(leaves[k].grad[1] / size, p.grad / size, rtol=1e-3, atol=1e-3)


@FAMILIES
def test_building_and_forward_leave_the_model_a_value(name, device):
    model = SMALL[name][0]
    again = from_plain(to_plain(model))
    assert again == model
    assert key(again) == key(model)
    assert canonical(type(model)()) == f'{{"type":"{type(model).__name__}"}}'
    module = model.build(device)
    assert {p.device.type for p in module.parameters()} == {device}
    assert list(dict(module.named_children()))[-1] == "head"


@FAMILIES
def test_a_state_dict_may_be_stacked_whole(name):
    """With the counters of batch normalization, which evaluation does not ask for."""
    model = SMALL[name][0]
    module = model.build().eval()
    stacks = OrderedDict((k, v.unsqueeze(0)) for k, v in module.state_dict().items())
    x = torch.ones(2, *model.input_shape)
    with torch.no_grad():
        torch.testing.assert_close(model.forward(stacks, x)[0], module(x), **CLOSE)


def forwarded(change):
    model = ResNet9(width=1, input_shape=(1, 8, 8), outputs=2)
    _, params, buffers, _ = drawn(model, 2)
    stacks, x = params | buffers, torch.zeros(2, 3, 1, 8, 8)
    stacks, x = change(stacks, x)
    return lambda: model.forward(stacks, x)


def without(stacks, name):
    return {k: v for k, v in stacks.items() if k != name}


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ResNet9(width=0), "width must be a whole number ≥ 1, not 0"),
        (lambda: ResNet9(width=1.5), "width must be a whole number, not 1.5"),
        (lambda: ResNet18(width=-1), "width must be a whole number ≥ 1, not -1"),
        (lambda: PreActResNet18(width="8"), "width must be a whole number, not '8'"),
        (lambda: ResNet9(outputs=0), "outputs must be a whole number ≥ 1, not 0"),
        (lambda: ResNet18(outputs=None), "outputs must be a whole number, not None"),
        (lambda: ResNet18(activation="rely"), "unknown activation 'rely'; known: linear, relu"),
        (lambda: PreActResNet18(norm="layer"), "norm must be 'batch' or 'none', not 'layer'"),
        (
            lambda: ResNet9(input_shape=(3, 32, 7)),
            "ResNet9 pools an image 3 times: input_shape (3, 32, 7) is too small, the smallest is "
            "(3, 8, 8)",
        ),
        (
            lambda: DenseNet(input_shape=(1, 3, 9)),
            "DenseNet pools an image 2 times: input_shape (1, 3, 9) is too small, the smallest is "
            "(1, 4, 4)",
        ),
        (
            lambda: DenseNet(depth=41),
            "depth must be 4 + 3·n for three stages of n blocks without bottleneck, such as 7, "
            "10, 13, not 41",
        ),
        (lambda: DenseNet(depth=43, bottleneck=True), "4 + 6·n for three stages of n blocks with"),
        (lambda: DenseNet(depth=4), "such as 7, 10, 13, not 4"),
        (lambda: DenseNet(depth=40.0), "depth must be a whole number, not 40.0"),
        (lambda: DenseNet(growth=0), "growth must be a whole number ≥ 1, not 0"),
        (lambda: DenseNet(compression=0.0), "compression must be in (0, 1], not 0.0"),
        (lambda: DenseNet(compression=1.5), "compression must be in (0, 1], not 1.5"),
        (lambda: MobileNetV2(width=0), "width is a multiplier > 0, not 0"),
        (lambda: MobileNetV2(width=float("nan")), "width must be a finite number, not nan"),
        (lambda: MobileNetV2(width="1"), "width must be a finite number, not '1'"),
        (
            lambda: ResNet18(input_shape=(32, 32)),
            "a tuple of 3 values that are each a whole number, not (32, 32)",
        ),
        (lambda: ResNet18(input_shape=(0, 32, 32)), "not (0, 32, 32)"),
        (
            forwarded(lambda p, x: (p, x[0, 0])),
            "takes images of shape (1, 8, 8), (batch, channels, height, width) or with the "
            "networks before; the input has shape (1, 8, 8)",
        ),
        (forwarded(lambda p, x: (p, torch.zeros(2, 1, 8, 9))), "has shape (2, 1, 8, 9)"),
        (
            forwarded(lambda p, x: ({k: p[k] for k in p if "running" not in k}, x[:, :1])),
            "block2 has one number per channel, whose variance normalization cannot take: give two "
            "or more examples, larger images, running means and variances (evaluation), or "
            "norm='none'; the input has shape (2, 1, 1, 8, 8)",
        ),
        (forwarded(lambda p, x: (p, x[:1])), "input is for 1 networks, the parameters are of 2"),
        (
            forwarded(lambda p, x: (without(p, "head.bias"), x)),
            "1 parameters or buffers of this network are missing, such as 'head.bias'",
        ),
        (
            forwarded(lambda p, x: (without(p, "layer2.norm.running_var"), x)),
            "are missing, such as 'layer2.norm.running_var'",
        ),
        (
            forwarded(lambda p, x: ({**p, "head.scale": x}, x)),
            "are unknown, such as 'head.scale'; the names are those of build().state_dict()",
        ),
        (
            forwarded(lambda p, x: ({**p, "head.bias": p["head.bias"][:1]}, x)),
            "every parameter is (networks, *shape), but there are [1, 2] networks",
        ),
    ],
)
def test_impossible_models_and_inputs_are_refused(make, says):
    with pytest.raises(ValueError) as error:
        make()
    assert says in str(error.value)
