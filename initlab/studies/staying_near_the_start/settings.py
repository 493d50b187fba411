"""Settings of the chapter: one field for each parameter of its notebook."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log

from initlab import parameters
from initlab.data import SIZES, Data
from initlab.train import SGD, Adam, ClippedCrossEntropy, CrossEntropy, Loss, Optimizer

#: The name of the study, that of its registry.
STUDY = "staying-near-the-start"
BATCH = 128
RATE = 0.1
CLIPPED, UNCLIPPED = "clipped", "unclipped"
_CLIP = ClippedCrossEntropy()
LOSSES: dict[str, Loss] = {CLIPPED: _CLIP, UNCLIPPED: CrossEntropy()}
#: No sample can cost more under the clip: 16.118.
CEILING = -log(_CLIP.eps)
#: Beside plain SGD.
OPTIMIZERS: dict[str, Optimizer] = {
    "momentum": SGD(lr=RATE / 10, momentum=0.9),
    "Adam": Adam(lr=0.001),
}
#: Factors on the first weights.
SCALES = (0.3, 1.0, 3.0)


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
        widths: of both hidden layers, Figure 2.
        controls: of these, those that are trained without the clip as well.
        other_widths: the same on the other sets.
        stable: width of the networks of Figure 1a and Figure 3.
        unstable: width of the networks of Figure 1b.
        sized: widths at equal training loss.
        runs: networks per point.
        epochs: of Figure 2.
        marked_epochs: of Figure 1b.
        stable_epochs: of networks of half the stable width and more.
        other_epochs: on the other sets.
        sized_epochs: at most, until the training loss is low enough to be compared.
        optimizer_epochs: of the other optimizers, at the unstable width.
        scaled_epochs: of the other scales.
        bins: of the initial weight.
        looks: each look is at most 1 + looks times as late as the one before.
    """

    dataset: str
    other_datasets: tuple[str, ...]
    train: int
    test: int
    side: int
    gain: float
    widths: tuple[int, ...]
    controls: tuple[int, ...]
    other_widths: tuple[int, ...]
    stable: int
    unstable: int
    sized: tuple[int, ...]
    runs: int
    epochs: int
    marked_epochs: int
    stable_epochs: int
    other_epochs: int
    sized_epochs: int
    optimizer_epochs: int
    scaled_epochs: int
    bins: int
    looks: float

    @property
    def levels(self) -> tuple[float, float]:
        """Training losses at which widths are compared, the higher one first."""
        return (2.0, 1.0) if self.preset == "smoke" else (0.5, 0.1)

    @property
    def seeds(self) -> range:
        """Seeds of the weights, the replicates of the chapter."""
        return range(self.seed, self.seed + self.runs)

    @property
    def whole(self) -> int:
        """The widest of `widths` that trains all epochs."""
        return max(w for w in self.widths if self.epochs_of(w, self.epochs) == self.epochs)

    @property
    def below(self) -> int | None:
        """The width of Figure 2 next below the unstable one."""
        return max((w for w in self.widths if w < self.unstable), default=None)

    @property
    def above(self) -> int | None:
        """The width of Figure 2 next above the unstable one."""
        return min((w for w in self.widths if w > self.unstable), default=None)

    def epochs_of(self, width: int, epochs: int) -> int:
        """Epochs of a width: wide networks have settled early and cost most, and train for less."""
        return self.stable_epochs if width >= self.stable / 2 else epochs

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
    train=8000,
    test=2000,
    side=14,
    gain=6.0,
    widths=(20, 25, 30, 40, 60, 120),
    controls=(25, 30),
    other_widths=(12, 20, 120),
    stable=120,
    unstable=30,
    sized=(30, 60, 120, 250),
    runs=10,
    epochs=5000,
    marked_epochs=2500,
    stable_epochs=500,
    other_epochs=1500,
    sized_epochs=200,
    optimizer_epochs=2000,
    scaled_epochs=100,
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
        controls=(10, 16),
        other_widths=(10, 24),
        stable=24,
        unstable=10,
        sized=(10, 24),
        runs=2,
        epochs=6,
        marked_epochs=6,
        stable_epochs=6,
        other_epochs=6,
        sized_epochs=6,
        optimizer_epochs=6,
        scaled_epochs=6,
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
        widths=(10, 50, 100, 150, 200, 225, 250, 275, 300, 350, 400, 450, 500),
        controls=(50, 100, 150, 200, 225, 250, 275, 300, 350),
        other_widths=(50, 150, 250, 500),
        stable=500,
        unstable=250,
        sized=(100, 200, 300, 500, 1000),
        epochs=2000,
        marked_epochs=1000,
        stable_epochs=2000,
        other_epochs=1000,
        sized_epochs=1000,
        optimizer_epochs=2000,
    ),
}
