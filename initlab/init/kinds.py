"""Kinds of layer: which of a module's parameters are weights, and of which linear maps they are.

A weight's storage does not tell what it computes. Gates of a recurrent layer, projections that are
fused, groups of a convolution and experts of a mixture are maps of their own in one tensor, and
some layers store them transposed. Each kind of layer says so here, once; a rule then draws every
map by its true fans. Another kind is three lines, see `layer_kind`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from math import prod
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from initlab.init.fans import CONVS, NORMS, TRANSPOSED, Fans, fans
from initlab.models.blocks import Multiplier


class Maps(NamedTuple):
    """The linear maps that a weight holds.

    `fans` and `shape`, (outputs, inputs, kernel), are those of one map. `stored` is "oi" where the
    tensor has outputs before inputs, "io" where it is transposed. `joined` says how maps lie in the
    tensor, from the inside: pairs of an axis ("outputs" or "inputs", joined end to end; "stack", a
    new first axis) and how many. `row` stays zero: an embedding's padding.
    """

    fans: Fans
    shape: tuple[int, ...]
    stored: str = "oi"
    joined: tuple[tuple[str, int], ...] = ()
    row: int | None = None

    @property
    def number(self) -> int:
        """How many maps there are."""
        return prod(n for _, n in self.joined)

    @property
    def size(self) -> tuple[int, ...]:
        """The shape of the tensor that holds them."""
        return tuple(self.arrange(torch.empty(self.number, *self.shape, device="meta")).shape[1:])

    def split(self, parts: int) -> Maps:
        """The same tensor as `parts` maps, joined by their outputs."""
        outputs, *rest = self.shape
        one = Fans(self.fans.fan_in, self.fans.fan_out / parts)
        return self._replace(
            fans=Fans(*(int(f) if f == int(f) else f for f in one)),
            shape=(outputs // parts, *rest),
            joined=(("outputs", parts), *self.joined),
        )

    def arrange(self, maps: Tensor) -> Tensor:
        """Tensors as they are stored, (networks, …), from maps (networks · number, *shape)."""
        if self.stored == "io":
            maps = maps.transpose(1, 2)
        for axis, n in self.joined:
            maps = maps.unflatten(0, (-1, n))
            if axis != "stack":
                first = (axis == "outputs") == (self.stored == "oi")
                maps = torch.cat(maps.unbind(1), 1 if first else 2)
        return maps


class Bias(NamedTuple):
    """A bias, which the rule for biases draws; fans are those of the weight beside it."""

    fans: Fans = Fans(1, 1)


class Fixed(NamedTuple):
    """A parameter that starts at one value, whatever the rule: a scale of normalization."""

    value: float


#: What a kind of layer says of a parameter.
Role: TypeAlias = Maps | Bias | Fixed
#: Roles of a layer's own parameters, by their names in it.
Kind: TypeAlias = Callable[[Any], Mapping[str, Role]]

_KINDS: dict[type | str, Kind] = {}
#: Projections that are fused, by the layer's name: how many maps its outputs are.
FUSED = {
    **dict.fromkeys(("qkv", "qkv_proj", "to_qkv", "Wqkv", "in_proj", "query_key_value"), 3),
    **dict.fromkeys(("c_attn", "kv", "to_kv", "gate_up_proj"), 0),
}


def layer_kind(*classes: type | str) -> Callable[[Kind], Kind]:
    """Register a kind of layer: what rules are to know of parameters of these classes.

    Args:
        *classes: Classes, or their names, "package.module:Class", where nothing is to be imported
            for it. Subclasses are of the kind as well.

    Returns:
        A decorator of a function from a layer to the roles of its parameters: `Maps` for weights,
        `Bias` and `Fixed` for others. A parameter that it leaves out has no rule.

    >>> class Scaled(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.kernel = nn.Parameter(torch.empty(3, 5))
    >>> @layer_kind(Scaled)
    ... def _(layer):
    ...     return {"kernel": Maps(Fans(3, 5), (5, 3), "io")}
    >>> roles(Scaled())["kernel"].fans
    Fans(fan_in=3, fan_out=5)
    """

    def register(kind: Kind) -> Kind:
        _KINDS.update(dict.fromkeys(classes, kind))
        return kind

    return register


def roles(layer: nn.Module, name: str = "") -> Mapping[str, Role]:
    """What each of a layer's own parameters is; those without a rule are left out.

    Args:
        layer: Any module; what is in its children is theirs.
        name: The last part of its path, which tells fused projections.
    """
    for cls in type(layer).__mro__:
        kind = _KINDS.get(cls) or _KINDS.get(f"{cls.__module__}:{cls.__qualname__}")
        if kind is not None:
            found = dict(kind(layer))
            weight = found.get("weight")
            if isinstance(weight, Maps) and (parts := _fused(name, weight)) > 1:
                found["weight"] = weight.split(parts)
            return found
    if _normalizes(layer):
        return _norm_of_ones_own(layer)
    return _experts(layer)


def _fused(name: str, weight: Maps) -> int:
    """How many maps the outputs of a layer of that name are."""
    outputs, inputs, *kernel = weight.shape
    parts = FUSED.get(name, 1)
    if name == "gate_up_proj" or (parts == 0 and outputs == 2 * inputs):
        parts = 2
    elif parts == 0:
        parts = 3
    whole = name == "gate_up_proj" or outputs == parts * inputs
    return parts if whole and outputs % parts == 0 and not kernel else 1


@layer_kind(nn.Linear)
def _linear(layer: nn.Linear) -> Mapping[str, Role]:
    of = fans(layer)
    return {"weight": Maps(of, (layer.out_features, layer.in_features)), "bias": Bias(of)}


@layer_kind(*CONVS)
def _convolution(layer: nn.Conv2d) -> Mapping[str, Role]:
    of, g = fans(layer), layer.groups
    shape = (layer.out_channels // g, layer.in_channels // g, *layer.kernel_size)
    joined = (("outputs", g),) if g > 1 else ()
    return {"weight": Maps(of, shape, joined=joined), "bias": Bias(of)}


@layer_kind(*TRANSPOSED)
def _transposed(layer: nn.ConvTranspose2d) -> Mapping[str, Role]:
    of, g = fans(layer), layer.groups
    shape = (layer.out_channels // g, layer.in_channels // g, *layer.kernel_size)
    joined = (("inputs", g),) if g > 1 else ()
    return {"weight": Maps(of, shape, "io", joined), "bias": Bias(of)}


@layer_kind(nn.Bilinear)
def _bilinear(layer: nn.Bilinear) -> Mapping[str, Role]:
    one, two, out = layer.in1_features, layer.in2_features, layer.out_features
    of = Fans(one * two, out)
    return {"weight": Maps(of, (out, one, two)), "bias": Bias(of)}


@layer_kind(nn.Embedding, nn.EmbeddingBag)
def _embedding(layer: nn.Embedding) -> Mapping[str, Role]:
    # A look-up sums one term.
    shape = (layer.num_embeddings, layer.embedding_dim)
    return {"weight": Maps(Fans(1, layer.embedding_dim), shape, row=layer.padding_idx)}


@layer_kind(nn.MultiheadAttention)
def _attention(layer: nn.MultiheadAttention) -> Mapping[str, Role]:
    d = layer.embed_dim
    of = Fans(d, d)
    return {
        "in_proj_weight": Maps(of, (d, d), joined=(("outputs", 3),)),
        "in_proj_bias": Bias(of),
        "q_proj_weight": Maps(of, (d, d)),
        "k_proj_weight": Maps(Fans(layer.kdim, d), (d, layer.kdim)),
        "v_proj_weight": Maps(Fans(layer.vdim, d), (d, layer.vdim)),
    }


def _recurrence(inputs: int, hidden: int, output: int, gates: int) -> dict[str, Role]:
    """Gate by gate: what a layer or cell makes of its input, of its state, and of both."""
    joined = (("outputs", gates),) if gates > 1 else ()
    found: dict[str, Role] = {}
    for name, n in (("ih", inputs), ("hh", output)):
        of = Fans(n, hidden)
        found |= {f"weight_{name}": Maps(of, (hidden, n), joined=joined), f"bias_{name}": Bias(of)}
    return found


_GATES = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1, nn.LSTMCell: 4, nn.GRUCell: 3, nn.RNNCell: 1}


def _gates(layer: nn.Module) -> int:
    return next(n for cls, n in _GATES.items() if isinstance(layer, cls))


@layer_kind(nn.LSTM, nn.GRU, nn.RNN)
def _recurrent(layer: nn.LSTM) -> Mapping[str, Role]:
    found: dict[str, Role] = {}
    hidden, output = layer.hidden_size, layer.proj_size or layer.hidden_size
    ways = ("", "_reverse") if layer.bidirectional else ("",)
    for i in range(layer.num_layers):
        inputs = layer.input_size if i == 0 else output * len(ways)
        own = _recurrence(inputs, hidden, output, _gates(layer))
        if layer.proj_size:
            own["weight_hr"] = Maps(Fans(hidden, output), (output, hidden))
        found |= {f"{name}_l{i}{way}": role for way in ways for name, role in own.items()}
    return found


@layer_kind(nn.LSTMCell, nn.GRUCell, nn.RNNCell)
def _cell(layer: nn.LSTMCell) -> Mapping[str, Role]:
    return _recurrence(layer.input_size, layer.hidden_size, layer.hidden_size, _gates(layer))


@layer_kind(*NORMS, Multiplier)
def _norm(layer: nn.Module) -> Mapping[str, Role]:
    return {"weight": Fixed(1.0), "bias": Fixed(0.0)}


@layer_kind(nn.PReLU)
def _prelu(layer: nn.PReLU) -> Mapping[str, Role]:
    return {"weight": Fixed(float(layer.init))}


@layer_kind("transformers.pytorch_utils:Conv1D")
def _transformers_conv1d(layer: Any) -> Mapping[str, Role]:
    inputs, outputs = layer.weight.shape
    of = Fans(inputs, outputs)
    return {"weight": Maps(of, (outputs, inputs), "io"), "bias": Bias(of)}


@layer_kind("torch_geometric.nn.dense.linear:Linear")
def _geometric_linear(layer: Any) -> Mapping[str, Role]:
    inputs, outputs = int(layer.in_channels), int(layer.out_channels)
    of = Fans(inputs, outputs)
    return {"weight": Maps(of, (outputs, inputs)), "bias": Bias(of)}


@layer_kind("torch_geometric.nn.dense.linear:HeteroLinear")
def _heterogeneous_linear(layer: Any) -> Mapping[str, Role]:
    types, inputs, outputs = layer.weight.shape
    of = Fans(inputs, outputs)
    maps = Maps(of, (outputs, inputs), "io", (("stack", types),))
    return {"weight": maps, "bias": Bias(of)}


def _experts(layer: nn.Module) -> Mapping[str, Role]:
    """Experts that are stored as one tensor of three axes, as those of transformers are.

    Their module says whether a map is (outputs, inputs), or transposed, by `is_transposed`.
    """
    found: dict[str, Role] = {}
    if hasattr(layer, "is_transposed") and hasattr(layer, "num_experts"):
        stored = "io" if layer.is_transposed else "oi"
        for name, p in layer.named_parameters(recurse=False):
            if p.dim() == 3 and name.endswith("proj"):
                E, a, b = p.shape
                outputs, inputs = (b, a) if stored == "io" else (a, b)
                fused = 2 if name == "gate_up_proj" and outputs % 2 == 0 else 1
                maps = Maps(Fans(inputs, outputs), (outputs, inputs), stored)
                maps = maps.split(fused) if fused > 1 else maps
                found[name] = maps._replace(joined=(*maps.joined, ("stack", E)))
            elif name.endswith("bias"):
                found[name] = Bias()
    return found


_NORM_NAME = re.compile(r"(layer|rms|batch|group|instance).?norm|^\w*norm(2d)?$", re.IGNORECASE)


def _normalizes(layer: nn.Module) -> bool:
    """Whether a class that nobody registered is a normalization: by its name, and that its
    parameters are vectors called weight and bias.
    """
    own = dict(layer.named_parameters(recurse=False))
    named = set(own) <= {"weight", "bias"} and "weight" in own
    flat = all(p.dim() == 1 for p in own.values()) and next(layer.children(), None) is None
    return bool(_NORM_NAME.search(type(layer).__name__)) and named and flat


def _norm_of_ones_own(layer: nn.Module) -> Mapping[str, Role]:
    """One, or zero for a norm that multiplies by 1 + weight: it is asked, on a copy."""
    try:
        asked = copy.deepcopy(layer).to_empty(device="cpu").float()
        n = len(asked.get_parameter("weight"))
        with torch.no_grad():
            for p in asked.parameters():
                p.zero_()
            x = torch.linspace(-1, 2, 4 * n).reshape(4, n)
            out = asked(x)
            offset = bool(torch.isfinite(out).all() and (out != 0).any())
    except Exception:  # an image, perhaps: as almost all are
        offset = False
    return {"weight": Fixed(0.0 if offset else 1.0), "bias": Fixed(0.0)}
