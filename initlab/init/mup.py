"""μP: weights and learning rates with which the best rate of a narrow network fits a wide one."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from math import prod, sqrt
from typing import Any, ClassVar, NamedTuple

from torch import nn

from initlab.init.contract import Part, Rule, Scheme
from initlab.init.kinds import Maps
from initlab.init.plan import own_name, plan, used
from initlab.init.variance_scaling import HeNormal
from initlab.init.wrappers import Scaled
from initlab.models.network import Network
from initlab.spec import spec

OPTIMIZERS = ("sgd", "adam")
#: What the width does to a parameter: its outputs grow, both sides do, its inputs do, or neither.
ROLES = ("input", "hidden", "output", "fixed")


class Growth(NamedTuple):
    """How many times as many inputs and outputs a parameter has as in the network of base width."""

    inputs: float
    outputs: float
    role: str


@spec
class Shapes:
    """Shapes of a network's parameters by name: what there is to know of a network of base width.

    >>> Shapes.of(nn.Linear(3, 2, bias=False))
    Shapes(items=(('weight', (2, 3)),))
    """

    items: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, module: nn.Module | Network) -> Shapes:
        """Those of a module, or of a network that is built on the meta device for it."""
        built = module.build("meta") if isinstance(module, Network) else module
        return cls(tuple((name, tuple(p.shape)) for name, p in built.named_parameters()))


@spec
class MuP(Scheme):
    """The maximal update parametrization (Yang & Hu 2021; Yang et al. 2022, table 3).

    With m = width/`base_width`, against the rule alone: weights of the output layer are divided by
    √m, and learning rates are multiplied by `rates`. At m = 1 it is the rule.

    Which layer is the input and which the output, and what m is, is told by `base`, the `Shapes` of
    the same network at base width: a side that has another size there grows. Without it the width
    is the number of units of the first layer (the size of an embedding, where that comes first),
    all embeddings and the first layer are inputs, the last layer is the output, and all others are
    taken to grow with the width on both sides. `roles` are pairs of a pattern of parameter names
    and a role ("input", "hidden", "output", "fixed") that overrule both.

    `optimizer` is "sgd" (with momentum or without) or "adam" (and AdamW, whose decay torch
    multiplies by the rate as well). `rule` may be a scheme, such as a residual one: its factors and
    rates are kept, and those of the width come on top.

    Attention's 1/√d must become 1/d in the module itself; no initialization can do that. Nor can it
    for an output layer that is tied to an embedding: that one is refused.
    """

    base_width: int = 64
    optimizer: str = "adam"
    rule: Rule | Scheme = HeNormal()
    base: Shapes | None = None
    roles: tuple[tuple[str, str], ...] = ()

    name: ClassVar[str] = "μP"
    source: ClassVar[str] = "yang_2022"
    formula: ClassVar[str] = (
        r"\operatorname{Var} W_{head} = \tfrac{g^2}{m\,n_{in}}, \quad"
        r" \eta_{Adam} = \eta\,(1, \tfrac1m, \tfrac1m), \quad \eta_{SGD} = \eta\,(m, 1, \tfrac1m)"
        r" \text{ for (first, hidden, head)}"
    )
    preserves: ClassVar[str] = "the size of every layer's change in a step, whatever the width"
    use: ClassVar[str] = (
        "Tune the learning rate on a narrow network, then train a wide one with it."
    )

    def __post_init__(self) -> None:
        """Refuse widths that are none, and optimizers and roles that there is no table for."""
        if not isinstance(self.base_width, int) or self.base_width < 1:
            raise ValueError(f"base_width must be a whole number ≥ 1, not {self.base_width!r}")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(
                f"unknown optimizer {self.optimizer!r}; known: {', '.join(OPTIMIZERS)}"
            )
        if self.base is not None and not isinstance(self.base, Shapes):
            raise ValueError(
                "base must be the shapes of the network at base width, Shapes.of(module), not "
                f"{self.base!r}"
            )
        for pair in self.roles:
            if len(pair) != 2 or pair[1] not in ROLES:
                raise ValueError(
                    f"roles must be pairs (pattern, role) with a role of {', '.join(ROLES)}, not "
                    f"{pair!r}"
                )

    @property
    def label(self) -> str:
        """The name, with SGD where the rates are its."""
        return self.name if self.optimizer == "adam" else f"{self.name} (SGD)"

    @property
    def needs_batch(self) -> bool:  # type: ignore[override]
        """Whether the scheme that it changes looks at data."""
        return isinstance(self.rule, Scheme) and self.rule.needs_batch

    def plan(self, module):
        """See `Scheme.plan`; raises `ValueError` for a network of fewer than two layers, and for
        an output layer that is tied to an embedding.
        """
        parts = plan(module, self.rule)
        for name, growth in self._growths(module).items():
            rule = parts[name].rule
            if growth.role == "output" and growth.inputs != 1 and rule is not None:
                parts[name] = parts[name].by(Scaled(rule, 1 / sqrt(growth.inputs)))
        return parts

    def fit(self, module, params, batch, generator):
        """See `Scheme.fit`."""
        if isinstance(self.rule, Scheme):
            return self.rule.fit(module, params, batch, generator)
        return dict(params)

    def multiple(self, module: nn.Module) -> float:
        """m: how many times as wide as the base the network is, by its widest growth."""
        return max((max(g.inputs, g.outputs) for g in self._growths(module).values()), default=1.0)

    def _growths(self, module: nn.Module) -> dict[str, Growth]:
        """What the width does to each parameter, by name.

        Raises:
            ValueError: For a network of fewer than two layers, shapes that are of another network,
                a pattern of `roles` that fits nothing, and a tied output layer.
        """
        parts = plan(module, HeNormal())
        by_shape = self._by_shapes(module, parts) if self.base else self._by_place(module, parts)
        for pattern, role in self.roles:
            names = [n for n in by_shape if fnmatchcase(n, pattern)]
            names = names or [own_name(module, pattern)]
            if names[0] not in by_shape:
                raise ValueError(f"{type(module).__name__} has no parameter {pattern!r}")
            for name in names:
                by_shape[name] = _as(by_shape[name], role, self._m(module, parts))
        told = {n for n in by_shape for pattern, _ in self.roles if fnmatchcase(n, pattern)}
        for name, uses in used(module).items():
            tied = len(uses) > 1 and by_shape[name].role == "output"
            if tied and by_shape[name].inputs != 1 and name not in told:
                raise ValueError(
                    f"{' and '.join(uses)} are tied: as an embedding μP leaves it as it is, as an "
                    "output it is to be smaller and slower, by the width. Multiply the logits by "
                    "base width/width in the module and say roles="
                    f"(({name!r}, 'input'),), or untie them"
                )
        return by_shape

    def _by_shapes(self, module: nn.Module, parts: Mapping[str, Part]) -> dict[str, Growth]:
        """Side by side with the shapes of the network at base width."""
        assert self.base is not None
        base, found = dict(self.base.items), {}
        for name, p in module.named_parameters():
            shape = base.get(name)
            if shape is None or len(shape) != p.dim():
                raise ValueError(
                    f"base has no parameter {name!r} of {p.dim()} axes: it must be the same "
                    "network at base width, Shapes.of(module)"
                )
            grown = [now / then if then else 1.0 for now, then in zip(p.shape, shape, strict=True)]
            maps = parts[name].maps
            if p.dim() < 2 or maps is None:
                found[name] = _growth(1.0, prod(grown))
                continue
            stack = any(axis == "stack" for axis, _ in maps.joined)
            outputs, inputs = grown[stack], prod(grown[stack + 1 :])
            turned = maps.stored == "io" or maps.fans.fan_in == 1  # as is what is looked up
            found[name] = _growth(*((outputs, inputs) if turned else (inputs, outputs)))
        return found

    def _by_place(self, module: nn.Module, parts: Mapping[str, Part]) -> dict[str, Growth]:
        """By the order of the layers."""
        m, first, head = self._m(module, parts), *_ends(module, parts)
        found = {}
        for name, p in module.named_parameters():
            layer, maps = name.rpartition(".")[0], parts[name].maps
            if name == head:
                found[name] = Growth(m, 1.0, "output")
            elif layer == head.rpartition(".")[0] or p.numel() == 1:
                found[name] = Growth(1.0, 1.0, "fixed")
            elif name == first or maps is None or maps.fans.fan_in == 1:
                found[name] = Growth(1.0, m, "input")
            else:
                found[name] = Growth(m, m, "hidden")
        return found

    def _m(self, module: nn.Module, parts: Mapping[str, Part]) -> float:
        first = parts[_ends(module, parts)[0]].maps
        assert first is not None
        if self.base:
            return max(max(g[:2]) for g in self._by_shapes(module, parts).values())
        if first.fans.fan_in == 1:
            return first.shape[1] / self.base_width
        groups = dict(first.joined)
        return first.shape[0] * groups.get("outputs", groups.get("inputs", 1)) / self.base_width

    def rates(self, module) -> dict[str, float]:
        """See `Scheme.rates`.

        Input, biases and normalization: 1 for Adam, m for SGD. Layers between: 1/m for Adam, 1 for
        SGD. The output's weight: 1/m for both. What does not grow: 1. Where inputs and outputs grow
        unequally m is that of the inputs, and SGD's rate between is outputs'/inputs' growth.
        """
        adam = self.optimizer == "adam"
        inner = self.rule.rates(module) if isinstance(self.rule, Scheme) else {}
        found = {}
        for name, (inputs, outputs, role) in self._growths(module).items():
            own = {
                "fixed": 1.0,
                "output": 1 / inputs,
                "input": 1.0 if adam else outputs,
                "hidden": 1 / inputs if adam else outputs / inputs,
            }[role]
            found[name] = own * inner.get(name, 1.0)
        return found


def _growth(inputs: float, outputs: float) -> Growth:
    if inputs != 1 and outputs != 1:
        return Growth(inputs, outputs, "hidden")
    role = "output" if inputs != 1 else "input" if outputs != 1 else "fixed"
    return Growth(inputs, outputs, role)


def _as(growth: Growth, role: str, m: float) -> Growth:
    """The growth that a role means, of a network that is m times as wide."""
    inputs, outputs = growth.inputs, growth.outputs
    return {
        "input": Growth(1.0, outputs if outputs != 1 else m, role),
        "hidden": Growth(inputs if inputs != 1 else m, outputs if outputs != 1 else m, role),
        "output": Growth(inputs if inputs != 1 else m, 1.0, role),
        "fixed": Growth(1.0, 1.0, role),
    }[role]


def _ends(module: nn.Module, parts: Mapping[str, Part]) -> tuple[str, str]:
    """Names of the first and of the last weight, in the order in which layers are registered."""
    weights = [name for name, part in parts.items() if isinstance(part.maps, Maps)]
    last = [use for use in _uses(module) if own_name(module, use) in weights]
    if len(last) < 2:
        raise ValueError(
            f"μP needs a first and a last layer, but {type(module).__name__} has {len(last)}"
        )
    return own_name(module, last[0]), own_name(module, last[-1])


def _uses(module: nn.Module) -> list[str]:
    """All names of all parameters, tied ones under each, in the order of the modules."""
    return [
        f"{path}.{name}".lstrip(".")
        for path, layer in module.named_modules()
        for name, p in layer._parameters.items()
        if p is not None
    ]


def param_groups(
    module: nn.Module, rates: Mapping[str, float], lr: float, **options: Any
) -> list[dict[str, Any]]:
    """Groups for a `torch.optim` optimizer: parameters of one multiplier together, at lr times it.

    `rates` are those of a scheme, `scheme.rates(module)`; a parameter that they do not name keeps
    `lr`. `options` (weight_decay, …) are put into every group. Raises `ValueError` for names
    that the module does not have.

    >>> net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 1))
    >>> groups = param_groups(net, MuP(base_width=4).rates(net), 0.1)
    >>> [(group["lr"], len(group["params"])) for group in groups]
    [(0.1, 4), (0.05, 2)]
    """
    named = dict(module.named_parameters())
    if unknown := sorted(set(rates) - set(named)):
        raise ValueError(
            f"rates name parameters that {type(module).__name__} does not have: "
            f"{', '.join(unknown)}"
        )
    groups: dict[float, list[nn.Parameter]] = {}
    for name, p in named.items():
        groups.setdefault(rates.get(name, 1.0), []).append(p)
    return [{"params": own, "lr": lr * rate, **options} for rate, own in groups.items()]
