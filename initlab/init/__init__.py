"""Where training starts: one rule per initializer, all with one contract."""

from __future__ import annotations

from initlab.init.asbuilt import AsBuilt
from initlab.init.compose import At, Compose
from initlab.init.contract import Part, Rule, Scheme
from initlab.init.fans import Fans, derivative_gain, fans, gain, gaussian_mean
from initlab.init.fitted import LSUV, DataDependent, Whitening
from initlab.init.gradinit import GradInit
from initlab.init.identity import DeltaOrthogonal, Dirac, Sparse, ZerO
from initlab.init.idinit import IDInit, PaddedIdentity
from initlab.init.kinds import Bias, Fixed, Maps, layer_kind
from initlab.init.leaving import Leaving
from initlab.init.mup import MuP, Shapes, param_groups
from initlab.init.plan import describe, plan
from initlab.init.quotient import MetaInit, gradient_quotient
from initlab.init.random import Constant, Normal, Ones, TruncatedNormal, Uniform, Zeros
from initlab.init.residual import Fixup, ResidualScaling, ReZero, SkipInit, ZeroGamma
from initlab.init.shaping import deep_kernel_shaping
from initlab.init.starting import Start, initialize, initialize_, stacked
from initlab.init.structured import Orthogonal
from initlab.init.transformer import GPT2, DeepNorm, TFixup
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
    "gpt2": GPT2(),
    "t_fixup": TFixup(),
    "deepnorm": DeepNorm(),
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


__all__ = [
    "GPT2",
    "LSUV",
    "RULES",
    "SCHEMES",
    "AsBuilt",
    "At",
    "Bias",
    "Compose",
    "Constant",
    "DataDependent",
    "DeepNorm",
    "DeltaOrthogonal",
    "Dirac",
    "Fans",
    "Fixed",
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
    "Leaving",
    "LecunNormal",
    "LecunTruncated",
    "LecunUniform",
    "Maps",
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
    "Shapes",
    "SkipInit",
    "Sparse",
    "Start",
    "TFixup",
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
    "deep_kernel_shaping",
    "derivative_gain",
    "describe",
    "fans",
    "gain",
    "gaussian_mean",
    "gradient_quotient",
    "initialize",
    "initialize_",
    "layer_kind",
    "param_groups",
    "plan",
    "rule",
    "stacked",
]
