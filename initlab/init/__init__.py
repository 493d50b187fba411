"""Where training starts: one rule per initializer, all with one contract."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from initlab.init.contract import Rule
from initlab.init.fans import NORMS, WEIGHTED, Fans, fans, gain, gaussian_mean
from initlab.init.random import (
    Constant,
    GlorotNormal,
    GlorotTruncated,
    GlorotUniform,
    HeNormal,
    HeTruncated,
    HeTruncatedUncorrected,
    HeUniform,
    LecunNormal,
    Normal,
    TorchDefault,
    VarianceScaling,
    Zeros,
)
from initlab.init.structured import Orthogonal

#: Every rule, by the name that a parameter or a command line uses.
RULES: dict[str, Rule] = {
    "he_normal": HeNormal(),
    "he_normal_2x": HeNormal(scale=4.0),
    "he_uniform": HeUniform(),
    "he_truncated": HeTruncated(),
    "he_truncated_uncorrected": HeTruncatedUncorrected(),
    "glorot_normal": GlorotNormal(),
    "glorot_uniform": GlorotUniform(),
    "glorot_truncated": GlorotTruncated(),
    "lecun_normal": LecunNormal(),
    "orthogonal": Orthogonal(),
    "torch_default": TorchDefault(),
    "normal": Normal(),
    "constant": Constant(),
    "zeros": Zeros(),
}


def rule(name: str) -> Rule:
    """The rule of that name; raises `ValueError` naming the known ones.

    >>> rule("he_normal")
    HeNormal(scale=2.0, mode='fan_in', distribution='normal')
    """
    if name not in RULES:
        raise ValueError(f"unknown initializer {name!r}; known: {', '.join(RULES)}")
    return RULES[name]


def initialize(
    module: nn.Module,
    rule: Rule,
    generator: torch.Generator,
    *,
    bias: Rule | None = None,
    count: int | None = None,
    device: str | torch.device = "cpu",
) -> dict[str, Tensor]:
    """New values for the weights of every linear layer and convolution, and for their biases.

    Normalization layers start as in torch, with weights of one and biases of zero, and draw
    nothing. The module is only read (it may live on the meta device); put the values in with
    `module.load_state_dict(params, strict=False)`. With `count`, that many independent networks
    are drawn at once and each tensor is (count, *shape). Biases are zero unless `bias` is given.

    Raises `TypeError` for what is no module, rule or generator, and `ValueError` for a module
    without such layers and a count below 1.

    >>> layer = nn.Linear(3, 2)
    >>> params = initialize(layer, HeNormal(), torch.Generator().manual_seed(0))
    >>> {name: tuple(p.shape) for name, p in params.items()}
    {'weight': (2, 3), 'bias': (2,)}
    """
    bias = Zeros() if bias is None else bias
    _check(module, rule, bias, generator, count)
    params: dict[str, Tensor] = {}
    for path, layer in module.named_modules():
        if isinstance(layer, WEIGHTED):
            of, rules = fans(layer), (rule, bias)
        elif isinstance(layer, NORMS):
            of, rules = Fans(1, 1), (Constant(1.0), Zeros())  # whatever the fans
        else:
            continue
        for name, how in zip(("weight", "bias"), rules, strict=True):
            tensor = getattr(layer, name)
            if tensor is None:
                continue
            drawn = how.stack(of, tuple(tensor.shape), generator, count or 1)
            value = drawn if count is not None else drawn[0]
            params[f"{path}.{name}".lstrip(".")] = value.to(device)
    if not params:
        raise ValueError(
            f"{type(module).__name__} has nothing to initialize: no linear layer and no convolution"
        )
    return params


def _check(module: object, rule: object, bias: object, generator: object, count: object) -> None:
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"initialize takes a torch module, not {module!r}; build() makes one of a model"
        )
    for name, given in (("rule", rule), ("bias", bias)):
        if not isinstance(given, Rule):
            raise TypeError(
                f"{name} must be a rule such as HeNormal(), not {given!r}; rule('he_normal') looks "
                "one up by its name"
            )
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator must be a torch.Generator, not {generator!r}; "
            "torch.Generator().manual_seed(seed) makes one"
        )
    if count is not None and (type(count) is not int or count < 1):
        raise ValueError(
            f"count must be a whole number ≥ 1, or None for one network, not {count!r}"
        )


__all__ = [
    "RULES",
    "Constant",
    "Fans",
    "GlorotNormal",
    "GlorotTruncated",
    "GlorotUniform",
    "HeNormal",
    "HeTruncated",
    "HeTruncatedUncorrected",
    "HeUniform",
    "LecunNormal",
    "Normal",
    "Orthogonal",
    "Rule",
    "TorchDefault",
    "VarianceScaling",
    "Zeros",
    "fans",
    "gain",
    "gaussian_mean",
    "initialize",
    "rule",
]
