"""What the chapter can be told, and its three presets."""

from __future__ import annotations

from dataclasses import dataclass, replace

from initlab import parameters

#: The first edition's seeds lie below.
FRESH = 1000


@dataclass(frozen=True, kw_only=True)
class Settings(parameters.Settings):
    """Settings of the chapter.

    Args:
        dataset: name of the images, as `initlab.data.Data` knows it.
        other_dataset: name of the other images of C-11, which are harder to tell apart.
        side: images are averaged to so many pixels a side.
        samples: training images, unless an experiment varies them.
        outputs: scales of the output, as log2 of its factor: that on the standard deviation of each
            weight is its (depth + 1)-th root.
        rates: learning rates, tuned over for every cell.
        depths: hidden layers.
        depth_epochs: after which a training is given up, for each of these depths: about four
            times what He's rule needs.
        widths: units of a hidden layer; the last is that of the fully connected experiments.
        tuning_runs: trainings per cell by which its rate is chosen.
        runs: trainings per cell that are judged, on other seeds.
        more_runs: the same, where a share is judged or differences are small.
        networks: networks drawn per cell where nothing is trained.
        signal_depth: layers of those.
        epochs: after which a training is given up.
        batch_size: images of a batch.
    """

    dataset: parameters.DataSet = "mnist"
    other_dataset: parameters.DataSet = "fashion_mnist"
    side: int = 14
    samples: int = 1024
    outputs: tuple[float, ...] = (-18, -13, -10, -8, -6, -4, -2, 0, 2, 4, 6, 8, 10, 13, 18)
    rates: tuple[float, ...] = (2.154e-5, 1e-4, 4.64e-4, 2.154e-3, 0.01, 0.046416, 0.215443, 1.0)
    depths: tuple[int, ...] = (3, 6, 12, 24)
    depth_epochs: tuple[int, ...] = (4, 8, 18, 56)
    widths: tuple[int, ...] = (16, 32, 64)
    tuning_runs: int = 3
    runs: int = 10
    more_runs: int = 20
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
        """The depth of C-1 and C-6: the greatest."""
        return self.depths[-1]

    def scales(self, depth: int) -> tuple[float, ...]:
        """Factors on He's standard deviation for a network of so many hidden layers."""
        return tuple(2.0 ** (k / (depth + 1)) for k in self.outputs)

    @property
    def tuning_seeds(self) -> range:
        """Of the trainings by which a rate is chosen."""
        return range(self.seed + FRESH, self.seed + FRESH + self.tuning_runs)

    @property
    def seeds(self) -> range:
        """Of those that are judged."""
        return range(self.tuning_seeds.stop, self.tuning_seeds.stop + self.runs)

    @property
    def more_seeds(self) -> range:
        """The same, where a share is judged or differences are small."""
        return range(self.tuning_seeds.stop, self.tuning_seeds.stop + self.more_runs)

    def with_tuning(self, seeds: range) -> range:
        """These seeds, and before them those by which a rate is chosen."""
        return range(self.tuning_seeds.start, seeds.stop)


LAPTOP = Settings(preset="laptop")
PRESETS: dict[str, Settings] = {
    "smoke": replace(
        LAPTOP,
        preset="smoke",
        dataset="digits",
        other_dataset="digits",
        side=4,
        samples=128,
        outputs=(-4, 0, 4),
        rates=(0.01, 0.1),
        depths=(2, 3),
        depth_epochs=(2, 2),
        widths=(6, 8),
        tuning_runs=1,
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
