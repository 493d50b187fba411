"""Where training starts: one rule per initializer, all with one contract."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from initlab.init.asbuilt import AsBuilt
from initlab.init.compose import At, Compose
from initlab.init.contract import Part, Rule, Scheme
from initlab.init.fans import Fans, derivative_gain, fans, gain, gaussian_mean
from initlab.init.fitted import LSUV, DataDependent, Whitening
from initlab.init.functional import check_batch
from initlab.init.gradinit import GradInit
from initlab.init.identity import DeltaOrthogonal, Dirac, Sparse, ZerO
from initlab.init.idinit import IDInit, PaddedIdentity
from initlab.init.mup import MuP, param_groups
from initlab.init.plan import describe, plan
from initlab.init.quotient import MetaInit, gradient_quotient
from initlab.init.random import Constant, Normal, Ones, TruncatedNormal, Uniform, Zeros
from initlab.init.residual import Fixup, ResidualScaling, ReZero, SkipInit, ZeroGamma
from initlab.init.structured import Orthogonal
from initlab.init.variance_scaling import (
    ForActivation,
    GlorotNormal,
    GlorotTruncated,
    GlorotTruncatedCorrected,
    GlorotUniform,
    HeNormal,
    HeTruncated,
    HeTruncatedUncorrected,
    HeUniform,
    LecunNormal,
    LecunTruncated,
    LecunUniform,
    TorchDefault,
    VarianceScaling,
)
from initlab.init.weightnorm import FixedLength, WeightNorm, WeightNormData
from initlab.precision import precision

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
    "glorot_truncated_corrected": GlorotTruncatedCorrected(),
    "lecun_normal": LecunNormal(),
    "lecun_uniform": LecunUniform(),
    "lecun_truncated": LecunTruncated(),
    "gelu_gain": ForActivation(),
    "tanh_gain": ForActivation(activation="tanh"),
    "variance_scaling": VarianceScaling(),
    "torch_default": TorchDefault(),
    "orthogonal": Orthogonal(),
    "delta_orthogonal": DeltaOrthogonal(),
    "dirac": Dirac(),
    "zero": ZerO(),
    "padded_identity": PaddedIdentity(),
    "sparse": Sparse(),
    "normal": Normal(),
    "truncated_normal": TruncatedNormal(),
    "uniform": Uniform(),
    "constant": Constant(0.5),
    "ones": Ones(),
    "zeros": Zeros(),
}


#: Every scheme, by the name that a parameter or a command line uses.
SCHEMES: dict[str, Scheme] = {
    "fixup": Fixup(),
    "skipinit": SkipInit(),
    "rezero": ReZero(),
    "zero_gamma": ZeroGamma(),
    "residual_root": ResidualScaling(),
    "residual_linear": ResidualScaling(power=1.0),
    "mup": MuP(),
    "mup_sgd": MuP(optimizer="sgd"),
    "lsuv": LSUV(),
    "data_dependent": DataDependent(),
    "whitening": Whitening(),
    "metainit": MetaInit(),
    "gradinit": GradInit(),
    "idinit": IDInit(),
    "weight_norm": WeightNorm(),
    "weight_norm_data": WeightNormData(),
}


def rule(name: str) -> Rule | Scheme:
    """The rule or scheme of that name; raises `ValueError` naming the known ones.

    >>> rule("he_normal")
    HeNormal(scale=2.0, mode='fan_in', distribution='normal')
    """
    known = RULES | SCHEMES
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
    batch: tuple[Tensor, Tensor] | None = None,
) -> dict[str, Tensor]:
    """New values for the parameters that the rule or scheme sets, by their names (see `plan`).

    A rule draws weights; biases are zero unless `bias` is given, and normalization layers start
    as in torch, with weights of one and biases of zero, and draw nothing. The module is only read
    (it may live on the meta device); put the values in with
    `module.load_state_dict(params, strict=False)`. With `count`, that many independent networks
    are drawn and each tensor is (count, *shape); network i is the one that a generator seeded with
    `generator.initial_seed() + i` gives alone. Some schemes look at a `batch` (x, y).

    Raises `TypeError` for what is no module, rule or generator, and `ValueError` for a module
    without anything to set, a count below 1, and a scheme that is not given the batch it needs.

    >>> layer = nn.Linear(3, 2)
    >>> params = initialize(layer, HeNormal(), torch.Generator().manual_seed(0))
    >>> {name: tuple(p.shape) for name, p in params.items()}
    {'weight': (2, 3), 'bias': (2,)}
    """
    bias = Zeros() if bias is None else bias
    _check(module, rule, bias, generator, count)
    if isinstance(rule, Scheme) and rule.needs_batch and batch is None:
        raise ValueError(
            f"{rule.label} looks at data: give initialize(…, batch=(x, y)), inputs and targets"
        )
    if count is not None:
        networks = [
            initialize(module, rule, g, bias=bias, device=device, batch=batch)
            for g in _each(generator, count)
        ]
        return {name: torch.stack([own[name] for own in networks]) for name in networks[0]}
    params = {name: t[0] for name, t in stacked(module, rule, generator, 1, bias, device).items()}
    if not isinstance(rule, Scheme) or not rule.needs_batch:
        return params
    x, y = check_batch(batch)
    here = x.to(device), y.to(device)
    with precision("float32", here[0].device):
        return rule.fit(module, params, here, generator)


def stacked(
    module: nn.Module,
    rule: Rule | Scheme,
    generator: torch.Generator,
    count: int,
    bias: Rule | None = None,
    device: str | torch.device = "cpu",
) -> dict[str, Tensor]:
    """What `count` networks start from, drawn layer by layer for all of them: fast for thousands.

    Args:
        module: It is only read.
        rule: A rule, or a scheme; what a scheme fits to data is not done.
        generator: It draws all of them, so that a network depends on how many there are.
        count: Number of networks.
        bias: Draws the biases, by default zeros.
        device: Where the tensors lie.

    Returns:
        Parameters by name, (count, *shape).

    Raises:
        ValueError: For a module without anything to set.
    """
    params: dict[str, Tensor] = {}
    for name, part in plan(module, rule, Zeros() if bias is None else bias).items():
        if part.rule is not None and part.fans is not None:
            shape = tuple(module.get_parameter(name).shape)
            params[name] = part.rule.stack(part.fans, shape, generator, count).to(device)
    if not params and not (isinstance(rule, Scheme) and rule.leaves_all):
        raise ValueError(
            f"{type(module).__name__} has nothing to initialize: no linear layer and no convolution"
        )
    return params


def _each(generator: torch.Generator, count: int) -> list[torch.Generator]:
    """Generators of the seeds from a generator's own on."""
    seed = generator.initial_seed()
    if not torch.equal(generator.get_state(), torch.Generator().manual_seed(seed).get_state()):
        raise ValueError(
            "with count, network i is drawn from the generator's seed + i, but this generator has "
            "moved on from its seed: give one that has drawn nothing yet, "
            "torch.Generator().manual_seed(seed)"
        )
    return [torch.Generator().manual_seed(seed + i) for i in range(count)]


