"""Situations in which users of other libraries were let down: each kind, over many inputs."""

from __future__ import annotations

import copy
import warnings
from itertools import pairwise
from math import log, sqrt

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

import initlab
from initlab import init, initialize_, inspect
from initlab.init import (
    GPT2,
    At,
    Compose,
    Fans,
    Fixup,
    GlorotNormal,
    HeNormal,
    Leaving,
    MuP,
    Normal,
    Orthogonal,
    Shapes,
    TruncatedNormal,
    Zeros,
    initialize,
)


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Truncated normals


@given(
    std=st.floats(1e-4, 10), cut=st.floats(1e-3, 3000), corrected=st.booleans(),
    shift=st.floats(-3, 3), seed=st.integers(0, 5),
)  # fmt: skip
def test_a_truncated_normal_is_finite_within_its_cut_and_as_wide_as_it_says(
    std, cut, corrected, shift, seed
):
    mean = shift * std * min(1.0, cut)
    rule = TruncatedNormal(std=std, cut=cut, corrected=corrected, mean=mean)
    w = rule(Fans(1, 1), (2000,), g(seed)).double()
    before = std if not corrected else std / sqrt(init.random.truncation_variance(cut))
    assert torch.isfinite(w).all()
    assert (w - mean).abs().max() <= cut * before * (1 + 1e-5) + 1e-6 * abs(mean)
    error = rule.variance(Fans(1, 1)) ** 0.5
    assert float(w.std()) == pytest.approx(error, rel=0.12)
    assert abs(float(w.mean()) - mean) < 5 * error / sqrt(2000) + 1e-6


def test_a_wide_cut_leaves_no_outlier():
    w = TruncatedNormal(std=0.001, cut=2000.0)(Fans(1, 1), (20000, 1000), g())
    assert torch.isfinite(w).all() and w.abs().max() < 0.0062


# Numbers of other types


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_modules_of_any_type_of_number(dtype):
    net = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 4)).to(dtype)
    initialize_(net, TruncatedNormal(), seed=0)
    assert float(net[0].weight.detach().float().mean()) == pytest.approx(
        0, abs=5 * 0.02 / sqrt(64 * 256)
    )
    x, y = torch.randn(8, 64, generator=g()).to(dtype), torch.arange(8) % 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a part that this type has not
        frame = inspect(net, HeNormal(), (x, y))
    assert {"forward", "backward", "loss"} <= set(frame.statistic)
    assert initialize(net, HeNormal(), g(), dtype=dtype)["0.weight"].dtype == dtype


# Gates and other maps in one tensor


@pytest.mark.parametrize("layer, gates", [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
@pytest.mark.parametrize("inputs, hidden, layers, both", [(7, 5, 1, False), (3, 4, 2, True)])
def test_each_gate_is_orthogonal(layer, gates, inputs, hidden, layers, both):
    net = layer(inputs, hidden, layers, bidirectional=both)
    start = initialize_(net, Orthogonal(), seed=0)
    assert not start.left
    for name, p in net.named_parameters():
        if name.startswith("weight_hh"):
            for W in p.detach().chunk(gates):
                assert torch.allclose(W @ W.T, torch.eye(hidden), atol=1e-5)
        if name.startswith("bias"):
            assert (p == 0).all()


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_cells_have_true_fans(cell):
    told = {r["parameter"]: r["fan_in"] for r in init.describe(cell(6, 9), HeNormal())}
    assert told["weight_ih"] == 6 and told["weight_hh"] == 9


@pytest.mark.parametrize("channels, groups", [((8, 8), 8), ((8, 16), 4), ((6, 12), 2)])
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_groups_are_maps_of_their_own(kind, channels, groups):
    """An isometry keeps the second moment of what each group sees, whatever the groups."""
    layer = kind(*channels, 3, groups=groups, bias=False)
    initialize_(layer, Orthogonal(), seed=0)
    w = layer.weight.detach()
    into = channels[0] // groups
    parts = w.chunk(groups, 0)
    for part in parts:
        matrix = (part if kind is nn.Conv2d else part.transpose(0, 1)).flatten(1)
        small = min(matrix.shape)
        own = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
        assert torch.allclose(own, torch.eye(small), atol=1e-5), into


def test_a_depthwise_convolution_keeps_the_second_moment():
    layer = nn.Conv2d(64, 64, 3, padding=1, groups=64, bias=False)
    initialize_(layer, Orthogonal(), seed=0)
    x = torch.randn(8, 64, 16, 16, generator=g())
    inner = layer(x).detach()[..., 1:-1, 1:-1]
    assert float(inner.square().mean() / x.square().mean()) == pytest.approx(1, abs=0.1)


# Frozen, tied, complex, empty, lazy


def test_what_does_not_learn_is_left_alone_and_listed():
    net = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4))
    net[0].weight.requires_grad_(False)
    before = net[0].weight.clone()
    start = initialize_(net, HeNormal(), seed=0)
    assert torch.equal(net[0].weight, before)
    assert start.left == {"0.weight": "it does not learn (requires_grad=False)"}


