"""Residual networks that start as, or close to, the identity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from initlab.init.branches import Branch, Named, branches
from initlab.init.contract import Part, Rule, Scheme, check_number
from initlab.init.fans import WEIGHTED
from initlab.init.kinds import Maps
from initlab.init.plan import own_name, plan
from initlab.init.random import Constant, Zeros
from initlab.init.variance_scaling import GlorotUniform, HeNormal
from initlab.init.wrappers import Scaled
from initlab.spec import spec

#: Functions with f(c x) = c f(x) for c ≥ 0: a factor before them is a factor behind them.
_HOMOGENEOUS = {"relu", "leaky_relu", "leakyrelu", "prelu"}


def found_branches(module: nn.Module, scheme: str, named: Named = ()) -> list[Branch]:
    """The branches of a network; raises `ValueError` where it has none."""
    found = branches(module, named)
    if not found:
        raise ValueError(
            f"{scheme} is for residual networks, but {type(module).__name__} adds nothing to a "
            "shortcut"
        )
    return found


def _set(parts: dict[str, Part], name: str, rule: Rule) -> None:
    """Give a parameter another rule, or all that make it; numbers without a rule have no fans."""
    for own in _made_of(parts, name):
        parts[own] = parts[own].by(rule)


def _made_of(parts: dict[str, Part], name: str) -> list[str]:
    """The parameters that are, or make, a weight."""
    if name in parts:
        return [name]
    start = name.removesuffix("weight")
    made = (f"{start}parametrizations.weight.", f"{start}weight_")
    found = [own for own in parts if own.startswith(made)]
    if not found:
        raise ValueError(f"there is no parameter {name!r}, which a residual branch goes through")
    return found


def scale(parts: dict[str, Part], name: str, factor: float) -> None:
    """Multiply what is drawn for a parameter, however it is drawn."""
    rule = parts[_made_of(parts, name)[0]].rule
    if rule is not None:
        _set(parts, name, Scaled(rule, factor))


def _layers(parts: dict[str, Part], names: Sequence[str]) -> int:
    """How many layers some weights are: a fused projection is as many as it has parts."""
    maps = [parts[_made_of(parts, name)[0]].maps for name in names]
    return sum(dict(m.joined).get("outputs", 1) if m and _fused(m) else 1 for m in maps)


def _fused(maps: Maps) -> bool:
    """Whether a weight is several projections of one input, and not groups of one layer."""
    return len(maps.shape) == 2


def last_weight(module: nn.Module) -> str:
    """Name of the weight of the last layer, "" without one."""
    names = [path for path, layer in module.named_modules() if isinstance(layer, WEIGHTED)]
    return own_name(module, f"{names[-1]}.weight".lstrip(".")) if names else ""


@spec
class Fixup(Scheme):
    """The rule, with every residual branch starting at zero and its weights scaled for depth.

    Of the m layers of each of L branches, the last is zero and the others are multiplied by
    L^(−1/(2m−2)); the head is zero (Zhang et al. 2019). The paper also trains single numbers: a
    factor of 1 per branch (our models have it with `multiplier=True`) and a shift of 0 before
    each layer. Those that the module has are set; those it has not cannot be added here, and its
    own biases start at zero.
    """

    rule: Rule = HeNormal()
    branches: Named = ()

    name: ClassVar[str] = "Fixup"
    layers: ClassVar[str] = "residual networks"
    source: ClassVar[str] = "zhang_2019"
    formula: ClassVar[str] = (
        r"W_{l,j} \leftarrow L^{-1/(2m-2)}\, W_{l,j}\; (j < m), \quad W_{l,m} = 0,\; W_{head} = 0"
    )
    preserves: ClassVar[str] = "a change of the output by one step that does not grow with depth"
    use: ClassVar[str] = "Deep residual networks without normalization."

    def plan(self, module):
        """See `Scheme.plan`; raises `ValueError` where zero weights could not be trained."""
        parts, found = plan(module, self.rule), found_branches(module, self.name, self.branches)
        for branch in found:
            *before, last = branch.weights
            if branch.end != last:
                raise ValueError(
                    f"{self.name} sets {last} to zero, but {branch.end} follows it in its branch, "
                    "and would pass no gradient back, or far too large a one: the branch must end "
                    "in that layer (a ResNet with norm='none', ResidualMLP with matrices=2)"
                )
            for weight in before:
                scale(parts, weight, len(found) ** (-1 / (2 * _layers(parts, before))))
            _set(parts, last, Zeros())
            for name in branch.scalars:
                _set(parts, name, Constant(1.0))
            for name in branch.shifts:
                _set(parts, name, Zeros())
        head = last_weight(module)
        tied = "tied" in parts[head].why  # zero as an embedding, too, nothing would learn
        if not tied and all(head not in branch.weights for branch in found):
            _set(parts, head, Zeros())
        return parts


@spec
class SkipInit(Scheme):
    """The rule, and one trained factor per branch that starts at `start`, zero by default.

    De & Smith 2020. The factor is the module's own (our residual models have it with
    `multiplier=True`).
    """

    rule: Rule = HeNormal()
    start: float = 0.0
    branches: Named = ()

    name: ClassVar[str] = "SkipInit"
    layers: ClassVar[str] = "residual networks"
    source: ClassVar[str] = "de_2020"
    formula: ClassVar[str] = r"x_{l+1} = x_l + \alpha_l N_l(x_l), \quad \alpha_l = 0"
    preserves: ClassVar[str] = "the signal, exactly: every block starts as its shortcut"
    use: ClassVar[str] = "Residual networks without normalization."

    def __post_init__(self) -> None:
        """Refuse what is no finite number."""
        check_number("start", self.start, negative=True)

    def plan(self, module):
        """See `Scheme.plan`; raises `ValueError` for a branch without a factor."""
        parts = plan(module, self.rule)
        for branch in found_branches(module, self.name, self.branches):
            if not branch.scalars:
                raise ValueError(
                    f"{self.name} starts a trained factor of each residual branch at "
                    f"{self.start:g}, but the branch of {branch.weights[0]} has none: build the "
                    "model with multiplier=True, or multiply the branch by an nn.Parameter of one "
                    "number"
                )
            for name in branch.scalars:
                _set(parts, name, Constant(self.start))
        return parts


@spec
class ReZero(SkipInit):
    """SkipInit by the name and with the weights of Bachlechner et al. 2021."""

    rule: Rule = GlorotUniform()

    name: ClassVar[str] = "ReZero"
    source: ClassVar[str] = "bachlechner_2021"
    preserves: ClassVar[str] = "the signal, exactly: all singular values start at 1"
    use: ClassVar[str] = "Very deep residual networks and transformers."


@spec
class ZeroGamma(Scheme):
    """The rule, with a weight of zero in the normalization that ends a residual branch.

    Goyal et al. 2017, section 5.1. Branches that end otherwise are left as they are: behind an
    activation, as in ResNet-9, a weight of zero would get no gradient.
    """

    rule: Rule = HeNormal()
    branches: Named = ()

    name: ClassVar[str] = "Zero-γ"
    layers: ClassVar[str] = "residual networks"
    source: ClassVar[str] = "goyal_2017"
    formula: ClassVar[str] = r"\gamma_{last} = 0"
    preserves: ClassVar[str] = "the signal, exactly: every block starts as its shortcut"
    use: ClassVar[str] = "Residual networks with normalization, large batches."

    def plan(self, module):
        """See `Scheme.plan`; raises `ValueError` where no branch ends in a normalization."""
        parts, found = plan(module, self.rule), found_branches(module, self.name, self.branches)
        ends = [branch.end for branch in found if branch.end in branch.norms]
        if not ends:
            raise ValueError(
                f"{self.name} needs residual branches that end in a normalization with a weight; "
                f"those of {type(module).__name__} end in {found[0].end}"
            )
        for name in ends:
            _set(parts, name, Zeros())
        return parts


@spec
class ResidualScaling(Scheme):
    """The rule, with each of the L residual branches multiplied by L^(−power).

    With 1/2 the second moment of the sum stays bounded however deep (Hayou et al. 2021;
    GPT-2 starts so); with 1 the network tends to an ordinary differential equation. What is
    multiplied is the branch's trained factor where it has one, else the last normalization's
    weight where the branch ends in one, else the last layer.

    With an `optimizer`, "sgd" or "adam", learning rates go with the depth as well, so that the best
    rate of a network of `base_depth` branches fits one of L (power 1/2: Yang et al. 2023; 1: Dey et
    al. 2025): on a branch by l^(2p−1) for SGD and l^(p−1) for Adam, and what takes the factor by
    1/l, l being L/`base_depth`. As the `rule` of `MuP` it makes a scaling of width and depth.
    """

    rule: Rule = HeNormal()
    power: float = 0.5
    branches: Named = ()
    optimizer: str | None = None
    base_depth: int = 1

    name: ClassVar[str] = "Residual scaling"
    layers: ClassVar[str] = "residual networks"
    source: ClassVar[str] = "hayou_2021"
    formula: ClassVar[str] = r"x_{l+1} = x_l + L^{-p} N_l(x_l)"
    preserves: ClassVar[str] = "the order of the second moment, whatever the depth"
    use: ClassVar[str] = "Deep residual networks and transformers; 1/2 if in doubt."

    def __post_init__(self) -> None:
        """Refuse what is no power, and optimizers that there is no table for."""
        check_number("power", self.power)
        if self.optimizer not in (None, "sgd", "adam"):
            raise ValueError(f"optimizer must be 'sgd', 'adam' or None, not {self.optimizer!r}")
        if type(self.base_depth) is not int or self.base_depth < 1:
            raise ValueError(f"base_depth must be a whole number ≥ 1, not {self.base_depth!r}")

    @property
    def label(self) -> str:
        """The name with the factor, as 1/√L, 1/L or L^-power."""
        factor = {0.5: "1/√L", 1.0: "1/L"}.get(self.power, f"L^-{self.power:g}")
        return f"Residual {factor}"

    def plan(self, module):
        """See `Scheme.plan`; raises `ValueError` where no parameter scales a branch."""
        parts, found = plan(module, self.rule), found_branches(module, self.name, self.branches)
        factor = (len(found) / self.base_depth) ** -self.power
        for branch in found:
            name = _multiplied(branch)
            if name in branch.weights:
                scale(parts, name, factor)
            else:
                _set(parts, name, Constant(factor))
        return parts

    def rates(self, module: nn.Module) -> dict[str, float]:
        """See `Scheme.rates`: none without an optimizer."""
        if self.optimizer is None:
            return {}
        found = found_branches(module, self.name, self.branches)
        depth = len(found) / self.base_depth
        p = self.power
        inside = depth ** (p - 1 if self.optimizer == "adam" else 2 * p - 1)
        rates: dict[str, float] = {}
        for branch in found:
            own = (*branch.weights, *branch.biases, *branch.norms, *branch.scalars)
            rates |= dict.fromkeys(own, inside) | {_multiplied(branch): 1 / depth}
        return rates


def _multiplied(branch: Branch) -> str:
    """The parameter that takes a branch's factor; raises `ValueError` where there is none."""
    if branch.scalars:
        return branch.scalars[-1]
    if branch.end in branch.norms:
        return branch.end
    if branch.end == branch.weights[-1] or branch.end in _HOMOGENEOUS:
        return branch.weights[-1]
    raise ValueError(
        f"nothing multiplies the residual branch of {branch.weights[0]}: it ends in "
        f"{branch.end}; build the model with multiplier=True"
    )
