"""What the chapter can be told, and its three presets."""

from __future__ import annotations

from dataclasses import dataclass, replace

from initlab import parameters


@dataclass(frozen=True, kw_only=True)
class Settings(parameters.Settings):
    """Settings of the chapter.

    Args:
        dataset: name of the images, as `initlab.data.Data` knows it.
        side: images are averaged to so many pixels a side.
        samples: training images, unless an experiment varies them.
        octaves: scales of the weights, as log2 of the factor on He's standard deviation.
        rates: learning rates, tuned over for every cell.
        depths: hidden layers.
        widths: units of a hidden layer; the last is that of the fully connected experiments.
        runs: trainings per cell.
        more_runs: the same, where differences are small (C-3, C-10).
        networks: networks drawn per cell where nothing is trained.
        signal_depth: layers of those.
        epochs: after which a training is given up.
        batch_size: images of a batch.
    """

    dataset: str = "mnist"
    side: int = 14
    samples: int = 1024
    octaves: tuple[float, ...] = (-3, -2, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 2, 3)
    rates: tuple[float, ...] = (1e-4, 4.64e-4, 2.154e-3, 0.01, 0.046416, 0.215443, 1.0)
    depths: tuple[int, ...] = (5, 10, 20, 40)
    widths: tuple[int, ...] = (16, 32, 64)
    runs: int = 5
    more_runs: int = 10
    networks: int = 200
    signal_depth: int = 50
    epochs: int = 50
    batch_size: int = 64

    @property
    def smoke(self) -> bool:
        """Whether every line is to run on as little as possible."""
        return self.preset == "smoke"

    @property
    def width(self) -> int:
        """Units of a hidden layer, unless an experiment varies them."""
        return self.widths[-1]

    @property
    def depth(self) -> int:
        """The depth of C-1 and C-6: the third of the depths."""
        return self.depths[min(2, len(self.depths) - 1)]

    @property
    def scales(self) -> tuple[float, ...]:
        """Factors on He's standard deviation."""
        return tuple(2.0**k for k in self.octaves)

    @property
    def seeds(self) -> range:
        """Of the trainings of a cell."""
        return range(self.seed, self.seed + self.runs)

    @property
    def more_seeds(self) -> range:
        """The same, where differences are small."""
        return range(self.seed, self.seed + self.more_runs)


LAPTOP = Settings(preset="laptop")
PRESETS: dict[str, Settings] = {
    "smoke": replace(
        LAPTOP,
        preset="smoke",
        dataset="digits",
        side=4,
        samples=128,
        octaves=(-1, 0, 1),
        rates=(0.01, 0.1),
        depths=(2, 3),
        widths=(6, 8),
        runs=2,
        more_runs=2,
        networks=20,
        signal_depth=6,
        epochs=2,
    ),
    "laptop": LAPTOP,
    "paper": replace(
        LAPTOP,
        preset="paper",
        side=28,
        samples=12_500,
        widths=(64, 128, 256, 512),
        runs=20,
        more_runs=50,
        networks=1000,
    ),
}
