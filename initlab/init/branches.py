"""Residual branches of any network: what is added to a shortcut.

Three ways lead to them. Blocks of attention and a feed-forward network are known by the names that
their layers have in torch, timm and transformers. All else is read off the network's own graph, as
`torch.fx` traces it from a copy without values: at each sum of two terms that come from one point,
the term that passes through more weighted layers is the branch and the other is the shortcut, be it
the identity or a projection. And a user may name them, for a network that can't be traced.
"""

from __future__ import annotations

import copy
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import fx, nn

from initlab.init.fans import NORMS, WEIGHTED
from initlab.init.kinds import Maps, roles
from initlab.init.plan import own_name

_SUMS = {operator.add, operator.iadd, torch.add, "add", "add_"}
_PRODUCTS = {operator.mul, operator.imul, torch.mul, "mul", "mul_"}
#: What may follow a branch's last layer without changing more than its scale or its shape.
_PASSED = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.Dropout3d)
_PASSED_BY_NAME = {
    *("dropout", "stochastic_depth", "contiguous", "permute", "transpose", "view", "reshape"),
    *("flatten", "unflatten", "getitem", "roll", "to", "type_as", "droppath", "stochasticdepth"),
    *("identity", "permute"),
}

#: Names of a transformer block's attention and feed-forward weights, in order, by library.
ATTENTION = (
    ("self_attn.in_proj", "self_attn.out_proj"),
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"),
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj"),
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.dense"),
    ("self_attn.qkv_proj", "self_attn.o_proj"),
    ("attn.c_attn", "attn.c_proj"),
    ("attn.qkv", "attn.proj"),
    ("attn.in_proj", "attn.out_proj"),
    (
        *("attention.self.query", "attention.self.key", "attention.self.value"),
        "attention.output.dense",
    ),
    (
        *("attention.attention.query", "attention.attention.key", "attention.attention.value"),
        "attention.output.dense",
    ),
    ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"),
    ("attention.query_key_value", "attention.dense"),
    ("self_attention.query_key_value", "self_attention.dense"),
)
CROSS = (
    ("multihead_attn.in_proj", "multihead_attn.out_proj"),
    ("encoder_attn.q_proj", "encoder_attn.k_proj", "encoder_attn.v_proj", "encoder_attn.out_proj"),
)
FEED_FORWARD = (
    ("linear1", "linear2"),
    ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
    ("mlp.gate_up_proj", "mlp.down_proj"),
    ("mlp.experts.gate_up_proj", "mlp.experts.down_proj"),
    ("block_sparse_moe.experts.gate_up_proj", "block_sparse_moe.experts.down_proj"),
    ("mlp.c_fc", "mlp.c_proj"),
    ("mlp.fc1", "mlp.fc2"),
    ("fc1", "fc2"),
    ("intermediate.dense", "output.dense"),
    ("ffn.lin1", "ffn.lin2"),
    ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
)
#: Names of the factors of their two branches.
SCALES = (
    ("ls1.gamma", "ls2.gamma"),
    ("gamma_1", "gamma_2"),
    ("lambda_1", "lambda_2"),
    ("layer_scale1.lambda1", "layer_scale2.lambda1"),
)


class Branch(NamedTuple):
    """Names of the parameters on one residual branch, in the order in which they are used.

    `norms` are the weights of normalization, `scalars` what the branch is multiplied by, a single
    number or one for each channel (layer scale), `shifts` single numbers that are added. `end` is
    what its last step is: the name of a weight, that of a normalization's weight, or the name of a
    function.
    """

    weights: tuple[str, ...]
    biases: tuple[str, ...]
    norms: tuple[str, ...]
    scalars: tuple[str, ...]
    shifts: tuple[str, ...]
    end: str


def looks_at_encoder(branch: Branch) -> bool:
    """Whether a branch is a decoder's attention to an encoder, known by its name."""
    return any(f".{names[0]}" in f".{branch.weights[0]}" for names in CROSS)


#: Branches by name: each a tuple of patterns of its weights in their order, such as
#: ("h.*.mlp.c_fc", "h.*.mlp.c_proj"), in which * is the same in all.
Named = tuple[tuple[str, ...], ...]


