"""Different rules for different layers of one network, as one value."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import ClassVar, TypeAlias

from torch import nn

from initlab.init.contract import Part, Rule, Scheme, check_number
from initlab.init.fans import CONVS, NORMS, TRANSPOSED, WEIGHTED
from initlab.init.plan import plan, used, weights_of
from initlab.init.variance_scaling import HeNormal
from initlab.init.wrappers import Scaled
from initlab.spec import spec

#: Kinds of layer by name.
KINDS: dict[str, tuple[type[nn.Module], ...]] = {
    "conv": (*CONVS, *TRANSPOSED),
    "linear": (nn.Linear,),
    "norm": NORMS,
    "embedding": (nn.Embedding,),
}
#: The first and the last layer that has weights to draw.
PLACES = {"first": 0, "head": -1}
#: A kind, a place, the index of a layer with weights, or a stretch of them like a slice.
Layers: TypeAlias = str | int | tuple[int, int | None]


@spec
class At:
    """What is different in some layers: another rule, a factor on what is drawn, or both; and,
    where that is asked, how fast their weights learn: `rate` times the learning rate of the others.

    `layers` is a kind ("conv", "linear", "norm", "embedding"), a place ("first", "head"), the index
    of a linear layer or convolution in the order of the module (negative from the end), a pair
    (start, stop) of them, stop None being the end, or a path with wildcards, such as "layer4.*" or
    "*cls_token", of layers or of parameters.
    """

    layers: Layers
    rule: Rule | None = None
    factor: float = 1.0
    rate: float = 1.0

    def __post_init__(self) -> None:
        """Refuse unknown layers and what is no factor."""
        check_number("factor", self.factor, negative=True)
        check_number("rate", self.rate)
        given = self.layers
        named = given in (*KINDS, *PLACES)
        if isinstance(given, str) and not named and "." not in given and "*" not in given:
            raise ValueError(
                f"layers must be one of {', '.join((*KINDS, *PLACES))}, an index, a pair of "
                f"indices or a path with wildcards, not {given!r}"
            )

    def parameters(self, module: nn.Module) -> list[str]:
        """Names of the parameters that are meant: weights of layers, and those that a pattern fits.

        Raises:
            ValueError: Where there are none.
        """
        if isinstance(self.layers, str) and self.layers in KINDS:
            kinds = KINDS[self.layers]
            paths = [path for path, layer in module.named_modules() if isinstance(layer, kinds)]
        elif isinstance(self.layers, str) and self.layers not in PLACES:
            return self._fitting(module)
        else:
            every = [path for path, layer in module.named_modules() if isinstance(layer, WEIGHTED)]
            where = PLACES[self.layers] if isinstance(self.layers, str) else self.layers
            start, stop = where if isinstance(where, tuple) else (where, where + 1 or None)
            paths = every[start:stop]
        found = [name for path in paths for name in weights_of(module, path)]
        if not found:
            raise ValueError(f"{type(module).__name__} has no layer {self.layers!r}")
        return list(dict.fromkeys(found))

    def _fitting(self, module: nn.Module) -> list[str]:
        """Weights of the layers, and parameters, whose names fit the pattern."""
        pattern = str(self.layers)
        names = [
            name
            for path, _ in module.named_modules()
            if fnmatchcase(path, pattern)
            for name in weights_of(module, path)
        ]
        whole = {use: name for name, uses in used(module).items() for use in uses}
        ends = re.compile(r"(^|\.)bias\w*$")  # biases go their own way, unless they are named
        named = [
            name
            for use, name in whole.items()
            if fnmatchcase(use, pattern) and ("bias" in pattern or not ends.search(use))
        ]
        if not (found := list(dict.fromkeys([*names, *named]))):
            raise ValueError(f"{type(module).__name__} has no layer {self.layers!r}")
        return found


@spec
class Compose(Scheme):
    """A rule for all weights, with exceptions; each exception changes what those before it say.

    >>> from initlab.init import Zeros
    >>> mixed = Compose(HeNormal(), (At("head", Zeros()), At((-3, None), factor=0.5)))
    >>> parts = mixed.plan(nn.Sequential(*(nn.Linear(2, 2) for _ in range(4))))
    >>> [parts[f"{i}.weight"].rule.label for i in range(4)]
    ['He normal', '0.5× He normal', '0.5× He normal', '0.5× Zeros']
    """

    default: Rule = HeNormal()
    exceptions: tuple[At, ...] = ()

    name: ClassVar[str] = "Composed"
    source: ClassVar[str] = "zhang_2019"
    formula: ClassVar[str] = r"W_l \sim f_l\, D_l"
    preserves: ClassVar[str] = "what its rules preserve"
    use: ClassVar[str] = "Layers that need a start of their own: a head of zeros, a scaled stretch."

    @property
    def label(self) -> str:
        """The default's label and the exceptions."""
        told = []
        for e in self.exceptions:
            factor = "" if e.factor == 1 else f"{e.factor:g}×"
            rule = e.rule.label if e.rule else ""
            rate = "" if e.rate == 1 else f"(rate {e.rate:g}×)"
            told.append(" ".join(filter(None, (str(e.layers), factor, rule, rate))))
        return "; ".join([self.default.label, *told])

    def plan(self, module: nn.Module) -> dict[str, Part]:
        """See `Scheme.plan`; raises `ValueError` for an exception without a layer."""
        parts = plan(module, self.default)
        for exception in self.exceptions:
            for name in exception.parameters(module):
                before = parts[name]
                rule = exception.rule or before.rule
                if before.rule is None and not before.missed:
                    continue  # it does not learn
                if rule is None:
                    raise ValueError(f"{name} has no rule to take a factor of: {before.why}")
                if exception.factor != 1:
                    rule = Scaled(rule, exception.factor)
                parts[name] = before.by(rule)
        return parts

    def rates(self, module: nn.Module) -> dict[str, float]:
        """See `Scheme.rates`; raises `ValueError` for an exception without a layer."""
        found: dict[str, float] = {}
        for exception in self.exceptions:
            if exception.rate != 1:
                for name in exception.parameters(module):
                    found[name] = found.get(name, 1.0) * exception.rate
        return found