class Tied(nn.Module):
    def __init__(self, tied: bool = True, first: str = "wte") -> None:
        super().__init__()
        d = 64
        self.a, self.b = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
        for name in (first, "lm_head" if first == "wte" else "wte"):
            made = nn.Embedding(50, d) if name == "wte" else nn.Linear(d, 50, bias=False)
            self.add_module(name, made)
        if tied:
            self.lm_head.weight = self.wte.weight

    def forward(self, i):
        x = self.wte(i).mean(1)
        return self.lm_head(x + self.b(F.gelu(self.a(x))))


@pytest.mark.parametrize("first", ["wte", "lm_head"])
def test_a_tied_tensor_is_drawn_once_as_the_layer_that_sums_most(first):
    net = Tied(first=first)
    told = {r["parameter"]: r for r in init.describe(net, HeNormal())}
    row = told["wte.weight" if first == "wte" else "lm_head.weight"]
    assert row["fan_in"] == 64 and row["note"].startswith("tied: ")
    x, y = torch.randint(0, 50, (64, 8), generator=g()), torch.randint(0, 50, (64,), generator=g())
    for rule in (HeNormal(), GlorotNormal(), GPT2(branches=(("a", "b"),))):
        frame = inspect(net, rule, (x, y), parts=())
        assert float(frame.value.iloc[0]) == pytest.approx(log(50), abs=0.5)
    assert "lm_head.weight" not in initialize(
        Tied(), Compose(HeNormal(), (At("head", Zeros()),)), g()
    )
    assert (
        initialize(Tied(), Compose(HeNormal(), (At("head", Zeros()),)), g())["wte.weight"] == 0
    ).all()
    with pytest.raises(ValueError, match="tied"):
        initialize(net, MuP(), g())


def test_complex_weights_get_complex_draws():
    net = nn.Linear(400, 300, dtype=torch.complex64)
    initialize_(net, HeNormal(), seed=0)
    w = net.weight.detach()
    assert float(w.abs().square().mean()) == pytest.approx(2 / 400, rel=0.02)
    assert float(w.imag.square().mean()) == pytest.approx(1 / 400, rel=0.03)
    with pytest.raises(ValueError, match="complex"):
        initialize_(net, Orthogonal(), seed=0)


def test_a_lazy_layer_has_no_shape_yet():
    with pytest.raises(ValueError, match="pass one batch through the module first"):
        initialize_(nn.Sequential(nn.LazyLinear(3)), HeNormal(), seed=0)


# Nothing is left alone in silence


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(3, 5))
        self.linear = nn.Linear(5, 2)

    def forward(self, x):
        return self.linear(x @ self.kernel)


