"""Settings and presets of the chapter "How to start training"."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, TypeAlias

from initlab import parameters
from initlab.init import RULES

#: The name of an initializer.
Scheme: TypeAlias = Annotated[str, parameters.OneOf(tuple(RULES))]


@dataclass(frozen=True, kw_only=True)
class Settings(parameters.Settings):
    """Settings of the chapter.

    Args:
        dataset: trains the networks.
        test: samples of its test set on which the start is looked for.
        image_dataset: its first training image is the input of Figure 4.
        schemes: initializers of Figures 1 and 4, by their names in `initlab.init.RULES`.
        depths: of Figures 1 and 4.
        lost_depths: of schemes with another variance than 2/fan-in, in Figure 1b.
        lost_epochs: after which these are given up, for each of these depths: ten times the epochs
            that He normal had needed in the first edition, six times at depth 100.
        rate_depth: depth and width of the networks whose rate is tuned.
        rates: that are tried.
        low_rates: that are tried before them with 4/fan-in, which overflows at all others.
        rate_epochs: after which a network is given up there.
        modules: numbers of residual modules, in Figure 2b.
        few_modules: of unweighted modules, with which rates are tried and normalizations placed.
        tiny_rates: that are tried there.
        normalized_modules: numbers of modules of networks with normalization.
        short_epochs: after which a network is given up in these two controls.
        family_depths: of Figure 3.
        free_depths: of networks whose Σ 1/n, depth and last width vary independently.
        free_sums: their Σ 1/n.
        free_rates: at which they are trained; the first is the paper's.
        networks: per point of Figures 1a and 4.
        layer_networks: per seed where a ConvNet is followed layer by layer.
        draws: networks per seed where a moment is estimated; ten times as many where its
            distribution has a heavy tail.
        draw_seeds: seeds of that; twice as many where a spread is judged.
        tuning_runs: trainings by which a rate is chosen.
        runs: trainings per point where a share is judged, on other seeds.
        more_runs: trainings at the first of `free_rates`.
        close_runs: trainings of the two schemes that are compared closely, each at its best rate.
        end_runs: trainings at the least and the greatest depth of Figure 1b.
        many_runs: trainings at the greatest depth of Figure 3, where it is judged.
        residual_runs: trainings per point of Figure 2b.
        epochs: after which a training that has not started is given up.
        batch_size: of the trainings.
    """

    dataset: parameters.DataSet = "mnist"
    test: int = 2000
    image_dataset: parameters.DataSet = "cifar10"
    schemes: tuple[Scheme, ...] = (
        "he_normal_2x",
        "he_normal",
        "he_uniform",
        "he_truncated",
        "he_truncated_uncorrected",
        "glorot_uniform",
        "glorot_truncated",
        "lecun_normal",
        "torch_default",
    )
    depths: tuple[int, ...] = tuple(range(10, 101, 10))
    lost_depths: tuple[int, ...] = (10, 20, 40, 100)
    lost_epochs: tuple[int, ...] = (44, 37, 21, 10)
    rate_depth: int = 30
    rates: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    low_rates: tuple[float, ...] = (1e-7, 1e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3)
    rate_epochs: int = 15
    modules: tuple[int, ...] = (5, 10, 20, 40, 60, 80, 100)
    few_modules: int = 20
    tiny_rates: tuple[float, ...] = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 1e-6)
    normalized_modules: tuple[int, ...] = (20, 60)
    short_epochs: int = 10
    family_depths: tuple[int, ...] = (4, 12, 20)
    free_depths: tuple[int, ...] = (8, 16, 32)
    free_sums: tuple[float, ...] = (0.3, 0.6, 1.2)
    free_rates: tuple[float, ...] = (0.01, 0.1)
    networks: int = 1000
    layer_networks: int = 200
    draws: int = 2000
    draw_seeds: int = 10
    tuning_runs: int = 3
    runs: int = 20
    more_runs: int = 60
    close_runs: int = 120
    end_runs: int = 40
    many_runs: int = 300
    residual_runs: int = 100
    epochs: int = 100
    batch_size: int = 1024


_LAPTOP = Settings()
PRESETS = {
    "smoke": Settings(
        preset="smoke",
        dataset="digits",
        image_dataset="digits",
        test=200,
        depths=(5, 10),
        lost_depths=(5, 10),
        lost_epochs=(3, 3),
        rate_depth=5,
        rates=(0.01, 0.1),
        low_rates=(0.001,),
        rate_epochs=3,
        modules=(3, 6),
        few_modules=3,
        tiny_rates=(0.01, 0.001),
        normalized_modules=(3,),
        short_epochs=3,
        family_depths=(4, 6),
        free_depths=(4, 8),
        free_sums=(0.6, 1.2),
        free_rates=(0.01,),
        networks=40,
        layer_networks=20,
        draws=200,
        draw_seeds=3,
        tuning_runs=1,
        runs=2,
        more_runs=2,
        close_runs=2,
        end_runs=2,
        many_runs=2,
        residual_runs=2,
        epochs=3,
        batch_size=256,
    ),
    "laptop": _LAPTOP,
    "paper": replace(
        _LAPTOP,
        preset="paper",
        test=10_000,
        lost_depths=_LAPTOP.depths,
        lost_epochs=(100,) * len(_LAPTOP.depths),
        draws=20_000,
    ),
}
