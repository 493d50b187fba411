"""Settings and presets of the chapter "How to start training"."""

from __future__ import annotations

from dataclasses import dataclass, replace

from initlab import parameters


@dataclass(frozen=True, kw_only=True)
class Settings(parameters.Settings):
    """Settings of the chapter.

    Args:
        dataset: trains the networks of Figures 1b, 2b and 3.
        image_dataset: its first training image is the input of Figure 4.
        schemes: initializers of Figures 1 and 4, by their names in `initlab.init.RULES`.
        depths: of Figures 1a, 1b and 4.
        slow_depths: of schemes that lose half of the signal per layer or more, in Figure 1b.
        cut_depths: of the uncorrected truncated He, which loses a quarter, in Figure 1b.
        modules: numbers of residual modules, in Figure 2b.
        family_depths: of Figure 3.
        networks: per point of Figures 1a and 4.
        draws: networks per seed where a moment is estimated; ten times as many in `family_nets`
            and `narrow`.
        draw_seeds: seeds of that.
        runs: trainings per point of Figure 1b.
        many_runs: trainings per point elsewhere.
        epochs: after which a training that has not started is given up.
        batch_size: of the trainings.
    """

    dataset: str = "mnist"
    image_dataset: str = "cifar10"
    schemes: tuple[str, ...] = (
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
    slow_depths: tuple[int, ...] = (10, 15, 20, 30)
    cut_depths: tuple[int, ...] = (10, 20, 30, 45, 60)
    modules: tuple[int, ...] = (5, 10, 20, 40, 60, 80, 100)
    family_depths: tuple[int, ...] = (4, 8, 12, 16, 20)
    networks: int = 1000
    draws: int = 2000
    draw_seeds: int = 10
    runs: int = 5
    many_runs: int = 100
    epochs: int = 100
    batch_size: int = 1024


_LAPTOP = Settings()
PRESETS = {
    "smoke": Settings(
        preset="smoke",
        dataset="digits",
        image_dataset="digits",
        depths=(5, 10),
        slow_depths=(5,),
        cut_depths=(5,),
        modules=(3, 6),
        family_depths=(4, 6),
        networks=40,
        draws=200,
        draw_seeds=3,
        runs=2,
        many_runs=2,
        epochs=3,
        batch_size=256,
    ),
    "laptop": _LAPTOP,
    "paper": replace(
        _LAPTOP,
        preset="paper",
        slow_depths=_LAPTOP.depths,
        cut_depths=_LAPTOP.depths,
        draws=20_000,
    ),
}