def test_what_no_rule_reaches_is_refused_by_name():
    net, before = Own(), None
    before = copy.deepcopy(net.state_dict())
    for call in (
        lambda: initialize(net, HeNormal(), g()),
        lambda: initialize_(net, HeNormal(), seed=0),
        lambda: initialize(net, HeNormal(), g(), count=2),
        lambda: initialize(net, init.LSUV(), g(), batch=(torch.ones(2, 3), torch.zeros(2).long())),
    ):
        with pytest.raises(
            ValueError, match=r"does not reach 1 parameter of Own, 15 of 27 .*kernel"
        ):
            call()
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items())
    for leave in ("kernel", "*", ("ker*",)):
        start = initialize_(net, HeNormal(), seed=0, leave=leave)
        assert start.left == {"kernel": "it was to be left alone"}
        assert torch.equal(net.kernel, before["kernel"])
    assert "kernel" in initialize(net, Compose(HeNormal(), (At("*kernel", Normal(0.1)),)), g())
    assert "kernel" not in initialize(net, Leaving(HeNormal(), ("kernel",)), g())
    with pytest.raises(ValueError, match="there is no parameter 'colonel'"):
        initialize_(net, HeNormal(), seed=0, leave="colonel")


def test_a_kind_of_layer_is_three_lines():
    class Mine(Own):
        pass

    @init.layer_kind(Mine)
    def _(layer):
        return {"kernel": init.Maps(Fans(3, 5), (5, 3), "io")}

    start = initialize_(Mine(), Orthogonal(), seed=0)
    assert start.set["kernel"] == "Orthogonal"


NORMS = (
    nn.RMSNorm(6), nn.LayerNorm(6), nn.BatchNorm1d(6), nn.SyncBatchNorm(6), nn.GroupNorm(2, 6),
    nn.InstanceNorm1d(6, affine=True),
)  # fmt: skip


@pytest.mark.parametrize("norm", NORMS, ids=lambda n: type(n).__name__)
def test_every_normalization_starts_at_one_and_zero(norm):
    net = nn.Sequential(nn.Linear(6, 6), copy.deepcopy(norm))
    with torch.no_grad():
        for p in net.parameters():
            p.fill_(float("nan"))
    assert not initialize_(net, HeNormal(), seed=0).left
    assert (net[1].weight == 1).all()
    assert getattr(net[1], "bias", None) is None or (net[1].bias == 0).all()


def test_running_statistics_start_anew():
    net = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
    net(torch.randn(64, 8, generator=g()) * 5 + 3)
    net.load_state_dict(initialize(net, HeNormal(), g()), strict=False)
    assert (net[1].running_mean == 0).all() and (net[1].running_var == 1).all()
    assert net[1].num_batches_tracked == 0


# Weights that are made of others


@pytest.mark.parametrize(
    "wrap",
    [
        parametrizations.weight_norm, parametrizations.spectral_norm, parametrizations.orthogonal,
        nn.utils.weight_norm, nn.utils.spectral_norm,
    ],
    ids=["weight norm", "spectral norm", "orthogonal", "old weight norm", "old spectral norm"],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
def test_parametrized_weights_are_what_the_rule_draws(wrap):
    layer = nn.Linear(12, 8)
    wrapped = wrap(copy.deepcopy(layer))
    before = copy.deepcopy(wrapped.state_dict())
    start = initialize_(wrapped, HeNormal(), seed=3)
    assert not start.left
    assert any(not torch.equal(t, before[n]) for n, t in wrapped.state_dict().items())
    W = wrapped.eval()(torch.eye(12)).detach().T - wrapped.bias.detach()[:, None]
    plain = initialize(layer, HeNormal(), g(3))["weight"]
    if "weight_norm" in wrap.__name__:
        assert torch.allclose(W, plain, atol=1e-6)
    elif "spectral" in wrap.__name__:
        assert torch.allclose(W, plain / torch.linalg.matrix_norm(plain, 2), rtol=2e-2, atol=2e-3)
    else:
        assert torch.allclose(W @ W.T, torch.eye(8), atol=1e-5)


# In place, anywhere


def test_one_seed_is_one_start_in_any_wrapper():
    net = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 2))
    initialize_(net, HeNormal(), seed=5)
    plain = [p.detach().clone() for p in net.parameters()]
    for wrap in (nn.DataParallel, torch.compile):
        again = copy.deepcopy(net)
        initialize_(wrap(again), HeNormal(), seed=5)
        assert all(torch.equal(a, b) for a, b in zip(plain, again.parameters(), strict=True))


