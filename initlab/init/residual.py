"""Residual networks that start as, or close to, the identity."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from initlab.init.branches import Branch, branches
from initlab.init.contract import Part, Rule, Scheme, check_number
from initlab.init.fans import WEIGHTED, Fans
from initlab.init.plan import plan
from initlab.init.random import Constant, Zeros
from initlab.init.variance_scaling import GlorotUniform, HeNormal
from initlab.init.wrappers import Scaled
from initlab.spec import spec

#: Functions with f(c x) = c f(x) for c ≥ 0: a factor before them is a factor behind them.
_HOMOGENEOUS = {"relu", "leaky_relu", "leakyrelu", "prelu"}


def found_branches(module: nn.Module, scheme: str) -> list[Branch]:
    """The branches of a network; raises `ValueError` where it has none."""
    found = branches(module)
    if not found:
        raise ValueError(
            f"{scheme} is for residual networks, but {type(module).__name__} adds nothing to a "
            "shortcut"
        )
    return found


def _set(parts: dict[str, Part], name: str, rule: Rule) -> None:
    """Give a parameter another rule; numbers that no rule is for have no fans."""
    parts[name] = Part(rule, parts[name].fans or Fans(1, 1))


def last_weight(module: nn.Module) -> str:
    """Name of the weight of the last layer, "" without one."""
    names = [path for path, layer in module.named_modules() if isinstance(layer, WEIGHTED)]
    return f"{names[-1]}.weight".lstrip(".") if names else ""


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

    name: ClassVar[str] = "Fixup"
    source: ClassVar[str] = "zhang_2019"
    formula: ClassVar[str] = (
        r"W_{l,j} \leftarrow L^{-1/(2m-2)}\, W_{l,j}\; (j < m), \quad W_{l,m} = 0,\; W_{head} = 0"
    )
    preserves: ClassVar[str] = "a change of the output by one step that does not grow with depth"
    use: ClassVar[str] = "Deep residual networks without normalization."

    def plan(self, module):
        """See `Scheme.plan`; raises `ValueError` where zero weights could not be trained."""
        parts, found = plan(module, self.rule), found_branches(module, self.name)
        for branch in found:
            *before, last = branch.weights
            if branch.end != last:
                raise ValueError(
                    f"{self.name} sets {last} to zero, but {branch.end} follows it in its branch, "
                    "and would pass no gradient back, or far too large a one: the branch must end "
                    "in that layer (a ResNet with norm='none', ResidualMLP with matrices=2)"
                )
            for weight in before:
                factor = len(found) ** (-1 / (2 * len(before)))
                _set(parts, weight, Scaled(self.rule, factor))
            _set(parts, last, Zeros())
            for name in branch.scalars:
                _set(parts, name, Constant(1.0))
            for name in branch.shifts:
                _set(parts, name, Zeros())
        head = last_weight(module)
        if all(head not in branch.weights for branch in found):
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

    name: ClassVar[str] = "SkipInit"
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
        for branch in found_branches(module, self.name):
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

    name: ClassVar[str] = "Zero-γ"
    source: ClassVar[str] = "goyal_2017"
    formula: ClassVar[str] = r"\gamma_{last} = 0"
    preserves: ClassVar[str] = "the signal, exactly: every block starts as its shortcut"
    use: ClassVar[str] = "Residual networks with normalization, large batches."

    def plan(self, module):
        """See `Scheme.plan`; raises `ValueError` where no branch ends in a normalization."""
        parts, found = plan(module, self.rule), found_branches(module, self.name)
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
    """

    rule: Rule = HeNormal()
    power: float = 0.5

    name: ClassVar[str] = "Residual scaling"
    source: ClassVar[str] = "hayou_2021"
    formula: ClassVar[str] = r"x_{l+1} = x_l + L^{-p} N_l(x_l)"
    preserves: ClassVar[str] = "the order of the second moment, whatever the depth"
    use: ClassVar[str] = "Deep residual networks and transformers; 1/2 if in doubt."

    def __post_init__(self) -> None:
        """Refuse what is no power."""
        check_number("power", self.power)

    @property
    def label(self) -> str:
        """The name with the factor, as 1/√L, 1/L or L^-power."""
        factor = {0.5: "1/√L", 1.0: "1/L"}.get(self.power, f"L^-{self.power:g}")
        return f"Residual {factor}"

    def plan(self, module):
        """See `Scheme.plan`; raises `ValueError` where no parameter scales a branch."""
        parts, found = plan(module, self.rule), found_branches(module, self.name)
        factor = len(found) ** -self.power
        for branch in found:
            if branch.scalars:
                _set(parts, branch.scalars[-1], Constant(factor))
            elif branch.end in branch.norms:
                _set(parts, branch.end, Constant(factor))
            elif branch.end == branch.weights[-1] or branch.end in _HOMOGENEOUS:
                _set(parts, branch.weights[-1], Scaled(self.rule, factor))
            else:
                raise ValueError(
                    f"nothing multiplies the residual branch of {branch.weights[0]}: it ends in "
                    f"{branch.end}; build the model with multiplier=True"
                )
        return parts