def branches(module: nn.Module, named: Named = ()) -> list[Branch]:
    """The residual branches of a network, in the order in which they are computed.

    Args:
        module: It is only read: what is traced is a copy without values.
        named: The branches by name, for a network of which they cannot be read off.

    Returns:
        The branches; none for a network that adds nothing to a shortcut.

    Raises:
        ValueError: For a network that `torch.fx` cannot trace, because its computation depends on
            the values of its input, and for names that fit nothing.

    >>> from initlab.models import ResNet9
    >>> branches(ResNet9(norm="none").build("meta"))[0].weights
    ('block1.layer1.conv.weight', 'block1.layer2.conv.weight')
    """
    if named:
        return _by_name(module, named)
    blocks, inside = _transformer_blocks(module)
    try:
        graph = _Tracer(blocks).trace(_on_meta(module))
    except Exception as error:  # whatever the module's own code raises when it meets a proxy
        if blocks:
            return inside
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"the residual branches of {type(module).__name__} cannot be read off: torch.fx does "
            f"not trace it ({told}); name them, branches=(('block.*.first', 'block.*.last'),): the "
            "weights of each branch in their order, * being the block"
        ) from error
    return _in_order(module, [*inside, *_traced(module, graph)])


def _in_order(module: nn.Module, found: list[Branch]) -> list[Branch]:
    position = {name: i for i, (name, _) in enumerate(module.named_parameters())}
    return sorted(found, key=lambda branch: position.get(branch.weights[0], 0))


def _on_meta(module: nn.Module) -> nn.Module:
    """A copy without values, so that code of the module's own changes nothing of it."""
    memo: dict[int, Any] = {}
    for t in (*module.parameters(), *module.buffers()):
        empty = torch.empty_like(t, device="meta")
        is_parameter = isinstance(t, nn.Parameter)
        memo[id(t)] = nn.Parameter(empty, t.requires_grad) if is_parameter else empty
    return copy.deepcopy(module, memo)


class _Tracer(fx.Tracer):
    """Does not look into layers with weights, be they torch's or somebody's own kind of these, nor
    into blocks that are known.
    """

    def __init__(self, blocks: Iterable[str]) -> None:
        super().__init__()
        self.blocks = set(blocks)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        known = isinstance(m, WEIGHTED) or module_qualified_name in self.blocks
        return known or super().is_leaf_module(m, module_qualified_name)


# By name


def _modules(module: nn.Module) -> dict[str, nn.Module]:
    """Every module by each of its paths; the network itself has the empty one."""
    return dict(module.named_modules(remove_duplicate=False))


def _weight(modules: Mapping[str, nn.Module], layer: str) -> str | None:
    """The parameter that is the weight of a layer, or of that name itself."""
    for name in (f"{layer}.weight", f"{layer}_weight", layer):
        path, _, last = name.rpartition(".")
        if path in modules and modules[path]._parameters.get(last) is not None:
            return own_name(modules[""], name)
    return None


def _plain(module: nn.Module, weights: Sequence[str], scales: Sequence[str] = ()) -> Branch:
    names = dict(module.named_parameters())
    biases = [re.sub("weight$", "bias", name) for name in weights]
    return Branch(
        tuple(weights), tuple(b for b in biases if b in names), (), tuple(scales), (), weights[-1]
    )


def _transformer_blocks(module: nn.Module) -> tuple[list[str], list[Branch]]:
    """Paths of the blocks that hold attention and a feed-forward network, and their branches."""
    paths, found = [], []
    modules = _modules(module)
    for path, _ in module.named_modules():
        start = f"{path}." if path else ""

        def first(kinds: Sequence[Sequence[str]], start: str = start) -> list[str]:
            for kind in kinds:
                weights = [_weight(modules, start + name) for name in kind]
                if None not in weights:
                    return [w for w in weights if w]
            return []

        attention, after = first(ATTENTION), first(FEED_FORWARD)
        if not attention or not after:
            continue
        scales = next(
            (s for s in SCALES if all(_weight(modules, start + name) for name in s)), ((), ())
        )
        named = [[f"{start}{s}"] if s else [] for s in scales]
        paths.append(path)
        found.append(_plain(module, attention, named[0]))
        if cross := first(CROSS):
            found.append(_plain(module, cross))
        found.append(_plain(module, after, named[1]))
    return paths, found


def _by_name(module: nn.Module, named: Named) -> list[Branch]:
    """The branches that patterns name; * stands for the same in all patterns of one branch."""
    names = [f"{path}.{n}".lstrip(".") for path, m in module.named_modules() for n in m._parameters]
    modules, found = _modules(module), []
    for patterns in named:
        first = re.compile("(.+)".join(map(re.escape, patterns[0].split("*"))) + r"([._]weight)?")
        stars = [m.groups()[: patterns[0].count("*")] for n in names if (m := first.fullmatch(n))]
        if not stars:
            raise ValueError(f"{type(module).__name__} has no weight {patterns[0]!r}")
        for star in dict.fromkeys(stars):
            weights = []
            for pattern in patterns:
                parts, given = pattern.split("*"), iter(star)
                layer = parts[0] + "".join(next(given, "") + part for part in parts[1:])
                weight = _weight(modules, layer)
                if weight is None:
                    raise ValueError(f"{type(module).__name__} has no weight {layer!r}")
                weights.append(weight)
            found.append(_plain(module, weights))
    return _in_order(module, found)