def test_from_a_constructor_and_on_meta():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(16, 16), nn.RMSNorm(16), nn.Linear(16, 4))
            self.start = initialize_(self.layers, HeNormal(), seed=1)

    built = Net()
    with torch.device("meta"):
        later = Net()
    assert later.start.set == built.start.set
    later = later.to_empty(device="cpu")
    with torch.no_grad():
        for p in later.parameters():
            p.fill_(float("nan"))  # what to_empty may leave there
    initialize_(later.layers, HeNormal(), seed=1)
    assert all(
        torch.equal(a, b) for a, b in zip(built.parameters(), later.parameters(), strict=True)
    )


def test_attention_counts_as_four_layers():
    import torchvision.models as tv

    m = tv.VisionTransformer(32, 8, 12, 4, 64, 128, num_classes=4)
    parts, L = Fixup().plan(m), 24
    name = "encoder.layers.encoder_layer_0.self_attention.in_proj_weight"
    assert parts[name].rule.factor == pytest.approx(L ** (-1 / 6))
    mlp = parts["encoder.layers.encoder_layer_0.mlp.0.weight"]
    assert mlp.rule.factor == pytest.approx(L**-0.5)
    drawn = initialize(m, Fixup(rule=Orthogonal()), g(), leave="*")[name] / parts[name].rule.factor
    for part in drawn.chunk(3):
        assert torch.allclose(part @ part.T, torch.eye(64), atol=1e-5)


def test_re_initialization_of_any_layer():
    from initlab import reinitialize
    from initlab.reinit import Full

    nets = [
        nn.Sequential(nn.Linear(4, 4), nn.RMSNorm(4)), nn.Sequential(nn.LSTM(4, 4)),
    ]  # fmt: skip
    for net in nets:
        before = copy.deepcopy(net.state_dict())
        reinitialize(net, Full(), HeNormal(), g())
        assert any(not torch.equal(t, before[n]) for n, t in net.state_dict().items())
    own = Own()
    kept = own.kernel.clone()
    with pytest.warns(UserWarning, match="kernel stay as they are, for no rule draws them"):
        reinitialize(own, Full(), HeNormal(), g())
    assert torch.equal(own.kernel, kept)


# Diagnostics of networks that fail


def deep(depth: int = 60, scale: float = 40.0) -> nn.Module:
    net = nn.Sequential(
        *(m for _ in range(depth) for m in (nn.Linear(32, 32), nn.ReLU())), nn.Linear(32, 4)
    )
    initialize_(net, HeNormal(scale=scale), seed=0)
    return net


def test_a_network_that_overflows_gives_all_that_there_is():
    x, y = torch.randn(8, 32, generator=g()), torch.arange(8) % 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = inspect(deep(), None, (x, y))
    assert len(frame[frame.statistic == "forward"]) > 60
    report = initlab.diagnose(deep(), (x, y))
    assert report.first[0] == "forward" and "First non-finite value: layer" in str(report)
    bad = x.clone()
    bad[0, 0] = float("nan")
    assert "First non-finite value: the input" in str(initlab.diagnose(deep(3, 2.0), (bad, y)))


@pytest.mark.parametrize("name", ["t_fixup", "deepnorm"])
def test_a_decoder_that_looks_at_an_encoder_is_refused(name):
    net = nn.Transformer(16, 2, 2, 2, 32, batch_first=True)
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    with pytest.raises(ValueError, match=r"alone, but decoder\.layers\.0\.multihead_attn"):
        initialize_(net, init.rule(name), seed=0)
    assert all(torch.equal(p, before[n]) for n, p in net.named_parameters())
    assert initialize_(net.encoder, init.rule(name), seed=0).set


