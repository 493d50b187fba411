"""Where training starts: one rule per initializer, all with one contract."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from initlab.init.compose import Compose, For, Scaled
from initlab.init.contract import Batch, Part, Rule, Scheme
from initlab.init.fans import Fans, fans, gain, gaussian_mean
from initlab.init.plan import described
from initlab.init.plan import plan as plan_of_rule
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


#: Every scheme for whole networks, by name.
SCHEMES: dict[str, Scheme] = {}


def rule(name: str) -> Rule | Scheme:
    """The rule or scheme of that name; raises `ValueError` naming the known ones.

    >>> rule("he_normal")
    HeNormal(scale=2.0, mode='fan_in', distribution='normal')
    """
    known: dict[str, Rule | Scheme] = RULES | SCHEMES
    if name not in known:
        raise ValueError(f"unknown initializer {name!r}; known: {', '.join(known)}")
    return known[name]


def initialize(
    module: nn.Module,
    rule: Rule | Scheme,
    generator: torch.Generator,
    *,
    bias: Rule | None = None,
    count: int | None = None,
    device: str | torch.device = "cpu",
    batch: Batch | None = None,
) -> dict[str, Tensor]:
    """New values for the parameters of any module.

    A `Rule` draws the weight of every linear layer, convolution, embedding and attention, and
    `bias` (zero unless given) their biases; normalization layers start at one and zero. A `Scheme`
    decides about every parameter itself; one that needs data is fitted to `batch`, inputs and
    targets. Parameters that no rule is for are left out: `describe` lists them.

    The module is only read (it may live on the meta device unless the scheme is fitted); put the
    values in with `module.load_state_dict(params, strict=False)`. With `count`, that many
    independent networks are drawn at once and each tensor is (count, *shape).

    Raises `TypeError` for what is no module, rule or generator, and `ValueError` for a module
    without anything to draw, a count below 1, and a scheme whose batch or whose layers are missing.

    >>> layer = nn.Linear(3, 2)
    >>> params = initialize(layer, HeNormal(), torch.Generator().manual_seed(0))
    >>> {name: tuple(p.shape) for name, p in params.items()}
    {'weight': (2, 3), 'bias': (2,)}
    """
    _check(module, rule, bias, generator, count)
    if isinstance(rule, Scheme) and rule.needs_batch and batch is None:
        raise ValueError(f"{rule.name} is fitted to data: give batch=(inputs, targets)")
    tensors = dict(module.named_parameters())
    params: dict[str, Tensor] = {}
    for name, part in plan(module, rule, bias).items():
        if part.rule is None:
            continue
        assert part.fans is not None
        shape = tuple(tensors[name].shape)
        one = shape if part.pieces == 1 else (shape[0] // part.pieces, *shape[1:])
        pieces = [
            part.rule.stack(part.fans, one, generator, count or 1) for _ in range(part.pieces)
        ]
        drawn = torch.cat(pieces, 1) if part.pieces > 1 else pieces[0]
        if part.blank is not None:
            drawn[:, part.blank] = 0
        params[name] = drawn.to(device)
    if not params:
        raise ValueError(
            f"{type(module).__name__} has nothing to initialize: no linear layer and no convolution"
        )
    if isinstance(rule, Scheme) and type(rule).fit is not Scheme.fit:
        fitted = [
            rule.fit(module, {n: p[r] for n, p in params.items()}, batch, generator)
            for r in range(count or 1)
        ]
        params = {n: torch.stack([one[n] for one in fitted]) for n in fitted[0]}
    return params if count is not None else {n: p[0] for n, p in params.items()}


def plan(module: nn.Module, rule: Rule | Scheme, bias: Rule | None = None) -> dict[str, Part]:
    """What every parameter of a module starts as, by its path.

    Raises `ValueError` for biases beside a scheme, which decides about them itself.
    """
    if isinstance(rule, Rule):
        return plan_of_rule(module, rule, bias)
    if bias not in (None, Zeros()):
        raise ValueError(f"{rule.label} decides about biases itself: leave bias={bias!r} out")
    return rule.plan(module)


def describe(
    module: nn.Module, rule: Rule | Scheme, bias: Rule | None = None
) -> list[dict[str, Any]]:
    """One row for every parameter of a module, also of those left alone.

    Columns: `parameter`, `shape`, `kind` of layer, `start` (the rule's label, or why it is left
    alone), `fan_in`, `fan_out`, and the declared `variance`.

    >>> describe(nn.Linear(3, 2), HeNormal())[0]["start"]
    'He normal'
    """
    return described(module, plan(module, rule, bias))


def _check(module: object, rule: object, bias: object, generator: object, count: object) -> None:
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"initialize takes a torch module, not {module!r}; build() makes one of a model"
        )
    if not isinstance(rule, Rule | Scheme):
        raise TypeError(
            f"rule must be a rule such as HeNormal(), not {rule!r}; rule('he_normal') looks "
            "one up by its name"
        )
    if not isinstance(bias, Rule | None):
        raise TypeError(f"bias must be a rule such as Zeros(), not {bias!r}")
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
    "SCHEMES",
    "Batch",
    "Compose",
    "Constant",
    "Fans",
    "For",
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
    "Part",
    "Rule",
    "Scaled",
    "Scheme",
    "TorchDefault",
    "VarianceScaling",
    "Zeros",
    "describe",
    "fans",
    "gain",
    "gaussian_mean",
    "initialize",
    "plan",
    "rule",
]
