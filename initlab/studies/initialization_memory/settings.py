"""Settings of the chapter on initialization memory, and its three presets."""

from __future__ import annotations

from dataclasses import dataclass, replace

from initlab import parameters

STUDY = "initialization-memory"


@dataclass(frozen=True, kw_only=True)
class Settings(parameters.Settings):
    """What is trained, on what, and for how long.

    Args:
        dataset: name of a data set.
        train: training samples.
        val: training samples that the moment of a run is selected on.
        test: test samples; 0 for all.
        side: pixels along an image's side; 0 for as many as there are.
        width: channels of the network's first convolution.
        batch: samples of a batch, where their number is not the question.
        small_batch: samples of a batch where it is.
        large_batch: the same.
        scales: factors on the first weights.
        few_scales: of these, those at which many ways of training are compared.
        plain_scales: for networks without normalization, whose function they multiply.
        epochs: length of a usual run.
        short_epochs: of the short ones.
        long_epochs: of those that ask whether time changes the spread.
        fitted: share of the training set from which on a network interpolates.
        low: learning rate of SGD that should remember.
        larger: learning rate that may forget.
        decay: weight decay λ that goes with the larger rate.
        adam: learning rate of Adam and AdamW.
        lars: trust of LARS: norm of a step over that of the weights, over its learning rate.
        runs: seeds per scale.

    Raises:
        ParameterError: if `few_scales` are not among `scales`.
    """

    dataset: parameters.DataSet
    train: int
    val: int
    test: int
    side: int
    width: int
    batch: int
    small_batch: int
    large_batch: int
    scales: tuple[float, ...]
    few_scales: tuple[float, ...]
    plain_scales: tuple[float, ...]
    epochs: int
    short_epochs: int
    long_epochs: int
    fitted: float
    low: float
    larger: float
    decay: float
    adam: float
    lars: float
    runs: int

    def __post_init__(self) -> None:
        """Refuse scales that no way of training has at hand for a comparison."""
        if not set(self.few_scales) <= set(self.scales):
            raise parameters.ParameterError(
                f"few_scales must be among the scales {list(self.scales)}, "
                f"not {list(self.few_scales)}"
            )

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest scale."""
        return min(self.scales), max(self.scales)


_LAPTOP = Settings(
    preset="laptop",
    dataset="cifar10",
    train=1024,
    val=1000,
    test=2000,
    side=8,
    width=8,
    batch=128,
    small_batch=32,
    large_batch=512,
    scales=(0.1, 0.3, 1.0, 3.0, 10.0),
    few_scales=(0.1, 1.0, 10.0),
    plain_scales=(0.5, 0.7, 1.0, 1.4, 2.0),
    epochs=500,
    short_epochs=100,
    long_epochs=2500,
    fitted=0.995,
    low=0.02,
    larger=0.2,
    decay=0.01,
    adam=0.001,
    lars=0.05,
    runs=5,
)
PRESETS: dict[str, Settings] = {
    "smoke": replace(
        _LAPTOP,
        preset="smoke",
        dataset="fashion_mnist",
        train=64,
        val=40,
        test=40,
        width=1,
        batch=32,
        small_batch=16,
        large_batch=64,
        scales=(0.3, 1.0, 3.0),
        few_scales=(0.3, 3.0),
        plain_scales=(0.7, 1.0),
        epochs=4,
        short_epochs=2,
        long_epochs=8,
        fitted=0.0,
        runs=2,
    ),
    "laptop": _LAPTOP,
    "paper": replace(
        _LAPTOP,
        preset="paper",
        train=40_000,
        val=10_000,
        test=0,
        side=0,
        width=64,
        epochs=300,
        short_epochs=60,
        long_epochs=5000,
        low=0.001,
        larger=0.01,
    ),
}