def test_dead_units_are_told_of():
    net = deep(4, 2.0)
    with torch.no_grad():
        net[2].bias.fill_(-100.0)
    report = initlab.diagnose(net, (torch.randn(16, 32, generator=g()), torch.arange(16) % 4))
    assert '100 % of the units of layer 4 (activation in "3")' in " ".join(report.findings)


@pytest.mark.parametrize(
    "phi, plain",
    [
        (lambda x: x * torch.sigmoid(x), F.silu),
        (lambda x: torch.relu(x) ** 2, lambda x: F.relu(x).square()),
        (lambda x: 0.5 * x * (1 + torch.tanh(0.79788456 * (x + 0.044715 * x**3))), F.gelu),
        (lambda x: x.clamp(-1, 1), F.hardtanh),
        (lambda x: torch.maximum(x, 0.1 * x), lambda x: F.leaky_relu(x, 0.1)),
        (lambda x: torch.where(x > 0, x, 0.2 * x), lambda x: F.leaky_relu(x, 0.2)),
    ],
    ids=["swish", "relu²", "gelu", "clamp", "maximum", "where"],
)
def test_activations_written_by_hand_are_seen_whole(phi, plain):
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(8, 16), nn.Linear(16, 3)

        def forward(self, x):
            return self.b(phi(self.a(x)))

    net = Net()
    x, y = torch.randn(32, 8, generator=g()), torch.arange(32) % 3
    frame = inspect(net, HeNormal(), (x, y), parts=("layers", "units"))
    forward = frame[frame.statistic == "forward"]
    assert forward.kind.tolist() == ["input", "linear", "activation", "linear"]
    values = initialize(net, HeNormal(), g())
    with torch.no_grad():
        h = plain(x @ values["a.weight"].T)
    assert forward.value.iloc[2] == pytest.approx(float(h.square().mean()), rel=1e-2)
    assert set(frame[frame.kind == "activation"].statistic) >= {"dead", "saturated"}


def test_curvature_is_by_all_parameters_that_learn():
    net = Own()
    x, y = torch.randn(8, 3, generator=g()), torch.arange(8) % 2
    frame = inspect(net, HeNormal(), (x, y), parts=("hessian",), products=40)
    values = dict(net.named_parameters()) | initialize(net, HeNormal(), g(), leave="*")

    def loss(flat):
        parts, at = {}, 0
        for name, p in net.named_parameters():
            parts[name] = flat[at : at + p.numel()].view_as(p)
            at += p.numel()
        return F.cross_entropy(torch.func.functional_call(net, parts, (x,)), y)

    flat = torch.cat([values[n].detach().flatten() for n, _ in net.named_parameters()])
    top = torch.linalg.eigvalsh(torch.func.hessian(loss)(flat))[-1]
    found = frame[frame.statistic == "hessian_top"].value.iloc[0]
    assert found == pytest.approx(float(top), rel=1e-3)


# μP


def test_widths_of_networks_that_begin_with_an_embedding():
    class LM(nn.Module):
        def __init__(self, d: int) -> None:
            super().__init__()
            self.wte, self.a, self.b = nn.Embedding(50, d), nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
            self.head = nn.Linear(d, 50, bias=False)

        def forward(self, i):
            x = self.wte(i)
            return self.head(x + self.b(F.gelu(self.a(x))))

    for scheme in (MuP(base_width=16), MuP(base=Shapes.of(LM(16)))):
        rates = scheme.rates(LM(64))
        assert rates["wte.weight"] == 1 and rates["a.bias"] == 1
        assert rates["a.weight"] == rates["b.weight"] == rates["head.weight"] == 0.25
    told = MuP(base_width=16, roles=(("a.weight", "input"),)).rates(LM(64))
    assert told["a.weight"] == 1 and told["b.weight"] == 0.25


