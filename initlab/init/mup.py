"""μP: weights and learning rates with which the best rate of a narrow network fits a wide one."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any, ClassVar

from torch import nn

from initlab.init.contract import Part, Rule, Scheme
from initlab.init.fans import WEIGHTED
from initlab.init.plan import plan
from initlab.init.variance_scaling import HeNormal
from initlab.init.wrappers import Scaled
from initlab.spec import spec

OPTIMIZERS = ("sgd", "adam")


@spec
class MuP(Scheme):
    """The maximal update parametrization (Yang & Hu 2021; Yang et al. 2022, table 3).

    With m = width/`base_width`, against the rule alone: weights of the last layer are divided by
    √m, and learning rates are multiplied by `rates`. At m = 1 it is the rule. The width of a
    network is the number of units of its first layer; all others are taken to grow with it, the
    input and the output not. `optimizer` is "sgd" (with momentum or without) or "adam" (and
    AdamW, whose decay torch multiplies by the rate as well).

    Attention's 1/√d must become 1/d in the module itself; no initialization can do that.
    """

    base_width: int = 64
    optimizer: str = "adam"
    rule: Rule = HeNormal()

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
        """Refuse widths that are none and optimizers that there is no table for."""
        if not isinstance(self.base_width, int) or self.base_width < 1:
            raise ValueError(f"base_width must be a whole number ≥ 1, not {self.base_width!r}")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(
                f"unknown optimizer {self.optimizer!r}; known: {', '.join(OPTIMIZERS)}"
            )

    @property
    def label(self) -> str:
        """The name, with SGD where the rates are its."""
        return self.name if self.optimizer == "adam" else f"{self.name} (SGD)"

    def plan(self, module):
        """See `Scheme.plan`; raises `ValueError` for a network of fewer than two layers."""
        parts, (_, head) = plan(module, self.rule), _ends(module)
        name = f"{head}.weight"
        factor = 1 / sqrt(self.multiple(module))
        if factor != 1:
            parts[name] = Part(Scaled(self.rule, factor), parts[name].fans)
        return parts

    def multiple(self, module: nn.Module) -> float:
        """m: how many times as wide as the base the network is."""
        return _units(module.get_submodule(_ends(module)[0])) / self.base_width

    def rates(self, module) -> dict[str, float]:
        """See `Scheme.rates`.

        First layer, biases and normalization: 1 for Adam, m for SGD. Layers between: 1/m for
        Adam, 1 for SGD. The head's weight: 1/m for both. The head's bias and single numbers: 1.
        """
        m, (first, head) = self.multiple(module), _ends(module)
        adam = self.optimizer == "adam"
        found = {}
        for name, p in module.named_parameters():
            layer = name.rpartition(".")[0]
            if name == f"{head}.weight":
                found[name] = 1 / m
            elif layer == head or p.numel() == 1:
                found[name] = 1.0
            elif layer == first or p.dim() < 2 or not _hidden(module, layer):
                found[name] = 1.0 if adam else m
            else:
                found[name] = 1 / m if adam else 1.0
        return found


def _hidden(module: nn.Module, path: str) -> bool:
    """Whether both axes of a layer's weight grow with the width; those of embeddings do not."""
    return isinstance(module.get_submodule(path), (*WEIGHTED, nn.MultiheadAttention))


def _ends(module: nn.Module) -> tuple[str, str]:
    """Paths of the first and of the last layer."""
    layers = [path for path, layer in module.named_modules() if isinstance(layer, WEIGHTED)]
    if len(layers) < 2:
        raise ValueError(
            f"μP needs a first and a last layer, but {type(module).__name__} has {len(layers)}"
        )
    return layers[0], layers[-1]


def _units(layer: Any) -> int:
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


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
