"""The contract of every initialization rule, and of schemes for whole modules."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from initlab.init.fans import Fans
from initlab.init.kinds import Maps
from initlab.spec import spec


def check_number(name: str, value: Any, *, negative: bool = False) -> None:
    """Raise `ValueError` unless `value` is a finite number, and ≥ 0 unless it may be negative."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if not number or (value < 0 and not negative):
        raise ValueError(
            f"{name} must be a finite number{'' if negative else ' ≥ 0'}, not {value!r}"
        )


@spec
class Rule:
    """A frozen value; called with (fans, shape, generator) it gives a new tensor.

    A rule never changes a module and never touches the global random state. It draws on the
    CPU in float32, so that one seed gives one tensor whatever device it is moved to. It is asked
    for each linear map that a tensor holds, as (outputs, inputs, *kernel), however they are stored,
    unless its entries are independent: then for the whole tensor, which is the same.
    """

    #: Whether entries are independent of each other and of their place.
    independent: ClassVar[bool] = False

    #: The field's name of the rule, as it stands in legends.
    name: ClassVar[str] = ""
    #: What holds of its tensors: "variance" (of independent entries, as declared), "isometry" (rows
    #: or columns are orthogonal), or "fixed" (nothing is drawn).
    states: ClassVar[str] = "variance"
    #: Key of the bibliography, formula in LaTeX, what it preserves, and when to use it.
    source: ClassVar[str] = ""
    formula: ClassVar[str] = ""
    preserves: ClassVar[str] = ""
    use: ClassVar[str] = ""
    #: What of it is not as in the source, or was not seen there.
    note: ClassVar[str] = ""
    #: For which weights it is.
    layers: ClassVar[str] = "every weight"

    @property
    def label(self) -> str:
        """How figures and frames call this rule."""
        return self.name

    def __call__(self, fans: Fans, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """A tensor of `shape`."""
        return self.stack(fans, shape, generator, 1)[0]

    def stack(
        self, fans: Fans, shape: tuple[int, ...], generator: torch.Generator, count: int
    ) -> Tensor:
        """`count` independent tensors from one generator, (count, *shape)."""
        raise NotImplementedError

    def variance(self, fans: Fans) -> float:
        """The variance that each entry is declared to have, of a layer with these fans."""
        raise NotImplementedError

    def mean_square(self, fans: Fans, shape: tuple[int, ...]) -> float:
        """The mean square of the entries of one linear map, (outputs, inputs, *kernel)."""
        return self.variance(fans)


@spec
class Gained(Rule):
    """A rule that multiplies what it draws by a `gain`."""

    gain: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is no finite number."""
        check_number("gain", self.gain, negative=True)

    @property
    def label(self) -> str:
        """The name, with the gain where it is not 1."""
        return self.name if self.gain == 1 else f"{self.gain:.3g}× {self.name}"


class Part(NamedTuple):
    """What one parameter starts as.

    Drawn by `rule` with `fans`, those of one linear map that it holds, as `maps` say it holds them
    (None where it is one, or none); or left alone where the rule is None. `why` it is left alone,
    or what else there is to say of it. It is `missed` where it is left alone only because nobody
    has said what it starts as. `through` is the path of the parametrization whose values make the
    weight that is drawn.
    """

    rule: Rule | None
    fans: Fans | None
    why: str = ""
    maps: Maps | None = None
    missed: bool = False
    through: str = ""

    def by(self, rule: Rule) -> Part:
        """The same parameter under another rule; one that is left alone on purpose stays so."""
        if self.rule is None and not self.missed:
            return self
        return self._replace(rule=rule, fans=self.fans or Fans(1, 1), missed=False)


@spec
class Scheme:
    """A frozen value that says what every parameter of a module starts as.

    The module is only read. A scheme that fits what was drawn to data says so by `needs_batch`.
    """

    #: The field's name of the scheme, as it stands in legends.
    name: ClassVar[str] = ""
    #: Key of the bibliography, formula in LaTeX, what it preserves, and when to use it.
    source: ClassVar[str] = ""
    formula: ClassVar[str] = ""
    preserves: ClassVar[str] = ""
    use: ClassVar[str] = ""
    #: What of it is not as in the source, or was not seen there.
    note: ClassVar[str] = ""
    #: For which weights it is.
    layers: ClassVar[str] = "every weight"
    #: Whether `fit` looks at data.
    needs_batch: ClassVar[bool] = False
    #: Whether it is meant to set nothing.
    leaves_all: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """How figures and frames call this scheme."""
        return self.name

    def plan(self, module: nn.Module) -> dict[str, Part]:
        """What each parameter of the module starts as, by its name."""
        raise NotImplementedError

    def fit(
        self,
        module: nn.Module,
        params: Mapping[str, Tensor],
        batch: tuple[Tensor, Tensor],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """New values for one network that was drawn by the plan, from a batch (x, y)."""
        return dict(params)

    def rates(self, module: nn.Module) -> dict[str, float]:
        """What the learning rate of a parameter is multiplied by; 1 for those not named."""
        return {}
