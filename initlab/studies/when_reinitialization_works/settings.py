"""The chapter's parameters and presets."""

from __future__ import annotations

from dataclasses import dataclass, replace

from initlab import parameters


@dataclass(frozen=True, kw_only=True)
class Settings(parameters.Settings):
    """Parameters of the chapter, beside those of every chapter.

    Args:
        datasets: the first is that of the warm start.
        residual: of these, those that a residual network learns; the others an MLP.
        train: training samples of each set; 0: nine tenths of them.
        validation: of the rest, those that numbers are tuned on; 0: one tenth.
        test: test samples; 0: all.
        side: pixels along an image's side for the residual network; 0: as many as there are.
        mlp_side: the same for the MLP.
        width: channels of the residual network's first stage.
        hidden: widths of the MLP's hidden layers.
        epochs: in all, of the residual network.
        mlp_epochs: in all, of the MLP.
        rates: learning rates that are tried.
        decays: weight decays that are tried.
        noises: shares of wrong labels.
        stages: of every method, but where their number is the question.
        counts: numbers of stages that are compared.
        factors: by which total epochs are multiplied, where the budget is the question.
        generations: students of a born-again network.
        rounds: in which data arrive, where they arrive little by little.
        fitting: epochs at most, until 99 % of the training set are fitted (warm start).
        tuning_runs: networks per trial, of the residual network.
        runs: networks per point, of the residual network.
        mlp_tuning_runs: networks per trial, of the MLP.
        mlp_runs: networks per point, of the MLP.
    """

    datasets: tuple[parameters.DataSet, ...]
    residual: tuple[parameters.DataSet, ...]
    train: int
    validation: int
    test: int
    side: int
    mlp_side: int
    width: int
    hidden: tuple[int, ...]
    epochs: int
    mlp_epochs: int
    rates: tuple[float, ...]
    decays: tuple[float, ...]
    noises: tuple[float, ...]
    stages: int
    counts: tuple[int, ...]
    factors: tuple[int, ...]
    generations: int
    rounds: int
    fitting: int
    tuning_runs: int
    runs: int
    mlp_tuning_runs: int
    mlp_runs: int

    @property
    def main(self) -> str:
        """The data set of the warm start."""
        return self.datasets[0]

    @property
    def noisiest(self) -> float:
        """The largest share of wrong labels."""
        return max(self.noises)

    def seeds(self, data: str) -> range:
        """Seeds of the networks of a point, one network each."""
        return range(self.seed, self.seed + (self.runs if data in self.residual else self.mlp_runs))

    def tuning_seeds(self, data: str) -> range:
        """Seeds of the networks of a trial; none is a seed of a point."""
        first = 1000 + self.seed
        count = self.tuning_runs if data in self.residual else self.mlp_tuning_runs
        return range(first, first + count)

    def epochs_of(self, data: str) -> int:
        """Epochs in all of the network that learns a data set."""
        return self.epochs if data in self.residual else self.mlp_epochs


_LAPTOP = Settings(
    preset="laptop",
    datasets=("cifar10", "fashion_mnist"),
    residual=("cifar10",),
    train=1280,
    validation=1000,
    test=5000,
    side=8,
    mlp_side=14,
    width=4,
    hidden=(100, 100, 100),
    epochs=30,
    mlp_epochs=50,
    rates=(0.01, 0.03, 0.1),
    decays=(0.0001, 0.001, 0.01),
    noises=(0.0, 0.2, 0.4),
    stages=5,
    counts=(2, 5, 10),
    factors=(1, 4, 8),
    generations=3,
    rounds=5,
    fitting=100,
    tuning_runs=1,
    runs=5,
    mlp_tuning_runs=1,
    mlp_runs=10,
)
#: Settings by the name of the preset.
PRESETS: dict[str, Settings] = {
    "smoke": replace(
        _LAPTOP,
        preset="smoke",
        datasets=("fashion_mnist",),
        residual=("fashion_mnist",),
        train=64,
        validation=40,
        test=40,
        side=8,
        mlp_side=7,
        width=1,
        hidden=(6, 6, 6),
        epochs=4,
        mlp_epochs=4,
        rates=(0.1,),
        decays=(0.001, 0.01),
        noises=(0.0, 0.4),
        stages=2,
        counts=(2, 4),
        factors=(1,),
        generations=1,
        rounds=2,
        fitting=3,
        runs=2,
        mlp_runs=2,
    ),
    "laptop": _LAPTOP,
    "paper": replace(
        _LAPTOP,
        preset="paper",
        datasets=("cifar10", "cifar100", "tiny_imagenet"),
        residual=("cifar10", "cifar100", "tiny_imagenet"),
        train=0,
        validation=0,
        test=0,
        side=0,
        mlp_side=0,
        width=64,
        epochs=200,
        decays=(0.0001, 0.0005, 0.001, 0.005),
        factors=(1,),
        fitting=350,
        rounds=30,
    ),
}