# Transformers


def test_a_tied_gpt2_starts_at_the_loss_of_guessing():
    pytest.importorskip("transformers", reason="transformers is in the extra dev")
    from tests.zoo import VOCABULARY, ZOO

    kind = ZOO["gpt2"]
    nets = [kind.make() for _ in range(3)]
    for seed, net in enumerate(nets):
        initialize_(net.eval(), GPT2(), seed=seed)
        x = kind.inputs(16)
        with torch.no_grad():
            out = net(x).logits
        targets = torch.randint(VOCABULARY, x.shape, generator=g(9))
        loss = F.cross_entropy(out.flatten(0, 1), targets.flatten())
        assert float(loss) == pytest.approx(log(VOCABULARY), abs=0.1)


@pytest.mark.parametrize("name", ["gpt2", "llama", "opt", "bert", "vit", "mixtral"])
def test_what_ends_a_branch_of_a_transformer_is_divided_by_the_root_of_their_number(name):
    for library in ("transformers", "timm"):
        pytest.importorskip(library, reason=f"{library} is in the extra dev")
    from tests.zoo import DEPTH, ZOO

    told = {r["parameter"]: r["variance"] for r in init.describe(ZOO[name].make(), GPT2())}
    small = [n for n, v in told.items() if v == pytest.approx(0.02**2 / (2 * DEPTH))]
    assert small, told
    if name != "mixtral":  # whose experts are no layers of their own
        assert len(small) == 2 * DEPTH, small


def test_torchs_own_encoder_has_branches():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    net = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
    assert len(init.branches.branches(net)) == 6
    for scheme in (Fixup(), init.DeepNorm(), init.TFixup(), init.IDInit(), GPT2()):
        assert not initialize_(net, scheme, seed=0).left
    parts = init.DeepNorm().plan(net)
    assert parts["layers.0.self_attn.in_proj_weight"].rule.factors == (1.0, 1.0, 24**-0.25)
    assert parts["layers.0.linear1.weight"].rule.factor == pytest.approx(24**-0.25)
    assert init.DeepNorm().alpha(net) == pytest.approx(6**0.25)
    w = initialize(net, init.DeepNorm(), g())["layers.0.self_attn.in_proj_weight"]
    q, k, v = (float(part.square().mean()) for part in w.chunk(3))
    assert q == pytest.approx(2 / 32, rel=0.3) and k == pytest.approx(2 / 32, rel=0.3)
    assert v == pytest.approx(2 / 32 * 24**-0.5, rel=0.3)


def test_branches_can_be_named():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(
                nn.ModuleDict({"up": nn.Linear(8, 8), "down": nn.Linear(8, 8)}) for _ in range(3)
            )

        def forward(self, x):
            for block in self.blocks:
                if float(x.detach().sum()) > -1e9:  # no tracer passes here
                    x = x + block["down"](torch.relu(block["up"](x)))
            return x

    with pytest.raises(ValueError, match="name them, branches="):
        initialize_(Odd(), Fixup(), seed=0)
    named = (("blocks.*.up", "blocks.*.down"),)
    found = init.branches.branches(Odd(), named)
    assert [b.weights for b in found] == [
        (f"blocks.{i}.up.weight", f"blocks.{i}.down.weight") for i in range(3)
    ]
    net = Odd()
    initialize_(net, Fixup(branches=named), seed=0)
    x = torch.randn(2, 8, generator=g())
    assert torch.equal(net(x), x)
    with pytest.raises(ValueError, match=r"has no weight 'blocks.0.left'"):
        initialize_(net, Fixup(branches=(("blocks.*.up", "blocks.*.left"),)), seed=0)


def test_reading_branches_changes_no_buffer():
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return x + self.b(torch.relu(self.a(x)))

    net = Counts()
    assert len(init.branches.branches(net)) == 1
    assert net.calls == 0