def _check(module: object, rule: object, bias: object, generator: object, count: object) -> None:
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"initialize takes a torch module, not {module!r}; build() makes one of a model"
        )
    for name, given, kinds in (("rule", rule, (Rule, Scheme)), ("bias", bias, Rule)):
        if not isinstance(given, kinds):
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
    "LSUV",
    "RULES",
    "SCHEMES",
    "AsBuilt",
    "At",
    "Compose",
    "Constant",
    "DataDependent",
    "DeltaOrthogonal",
    "Dirac",
    "Fans",
    "FixedLength",
    "Fixup",
    "ForActivation",
    "GlorotNormal",
    "GlorotTruncated",
    "GlorotTruncatedCorrected",
    "GlorotUniform",
    "GradInit",
    "HeNormal",
    "HeTruncated",
    "HeTruncatedUncorrected",
    "HeUniform",
    "IDInit",
    "LecunNormal",
    "LecunTruncated",
    "LecunUniform",
    "MetaInit",
    "MuP",
    "Normal",
    "Ones",
    "Orthogonal",
    "PaddedIdentity",
    "Part",
    "ReZero",
    "ResidualScaling",
    "Rule",
    "Scheme",
    "SkipInit",
    "Sparse",
    "TorchDefault",
    "TruncatedNormal",
    "Uniform",
    "VarianceScaling",
    "WeightNorm",
    "WeightNormData",
    "Whitening",
    "ZerO",
    "ZeroGamma",
    "Zeros",
    "derivative_gain",
    "describe",
    "fans",
    "gain",
    "gaussian_mean",
    "gradient_quotient",
    "initialize",
    "param_groups",
    "plan",
    "rule",
    "stacked",
]
