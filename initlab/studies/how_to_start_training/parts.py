"""What the sweeps of the chapter have in common: what is varied, seeds, biases."""

from __future__ import annotations

from collections.abc import Callable

from initlab import init
from initlab.init import Rule
from initlab.studies.how_to_start_training.settings import Settings

#: Seeds below were used in the first edition, from which its criteria were learned.
FRESH = 1000
#: Weight variance 2/fan-in: the mean square neither grows nor decays with depth.
CRITICAL = ("he_normal", "he_uniform")
#: Schemes of other variances that are trained.
LOST = (
    "he_normal_2x",
    "he_truncated_uncorrected",
    "glorot_uniform",
    "glorot_truncated",
    "torch_default",
)
#: PyTorch's default, which starts at none of these depths, is not trained at this or a greater one.
DEEP = 100
#: Schemes whose rate is tuned.
TUNED = ("he_normal", "he_normal_2x", "he_truncated_uncorrected", "glorot_uniform")
#: One of them overflows at every rate that suits the others, and is tried at lower ones, too.
OVERFLOWS = "he_normal_2x"
#: Two that are compared closely, each at its best rate.
CLOSE = ("he_normal", "he_truncated_uncorrected")
#: Residual modules are weighted by η_l = b^l, l = 1 … L.
DECAYS = (1.0, 0.9, 0.75, 0.5)
#: Units per layer of the residual networks.
RESIDUAL_WIDTH = 5
#: Hidden widths of a network of depth d; the first four share the sum of 1/width.
FAMILIES: dict[str, Callable[[int], tuple[int, ...]]] = {
    "(i) 30, 10, 30, 10 …": lambda d: ((30, 10) * d)[:d],
    "(ii) 30 first, then 10": lambda d: (30,) * (d // 2) + (10,) * (d // 2),
    "(iii) 10 first, then 30": lambda d: (10,) * (d // 2) + (30,) * (d // 2),
    "(iv) 15 throughout": lambda d: (15,) * d,
    "(v) 20 throughout": lambda d: (20,) * d,
}
#: The layers of (i) in the other order, so that the last one is wide.
SWAPPED = "(i) swapped: 10, 30, 10, 30 …"
#: Widths of the last hidden layer of networks whose Σ 1/n, depth and last width are free.
LAST_WIDTHS = (10, 80)
#: Second moments of the biases, in networks of this depth and width.
NU_2, BIASED = (0.0, 0.01, 0.05, 0.2), 30
#: Widths of narrow networks, in which layers die.
NARROW = (2, 3, 5, 10)


def seeds(settings: Settings, count: int, scheme: str = "") -> range:
    """Seeds of `count` replicates, which those of another initializer do not share."""
    own = 1 + Settings.schemes.index(scheme) if scheme else 0
    first = settings.seed + FRESH * (1 + own)
    return range(first, first + count)


def bias(scheme: str) -> Rule:
    """The rule of a scheme's biases: PyTorch draws them too, every other leaves them at zero."""
    return init.TorchDefault() if scheme == "torch_default" else init.Zeros()


def even(modules: int) -> tuple[float, ...]:
    """Weights 1/L of L modules: their sum is 1, and none of them vanishes before the others."""
    return (1 / modules,) * modules
