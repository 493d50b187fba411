"""Rules put together: one for each kind of layer, for single layers, times a factor."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import ClassVar

from torch import nn

from initlab.init.contract import Part, Rule, Scheme, check_number
from initlab.init.fans import CONVS, NORMS, TRANSPOSED, WEIGHTED, Fans
from initlab.init.plan import plan
from initlab.init.random import Zeros
from initlab.spec import spec

KINDS: Mapping[str, tuple[type[nn.Module], ...]] = {
    "linear": (nn.Linear,),
    "conv": (*CONVS, *TRANSPOSED),
    "embedding": (nn.Embedding,),
    "attention": (nn.MultiheadAttention,),
    "norm": NORMS,
}


@spec
class Scaled(Rule):
    """Another rule's tensor times `factor`."""

    rule: Rule
    factor: float = 1.0
    name: ClassVar[str] = "Scaled"

    @property
    def label(self) -> str:
        """The factor and the rule."""
        return f"{self.factor:g}× {self.rule.label}"

    def stack(self, fans, shape, generator, count):
        """See `Rule.stack`."""
        return self.rule.stack(fans, shape, generator, count).mul_(self.factor)

    def variance(self, fans: Fans) -> float:
        """factor² times the rule's."""
        return self.factor**2 * self.rule.variance(fans)


@spec
class For:
    """Another `rule`, or the same one times `factor`, for some layers of a `Compose`.

    `where` is a kind ("conv", "linear", "embedding", "attention", "norm"), "first" or "head" (the
    first and the last layer with weights), an index among these from 0 or from the end ("2",
    "-1"), a range of them as in Python ("1:4", "-3:"), or a path with wildcards ("layer4.*").
    `part` is "weight" or "bias".
    """

    where: str
    rule: Rule | None = None
    factor: float = 1.0
    part: str = "weight"

    def __post_init__(self) -> None:
        """Refuse what changes nothing, and other parts than weights and biases."""
        check_number("factor", self.factor, negative=True)
        if self.rule is None and self.factor == 1:
            raise ValueError(f"For({self.where!r}) changes nothing: give a rule or a factor")
        if self.part not in ("weight", "bias"):
            raise ValueError(f"part must be 'weight' or 'bias', not {self.part!r}")

    @property
    def label(self) -> str:
        """Where, and what."""
        part = "" if self.part == "weight" else " biases"
        rule = "" if self.rule is None else f" {self.rule.label}"
        return f"{self.where}{part}{rule}" + (f" × {self.factor:g}" if self.factor != 1 else "")


@spec
class Compose(Scheme):
    """`rule` for weights and `bias` for biases, except where one of `parts` says otherwise.

    Later parts go before earlier ones; factors multiply.

    >>> from initlab.init import GlorotUniform, HeNormal
    >>> some = Compose(GlorotUniform(), (For("conv", HeNormal()), For("head", Zeros())))
    >>> some.label
    'Glorot uniform; conv He normal; head Zeros'
    """

    rule: Rule
    parts: tuple[For, ...] = ()
    bias: Rule = Zeros()
    name: ClassVar[str] = "Composed"

    @property
    def label(self) -> str:
        """The rule and its exceptions."""
        return "; ".join([self.rule.label, *(part.label for part in self.parts)])

    def plan(self, module: nn.Module) -> dict[str, Part]:
        """See `Scheme.plan`; raises `ValueError` for a `where` that no layer of `module` is."""
        parts = plan(module, self.rule, self.bias)
        for own in self.parts:
            layers = _chosen(own.where, module)
            names = [n for n in parts if n.rpartition(".")[0] in layers and own.part in n]
            if not names:
                raise ValueError(
                    f"no {own.part} of {type(module).__name__} is {own.where!r}; known are "
                    f"{', '.join(KINDS)}, first, head, an index or range among its layers with "
                    "weights such as '0', '-1' or '-3:', and paths such as 'layer4.*'"
                )
            for name in names:
                before = parts[name]
                rule = own.rule or before.rule
                if rule is not None:
                    scaled = rule if own.factor == 1 else Scaled(rule, own.factor)
                    parts[name] = before._replace(rule=scaled, fans=before.fans or Fans(1, 1))
        return parts


def _chosen(where: str, module: nn.Module) -> set[str]:
    """Paths of the layers that `where` means."""
    layers = dict(module.named_modules())
    if where in KINDS:
        return {path for path, layer in layers.items() if isinstance(layer, KINDS[where])}
    weighted = [path for path, layer in layers.items() if isinstance(layer, WEIGHTED)]
    at = {"first": "0", "head": "-1"}.get(where, where)
    try:
        numbers = [int(n) if n else None for n in at.split(":")]
    except ValueError:
        return {path for path in layers if fnmatchcase(path, where)}
    if len(numbers) == 1:
        [index] = numbers
        inside = index is not None and -len(weighted) <= index < len(weighted)
        return {weighted[index]} if inside else set()  # type: ignore[index]
    return set(weighted[slice(*numbers)])
