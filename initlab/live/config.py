"""What a live section is asked to train, checked."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from initlab.live.initializers import NAMES
from initlab.live.network import ACTIVATIONS, KINDS
from initlab.live.samples import SETS
from initlab.live.steps import STATES
from initlab.spec import spec

#: Least and largest value of whole numbers; the hidden layers that are rolled up are at least two.
WHOLE = {"depth": (3, 200), "width": (2, 1024), "batch": (2, 1024)}
#: Of numbers: the least value, and what they stay below.
NUMBERS = {
    "momentum": (0.0, 1.0),
    "beta1": (0.0, 1.0),
    "beta2": (0.0, 1.0),
    "eps": (0.0, float("inf")),
    "scale": (float("-inf"), float("inf")),
    "lr": (0.0, float("inf")),
    "weight_decay": (0.0, float("inf")),
    "noise": (0.0, 1.0),
}
MOST_NETWORKS = 64


def one_of(name: str, value: Any, known: Any) -> Any:
    """The value, or `ValueError` naming what is known."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"unknown {name} {value!r}; known: {', '.join(known)}")
    return value


def whole(name: str, value: Any, least: int, most: int) -> int:
    """The value as a whole number in that range, or `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ValueError(f"{name} must be a whole number, not {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{name} must be from {least} to {most}, not {value!r}")
    return int(value)


def number(name: str, value: Any) -> float:
    """The value as a finite number in the range of that name, or `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"{name} must be a finite number, not {value!r}")
    least, below = NUMBERS.get(name, (float("-inf"), float("inf")))
    if not least <= value < below:
        end = f" and < {below:g}" if isfinite(below) else ""
        raise ValueError(f"{name} must be ≥ {least:g}{end}, not {value!r}")
    return float(value)


def _only(what: str, given: Any, known: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise ValueError(f"{what} must be an object with {', '.join(known)}, not {given!r}")
    if strange := [name for name in given if name not in known]:
        raise ValueError(f"{what} has no {strange[0]!r}; known: {', '.join(known)}")
    return given


@spec
class OneNetwork:
    """What one network of a group has of its own.

    `scale` multiplies the weights that `rule` draws by `seed`; `noise` is the share of wrong
    training labels.
    """

    rule: str = "he_normal"
    scale: float = 1.0
    seed: int = 0
    lr: float = 0.01
    weight_decay: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        """Refuse unknown rules, and numbers that make no sense."""
        one_of("rule", self.rule, NAMES)
        whole("seed", self.seed, 0, 2**32 - 1)
        for name in ("scale", "lr", "weight_decay", "noise"):
            number(name, getattr(self, name))


@spec
class Config:
    """A group of networks of one shape and how they are trained; see PROTOCOL.md of the front end.

    `depth` counts hidden layers. Raises `ValueError` for anything else than what is known.
    """

    networks: tuple[OneNetwork, ...]
    data: str = "digits"
    depth: int = 10
    width: int = 64
    activation: str = "relu"
    norm: bool = False
    optimizer: str = "sgd"
    momentum: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    batch: int = 64

    def __post_init__(self) -> None:
        """Refuse unknown names, and numbers that make no sense."""
        one_of("data", self.data, SETS)
        one_of("activation", self.activation, ACTIVATIONS)
        one_of("optimizer", self.optimizer, STATES)
        if (self.activation, self.norm) not in KINDS:
            raise ValueError(
                f"there are no networks with batch normalization and {self.activation}"
            )
        for name, (least, most) in WHOLE.items():
            whole(name, getattr(self, name), least, most)
        for name in ("momentum", "beta1", "beta2", "eps"):
            number(name, getattr(self, name))
        if not 1 <= len(self.networks) <= MOST_NETWORKS:
            raise ValueError(f"a group has 1 to {MOST_NETWORKS} networks, not {len(self.networks)}")

    @classmethod
    def read(cls, message: Any) -> Config:
        """The configuration that a front end sent."""
        fields = dict(_only("config", message, cls.__dataclass_fields__))
        networks = fields.pop("networks", None)
        if not isinstance(networks, list | tuple):
            raise ValueError(f"networks must be a list, not {networks!r}")
        each = [dict(_only("a network", n, OneNetwork.__dataclass_fields__)) for n in networks]
        for given, names in ((fields, WHOLE), *((n, ("seed",)) for n in each)):
            for name in names:  # a browser's numbers are all of one kind
                if isinstance(given.get(name), float) and given[name] == given[name] // 1:
                    given[name] = int(given[name])
        return cls(networks=tuple(OneNetwork(**n) for n in each), **fields)
