"""Settings of the chapter: one field for each parameter of its notebook."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log

from initlab import parameters
from initlab.data import SIZES, Data
from initlab.train import ClippedCrossEntropy, CrossEntropy, Loss

#: The name of the study, that of its registry.
STUDY = "staying-near-the-start"
BATCH = 128
CLIPPED, UNCLIPPED = "clipped", "unclipped"
_CLIP = ClippedCrossEntropy()
LOSSES: dict[str, Loss] = {CLIPPED: _CLIP, UNCLIPPED: CrossEntropy()}
#: No sample can cost more under the clip: 16.118.
CEILING = -log(_CLIP.eps)
#: Factors on the first weights.
SCALES = (0.3, 1.0, 3.0)
#: Seeds below were used in the first edition, from which its criteria were learned.
FRESH = 1000
#: Sweeps and widths have blocks of so many seeds, so that no two share one by accident.
BLOCK = 100


@dataclass(frozen=True, kw_only=True)
class Settings(parameters.Settings):
    """Settings of the chapter.

    Args:
        dataset: of many classes: the set of the paper's figures is one.
        other_datasets: the paper's other two sets.
        train: training samples of each set; 0: all.
        test: test samples; 0: all.
        side: pixels along an image's side; 0: as many as there are.
        gain: factor on every input.
        rate: of SGD, in the sweeps of networks that train long on `dataset`.
        widths: of both hidden layers, trained for `epochs` all of them.
        unstable: width of the networks that diverge; one of `widths`.
        stable: width of the networks in which single weights are looked at; the widest of `widths`.
        rates: of the control, at the unstable width, for `epochs` in proportion to 1/rate.
        sized: widths at equal training loss.
        sized_rate: of SGD there, with scaled first weights and on the other sets.
        scaled_width: width of the networks whose first weights are scaled.
        twins: networks of the unstable width, each with either loss.
        runs: networks per point where another share is judged, and of the stable width.
        few_runs: networks per point where a mean is judged.
        epochs: of every width.
        other_epochs: on the other sets.
        level: training loss at which widths are compared.
        sized_epochs: at most, until that loss is reached.
        bins: of the initial weight.
        looks: each look is at most 1 + looks times as late as the one before.
    """

    dataset: parameters.DataSet
    other_datasets: tuple[parameters.DataSet, ...]
    train: int
    test: int
    side: int
    gain: float
    rate: float
    widths: tuple[int, ...]
    unstable: int
    stable: int
    rates: tuple[float, ...]
    sized: tuple[int, ...]
    sized_rate: float
    scaled_width: int
    twins: int
    runs: int
    few_runs: int
    epochs: int
    other_epochs: int
    level: float
    sized_epochs: int
    bins: int
    looks: float

    @property
    def below(self) -> int:
        """The width next below the unstable one, or that itself."""
        return max((w for w in self.widths if w < self.unstable), default=self.unstable)

    @property
    def above(self) -> int:
        """The width next above the unstable one, or that itself."""
        return min((w for w in self.widths if w > self.unstable), default=self.unstable)

    def seeds(self, block: int, count: int) -> range:
        """Seeds of `count` replicates of a block, which no other block shares."""
        first = self.seed + FRESH + BLOCK * block
        return range(first, first + count)

    def count(self, width: int) -> int:
        """Networks of one of `widths`: more where it is judged by itself."""
        if width == self.unstable:
            return self.twins
        judged = (self.below, self.above, self.stable)
        return self.runs if width in judged else self.few_runs

    def data_of(self, name: str) -> Data:
        """A set at the chapter's size."""
        return Data(
            name,
            train=self.train or None,
            test=self.test or None,
            side=(self.side or None) if name != "gaussian" else None,  # it has no pixels
            gain=self.gain,
        )

    def per_epoch(self, name: str) -> int:
        """Steps of an epoch on a set."""
        return -(-(self.train or SIZES[name][0]) // BATCH)


_LAPTOP = Settings(
    dataset="emnist",
    other_datasets=("mnist", "fashion_mnist"),
    train=2000,
    test=2000,
    side=14,
    gain=10.0,
    rate=0.2,
    widths=(12, 20, 30, 60, 256),
    unstable=20,
    stable=256,
    rates=(0.1, 0.2),
    sized=(32, 64, 128, 256),
    sized_rate=0.05,
    scaled_width=128,
    twins=40,
    runs=20,
    few_runs=10,
    epochs=1000,
    other_epochs=100,
    level=0.3,
    sized_epochs=300,
    bins=50,
    looks=0.05,
)
PRESETS = {
    "smoke": replace(
        _LAPTOP,
        preset="smoke",
        other_datasets=("fashion_mnist",),
        train=256,
        test=100,
        side=7,
        gain=1.0,
        widths=(10, 16, 24),
        unstable=10,
        stable=24,
        rates=(0.1, 0.2),
        sized=(10, 24),
        scaled_width=16,
        twins=2,
        runs=2,
        few_runs=2,
        epochs=6,
        other_epochs=6,
        level=3.0,
        sized_epochs=6,
        bins=10,
        looks=0.3,
    ),
    "laptop": _LAPTOP,
    "paper": replace(
        _LAPTOP,
        preset="paper",
        train=0,
        test=0,
        side=0,
        gain=1.0,
        rate=0.1,
        widths=(10, 50, 100, 150, 200, 225, 250, 275, 300, 350, 400, 450, 500),
        unstable=250,
        rates=(0.05, 0.1, 0.2),
        stable=500,
        sized=(100, 200, 300, 500, 1000),
        scaled_width=500,
        epochs=2000,
        other_epochs=1000,
        sized_epochs=1000,
    ),
}