def test_rates_of_depth_and_of_width_and_depth():
    class Res(nn.Module):
        def __init__(self, d: int, L: int) -> None:
            super().__init__()
            self.stem, self.head = nn.Linear(4, d), nn.Linear(d, 3)
            self.blocks = nn.ModuleList(
                nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, d)) for _ in range(L)
            )

        def forward(self, x):
            x = self.stem(x)
            for block in self.blocks:
                x = x + block(x)
            return self.head(x)

    for power, optimizer, inside in ((0.5, "adam", 4**-0.5), (1.0, "adam", 1.0), (0.5, "sgd", 1.0)):
        depth = init.ResidualScaling(power=power, optimizer=optimizer, base_depth=2)
        rates = depth.rates(Res(8, 8))
        assert rates["blocks.3.0.weight"] == pytest.approx(inside)
        assert rates["blocks.3.2.weight"] == pytest.approx(1 / 4)
        assert "stem.weight" not in rates
    both = MuP(rule=depth, base=Shapes.of(Res(8, 8)), optimizer="sgd")
    assert both.rates(Res(32, 8))["blocks.0.2.weight"] == pytest.approx(1 / 4)
    assert both.rates(Res(32, 8))["stem.weight"] == pytest.approx(4)
    told = both.plan(Res(32, 8))
    assert told["blocks.0.2.weight"].rule.factor == pytest.approx(0.5)
    assert told["head.weight"].rule.factor == pytest.approx(0.5)


# Theory


@pytest.mark.parametrize(
    "phi, exact",
    [
        (lambda x: x.clamp(-1, 1), 0.516058550852),
        (F.hardtanh, 0.516058550852),
        (lambda x: (x - 2).relu(), None),
        (F.hardswish, None),
    ],
)
def test_kinks_away_from_zero(phi, exact):
    import numpy as np
    from scipy import integrate

    from initlab.measure import meanfield

    def f(z):
        return float(phi(torch.tensor(z, dtype=torch.float64))) ** 2 * np.exp(-z * z / 2)

    points = [-12, -3, -1, 0, 1, 2, 3, 12]
    whole = sum(integrate.quad(f, a, b, epsabs=1e-14)[0] for a, b in pairwise(points))
    found = float(meanfield.mean_square(phi, 1.0))
    assert found == pytest.approx(whole / sqrt(2 * np.pi), abs=1e-10)
    assert exact is None or found == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("phi", ["gelu", "silu"])
def test_a_jump_is_no_edge(phi):
    from initlab.measure import meanfield

    for sigma_b in (0.1, 0.3):
        try:
            edge = meanfield.edge_of_chaos(phi, sigma_b)
        except ValueError as error:
            assert "jumps over 1" in str(error) or "is 1 for no" in str(error)
        else:
            assert meanfield.chi_1(phi, edge, sigma_b) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    "scheme",
    [
        Fixup(),
        GPT2(),
        init.TFixup(),
        init.DeepNorm(),
        Compose(HeNormal(), (At("linear", Zeros()),)),
    ],
)
def test_no_scheme_touches_what_does_not_learn(scheme):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    net = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    for name in ("layers.0.self_attn.in_proj_weight", "layers.1.linear2.weight"):
        net.get_parameter(name).requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    start = initialize_(nn.DataParallel(net), scheme, seed=0)
    assert len(start.left) == 2
    assert all(torch.equal(net.get_parameter(name), before[name]) for name in start.left)


@pytest.mark.parametrize("scheme", [init.LSUV(), init.MetaInit(steps=2), init.GradInit(steps=2)])
def test_schemes_that_look_at_data_take_several_inputs(scheme):
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, x, shift):
            return self.b(torch.tanh(self.a(x + shift)))

    x = {name: torch.randn(9, 4, generator=g(i)) for i, name in enumerate(("x", "shift"))}
    assert not initialize_(Two(), scheme, seed=0, batch=(x, torch.arange(9) % 3)).left