# By the graph


def _traced(module: nn.Module, graph: fx.Graph) -> list[Branch]:
    position = {node: i for i, node in enumerate(graph.nodes)}
    past: dict[fx.Node, set[fx.Node]] = {}
    found = []
    for node in graph.nodes:
        past[node] = {node}.union(*(past[before] for before in node.all_input_nodes))
        terms = [a for a in node.args if isinstance(a, fx.Node)]
        if node.target not in _SUMS or len(terms) != 2 or terms[0] is terms[1]:
            continue
        one, two = terms
        shared = past[one] & past[two]
        sides = [past[one] - shared, past[two] - shared]
        counts = [sum(len(_weights(module, n)) for n in side) for side in sides]
        if shared and counts[0] != counts[1]:
            side, end = (sides[0], one) if counts[0] > counts[1] else (sides[1], two)
            found.append(_branch(module, sorted(side, key=position.__getitem__), end))
    return found


def _is_weight(module: nn.Module, name: str) -> bool:
    path, _, last = name.rpartition(".")
    role = roles(module.get_submodule(path)).get(last)
    return isinstance(role, Maps) and role.fans.fan_in != 1


def _weights(module: nn.Module, node: fx.Node) -> list[str]:
    """Names of the weights of a module that is called, or of one that is given to a function."""
    if node.op == "get_attr":
        name = str(node.target)
        known = name in dict(module.named_parameters()) and _is_weight(module, name)
        return [name] if known else []
    if node.op != "call_module":
        return []
    path, names = str(node.target), []
    for inner, layer in module.get_submodule(path).named_modules(prefix=path):
        if isinstance(layer, nn.MultiheadAttention) and layer.in_proj_weight is not None:
            names.append(f"{inner}.in_proj_weight")
        if isinstance(layer, WEIGHTED):
            names.append(f"{inner}.weight")
    return names


def _branch(module: nn.Module, nodes: list[fx.Node], end: fx.Node) -> Branch:
    names = dict(module.named_parameters())
    weights = [name for node in nodes for name in _weights(module, node)]
    biases = [name[: -len("weight")] + "bias" for name in weights]
    norms: list[str] = []
    scalars: list[str] = []
    shifts: list[str] = []
    for node in nodes:
        name = str(node.target)
        if node.op == "call_module" and _is_norm(module, node):
            norms.append(f"{name}.weight")
        elif node.op == "call_module" and (scale := _layer_scale(module.get_submodule(name))):
            scalars.append(f"{name}.{scale}")
        elif node.op == "get_attr" and name in names and not _weights(module, node):
            multiplies = all(user.target in _PRODUCTS for user in node.users)
            if multiplies:
                scalars.append(name)
            elif names[name].numel() == 1:
                shifts.append(name)
    return Branch(
        tuple(weights),
        tuple(name for name in biases if name in names),
        tuple(name for name in norms if name in names),
        tuple(scalars),
        tuple(shifts),
        _last(module, end),
    )


def _layer_scale(layer: nn.Module) -> str | None:
    """The name of the factors of a layer that does nothing but multiply by them."""
    own = [name for name, _ in layer.named_parameters()]
    return own[0] if "layerscale" in type(layer).__name__.lower() and len(own) == 1 else None


def _is_norm(module: nn.Module, node: fx.Node) -> bool:
    return isinstance(module.get_submodule(str(node.target)), NORMS)


def _last(module: nn.Module, node: fx.Node) -> str:
    """What a branch ends in, seen through factors, shifts, dropout and changes of shape."""
    while True:
        inputs = [n for n in node.all_input_nodes if n.op != "get_attr"]
        layer = module.get_submodule(str(node.target)) if node.op == "call_module" else None
        name = getattr(node.target, "__name__", str(node.target))
        scaled = node.target in _PRODUCTS | _SUMS or node.target is operator.getitem
        passed = scaled or name in _PASSED_BY_NAME or isinstance(layer, _PASSED)
        if layer is not None:
            kind = type(layer).__name__.lower()
            passed = passed or kind in _PASSED_BY_NAME or _layer_scale(layer) is not None
        if len(inputs) != 1 or not passed:
            break
        [node] = inputs
    if layer is None:
        given = [w for n in node.all_input_nodes for w in _weights(module, n) if n.op == "get_attr"]
        return given[-1] if given else name
    if weights := _weights(module, node):
        return weights[-1]
    return f"{node.target}.weight" if _is_norm(module, node) else type(layer).__name__.lower()
