"""Every method against its definition, on the parameters and buffers of a module."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from initlab.init import HeNormal, Normal, initialize
from initlab.models import MLP, ResNet9
from initlab.reinit import (
    Full,
    Head,
    LaterLayers,
    LayerWise,
    LWNorm,
    ShrinkPerturb,
    Stages,
    blocks,
    insert,
    norms,
    reinitialize,
)
from initlab.spec import from_plain, to_plain

MODEL = ResNet9(width=2, input_shape=(1, 8, 8))
METHODS = [
    ShrinkPerturb(),
    ShrinkPerturb(0.6, 0.0, 0.01),
    LayerWise(),
    LaterLayers(2),
    Head(),
    Full(),
]


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def trained(seed: int = 0) -> nn.Module:
    """A network all of whose numbers have moved."""
    g, module = generator(seed), MODEL.build()
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.copy_(torch.rand(tensor.shape, generator=g) + 0.5)
    return module


def after(method, **how) -> tuple[dict, dict, dict]:
    """The tensors of a network before, θ′, and the tensors after."""
    module = trained()
    before = {name: t.clone() for name, t in module.state_dict().items()}
    reinitialize(module, method, HeNormal(), generator(), bias=Normal(0.5), **how)
    fresh = initialize(module, HeNormal(), generator(), bias=Normal(0.5))
    return before, fresh, module.state_dict()


NAMES = [name for name, _ in MODEL.build("meta").named_parameters()]


@pytest.mark.parametrize(("keep", "mix"), [(0.4, 0.1), (0.0, 1.0), (1.0, 0.0), (0.7, 0.3)])
def test_shrink_and_perturb_mixes_every_parameter(keep, mix):
    before, fresh, now = after(ShrinkPerturb(keep, mix))
    for name in NAMES:
        torch.testing.assert_close(now[name], keep * before[name] + mix * fresh[name])
    gamma, beta = "layer1.norm.weight", "layer1.norm.bias"
    torch.testing.assert_close(now[gamma], keep * before[gamma] + mix)
    torch.testing.assert_close(now[beta], keep * before[beta])
    assert not torch.equal(fresh["head.bias"], torch.zeros(10)), "biases have a rule of their own"


def test_its_defaults_are_those_of_the_authors_code():
    assert (ShrinkPerturb().keep, ShrinkPerturb().mix) == (0.4, 0.1)
    assert ShrinkPerturb.buffers == Full.buffers == "fresh"
    assert LayerWise.buffers == LaterLayers.buffers == Head.buffers == "kept"


def test_with_noise_it_is_the_rule_of_the_paper():
    method = ShrinkPerturb(0.6, mix=0.0, noise=0.01)
    before, _, now = after(method)
    z = torch.cat([((now[n] - 0.6 * before[n]) / 0.01).flatten() for n in NAMES])
    count = len(z)
    assert abs(z.mean()) < 4 / count**0.5
    assert abs(z.var() - 1) < 4 * (2 / count) ** 0.5
    again = after(method)[2]
    assert all(torch.equal(again[name], now[name]) for name in now)


def test_layer_wise_rescales_before_the_boundary_and_redraws_after_it():
    module, start = trained(), norms(trained(5))
    start["layer1.norm.bias"] = 1e-7  # as good as zero: a bias
    before, fresh, now = after(LayerWise(), stage=2, stages=4, start_norms=start)
    boundary = 2 * 6 // 4  # ⌊g·B/G⌋ with B = 6
    new = {n for block in blocks(module)[boundary:] for n in block.parameters}
    assert {n.partition(".")[0] for n in new} == {"layer4", "block2", "head"}
    for name in NAMES:
        if name in new:
            assert torch.equal(now[name], fresh[name])
        elif name == "layer1.norm.bias":
            assert not now[name].any()
        else:
            assert now[name].norm().item() == pytest.approx(start[name], rel=1e-6)
            torch.testing.assert_close(
                now[name] / now[name].norm(), before[name] / before[name].norm()
            )
    assert set(now) - set(before) == {"layer3.act.lw_norm.mean", "layer3.act.lw_norm.std"}
    plain = after(LayerWise(rescale=False, normalize=False), stage=2, stages=4)[2]
    assert set(plain) == set(before)
    assert all(torch.equal(plain[n], before[n]) for n in NAMES if n not in new)


def test_the_boundary_moves_through_all_blocks_and_the_stem_is_kept():
    module, firsts = MODEL.build("meta"), []
    for stage in range(6):
        changes = LayerWise().changes(module, stage, 6)
        new = [n for n in NAMES if changes[n].keep == 0]
        firsts.append(new[0].rpartition(".")[0])
        assert set(changes) == set(NAMES)
    convs = ["layer2.conv", "block1.layer1.conv", "layer3.conv", "layer4.conv"]
    assert firsts == [*convs, "block2.layer1.conv", "head"]
    paths = [LayerWise().normalized(module, stage, 6) for stage in range(6)]
    assert paths == [None, "layer2.act", "block1", "layer3.act", "layer4.act", "block2"]


@pytest.mark.parametrize(
    ("method", "first"),
    [
        (LaterLayers(0, norms=True), "layer2.conv.weight"),
        (LaterLayers(4, norms=True), "block2.layer1.conv.weight"),
        (Head(), "head.weight"),
        (Full(), "layer1.conv.weight"),
    ],
)
def test_masks_redraw_from_one_parameter_on_and_leave_the_others(method, first):
    before, fresh, now = after(method)
    at = NAMES.index(first)
    assert all(torch.equal(now[n], before[n]) for n in NAMES[:at])
    assert all(torch.equal(now[n], fresh[n]) for n in NAMES[at:])


def test_later_layers_leave_normalization_alone_as_their_code_does():
    before, fresh, now = after(LaterLayers(4))
    norm = "block2.layer1.norm.weight"
    assert torch.equal(now[norm], before[norm])
    conv = "block2.layer1.conv.weight"
    assert torch.equal(now[conv], fresh[conv])
    assert torch.equal(now["head.bias"], fresh["head.bias"])


@pytest.mark.parametrize("choice", [None, "fresh", "kept"])
@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.label)
def test_running_statistics_are_fresh_or_kept(method, choice):
    how = {"stage": 1, "stages": 3, "start_norms": norms(trained())}
    before, _, now = after(method, buffers=choice, **how)
    for name in [n for n in before if n not in NAMES]:
        value = 1.0 if name.endswith("running_var") else 0.0
        fresh = (choice or method.buffers) == "fresh"
        assert torch.equal(
            now[name], torch.full_like(before[name], value) if fresh else before[name]
        )


@pytest.mark.parametrize(
    "make",
    [lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), lambda p: torch.optim.Adam(p, 0.1)],
    ids=["momentum", "adam"],
)
def test_the_optimizer_forgets_when_asked(make):
    module = nn.Linear(3, 2)
    optimizer = make(module.parameters())
    for _ in range(2):
        module(torch.ones(4, 3)).sum().backward()
        optimizer.step()
    reinitialize(module, ShrinkPerturb(), HeNormal(), generator())
    assert len(optimizer.state) == 2
    reinitialize(module, ShrinkPerturb(), HeNormal(), generator(), optimizer=optimizer)
    assert len(optimizer.state) == 0
    # It steps as a new one does.
    twin = copy.deepcopy(module)
    for m, o in ((module, optimizer), (twin, make(twin.parameters()))):
        m.zero_grad()
        m(torch.ones(4, 3)).square().sum().backward()
        o.step()
    assert torch.equal(module.weight, twin.weight)


def test_any_module_and_values_of_its_own(untouched_random_state):
    with torch.random.fork_rng():
        module, other = (
            nn.Sequential(nn.Conv1d(2, 3, 3), nn.PReLU(), nn.Flatten(), nn.LazyLinear(2))
            for _ in range(2)
        )
        for m in (module, other):
            m(torch.zeros(1, 2, 5))
    fresh = dict(other.named_parameters())
    expected = {n: 0.4 * p + 0.1 * fresh[n] for n, p in module.named_parameters()}
    with pytest.raises(ValueError, match=r"no fresh value of '1\.weight'"):  # PReLU's slope
        without = {name: p for name, p in fresh.items() if name != "1.weight"}
        reinitialize(module, ShrinkPerturb(), without, generator())
    reinitialize(module, ShrinkPerturb(), fresh, generator())
    for name, p in module.named_parameters():
        torch.testing.assert_close(p.detach(), expected[name].detach())
    for p in module[0].parameters():
        p.requires_grad_(False)
    before = module[0].weight.clone()
    reinitialize(module, Full(), fresh, generator())
    assert torch.equal(module[0].weight, before), "what does not learn is left alone"
    assert torch.equal(module[3].weight, other[3].weight)


def test_what_is_not_finite_is_forgotten():
    module = nn.Linear(2, 2)
    nn.init.constant_(module.weight, float("nan"))
    reinitialize(module, Full(), HeNormal(), generator())
    assert module.weight.isfinite().all()


def test_the_frozen_normalization_by_hand():
    norm, g = LWNorm(), generator()
    x = torch.randn(4, 3, 2, 2, generator=g) * 3 + 1
    x[:, 1] = 7.0  # a constant channel
    assert torch.equal(norm.eval()(x), x), "nothing is known yet"
    y = norm.train()(x)
    for c in (0, 2):
        values = [x[b, c, i, j].item() for b in range(4) for i in (0, 1) for j in (0, 1)]
        mean = sum(values) / 16
        std = (sum((v - mean) ** 2 for v in values) / 15) ** 0.5
        torch.testing.assert_close(y[:, c], (x[:, c] - mean) / std)
    assert not y[:, 1].any()
    other = torch.randn(5, 3, 2, 2, generator=g)
    again = norm(other)
    assert torch.equal(norm.eval()(other), again), "frozen, in training and in evaluation"
    torch.testing.assert_close(again[:, 1], other[:, 1] - 7)
    norm.reset()
    assert torch.equal(norm(other), other)
    assert not list(norm.parameters())
    with pytest.raises(ValueError, match="two or more numbers"):
        LWNorm()(torch.ones(1, 3))


def test_it_goes_with_the_module_and_earlier_ones_stay():
    module, start = MODEL.build().train(), norms(MODEL.build())
    x = torch.randn(6, 1, 8, 8, generator=generator())
    reinitialize(module, LayerWise(), HeNormal(), generator(), stage=1, stages=6, start_norms=start)
    seen = []
    module.block1.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    module(x)
    before_pool = module.layer2(module.layer1(x))
    along = (0, 2, 3)
    torch.testing.assert_close(before_pool.mean(along), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(before_pool.std(along), torch.ones(4))
    torch.testing.assert_close(module.pool2(before_pool), seen[0])
    frozen = module.layer2.act.lw_norm.mean.clone()
    twin = copy.deepcopy(module).eval()
    torch.testing.assert_close(twin(x), module.eval()(x))
    reinitialize(
        module.train(), LayerWise(), HeNormal(), generator(), stage=3, stages=6, start_norms=start
    )
    module(2 * x + 1)
    assert torch.equal(module.layer2.act.lw_norm.mean, frozen)
    assert module.layer3.act.lw_norm.mean.dim() == 4
    assert insert(module, "layer2.act") is module.layer2.act.lw_norm
    assert module.layer2.act.lw_norm.mean.dim() == 0, "inserted again, it starts again"
    assert twin.layer2.act.lw_norm.mean.dim() == 4


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.label)
def test_methods_and_stages_survive_json(method):
    stages = Stages(method, 5, teacher="with labels", labels=0.5, total="each", optimizer="kept")
    assert from_plain(to_plain(stages)) == stages
    assert method.name in stages.label


LINEAR = MLP((3,), inputs=4, outputs=2).build()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ShrinkPerturb(keep=1.5), "keep must be in [0, 1], not 1.5"),
        (lambda: ShrinkPerturb(mix=-0.1), "mix must be in [0, 1], not -0.1"),
        (lambda: ShrinkPerturb(keep="half"), "keep must be a finite number, not 'half'"),
        (lambda: ShrinkPerturb(noise=0.1), "give mix=0.0 with it, not 0.1"),
        (lambda: ShrinkPerturb(mix=0.0, noise=-1.0), "noise must be a finite number ≥ 0"),
        (lambda: LaterLayers(-1), "from_block must be ≥ 0, not -1"),
        (
            lambda: reinitialize(LINEAR, LaterLayers(1), HeNormal(), generator()),
            "from_block must be from 0 to 0, a block of Sequential after its stem, not 1",
        ),
        (lambda: Stages(Full(), 0), "count is a number of stages ≥ 1, not 0"),
        (lambda: Stages(Full(), "many"), "count must be a whole number, not 'many'"),
        (lambda: Stages("full", 2), "method must be Method(…), not 'full'"),
        (lambda: Stages(Full(), 2, optimizer="new"), "unknown optimizer 'new'; known: 'fresh',"),
        (lambda: Stages(Full(), 2, buffers="new"), "unknown buffers 'new'; known: None, 'fresh'"),
        (lambda: Stages(Full(), 2, schedule="again"), "unknown schedule 'again'; known: 'restart'"),
        (lambda: Stages(Full(), 2, teacher="yes"), "unknown teacher 'yes'; known: None, 'alone'"),
        (lambda: Stages(Full(), 2, total="all"), "unknown total 'all'; known: 'shared', 'each'"),
        (lambda: Stages(Full(), 2, labels=0.5), "labels is for stages with teacher='with labels'"),
        (
            lambda: Stages(Full(), 2, teacher="with labels", labels=-1.0),
            "the weight of their loss, ≥ 0, not -1.0",
        ),
        (lambda: Stages(Full(), 7).lengths(6), "7 stages need a budget of as many epochs, not 6"),
        (
            lambda: reinitialize(LINEAR, LayerWise(), HeNormal(), generator()),
            "Layer-wise needs to know the number of stages: give stages=…",
        ),
        (
            lambda: reinitialize(LINEAR, LayerWise(), HeNormal(), generator(), stages=2),
            "give start_norms=norms(module), taken before training",
        ),
        (
            lambda: reinitialize(LINEAR, Full(), HeNormal(), generator(), stage=2, stages=2),
            "stage must be from 0 to 1, not 2",
        ),
        (
            lambda: reinitialize(LINEAR, Full(), HeNormal(), generator(), buffers="new"),
            "unknown buffers 'new'; known: None, 'fresh', 'kept'",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(make, says):
    with pytest.raises(ValueError) as error:
        make()
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: reinitialize(MODEL, Full(), HeNormal(), generator()), "takes a torch module"),
        (lambda: reinitialize(LINEAR, "full", HeNormal(), generator()), "such as ShrinkPerturb()"),
        (lambda: reinitialize(LINEAR, Full(), HeNormal(), 3), "must be a torch.Generator, not 3"),
        (lambda: reinitialize(LINEAR, Full(), "he", generator()), "rule must be a rule"),
    ],
)
def test_what_is_of_the_wrong_kind_is_refused(make, says):
    with pytest.raises(TypeError) as error:
        make()
    assert says in str(error.value)
