"""How long to train, what ends a run, what is looked at on the way, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol, TypeAlias, runtime_checkable

from torch import Tensor, nn

from initlab.spec import renamed, spec

#: What `Curves` can follow.
STATISTICS = (
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "val_loss",
    "val_accuracy",
    "norm",
    "distance",
    "grad_norm",
    "wrong_fitted",
)

#: What ends a run before its epochs.
GOALS = ("target_test_accuracy", "target_train_accuracy", "target_train_loss")
#: By what a moment of training is selected.
SELECTED = ("val_loss", "val_accuracy")


def spaced(last: int, resolution: float) -> set[int]:
    """Steps 1 … `last`, each at most 1 + `resolution` times the one before (or the next one).

    >>> sorted(spaced(20, 0.5))
    [1, 2, 3, 5, 8, 12, 18, 20]
    """
    steps, step = {last}, 1
    while step < last:
        steps.add(step)
        step = max(step + 1, ceil(step * (1 + resolution)))
    return steps


@renamed(target="target_test_accuracy", fitted="target_train_accuracy", loss="target_train_loss")
@spec
class Budget:
    """How long to train, and what ends a run before that.

    Training ends after `epochs`; or when test accuracy reaches `target_test_accuracy`; or when
    training accuracy reaches `target_train_accuracy` (1.0: the data are interpolated); or when the
    loss over the whole training set has fallen to `target_train_loss`; or when the mean training
    loss of an epoch has not fallen below its best
    for `patience` epochs; or when the loss is no longer finite. Goals are looked at after every
    step at first, and then each time that the number of steps has grown by `resolution`: an end
    is located to that relative precision.

    With `select`, "val_loss" or "val_accuracy", the moment is sought at which each network is best
    on the validation samples, at the ends of epochs; `patience` then counts epochs without a new
    best one. The parameters in an outcome are those of that moment, and so are the statistics
    `best_…`; all others are of the end of training.
    """

    epochs: int = 100
    batch_size: int = 1024
    target_test_accuracy: float | None = None
    resolution: float = 0.03
    target_train_accuracy: float | None = None
    patience: int | None = None
    target_train_loss: float | None = None
    select: str | None = None

    def __post_init__(self) -> None:
        """Refuse empty budgets and targets that are no accuracies."""
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be ≥ 1, not {getattr(self, name)}")
        for name in ("target_test_accuracy", "target_train_accuracy"):
            goal = getattr(self, name)
            if goal is not None and not 0 < goal <= 1:
                raise ValueError(f"{name} is an accuracy in (0, 1], not {goal}")
        if self.target_train_loss is not None and not self.target_train_loss > 0:
            raise ValueError(
                f"target_train_loss is a loss > 0 to end at, not {self.target_train_loss}"
            )
        if sum(getattr(self, name) is not None for name in GOALS) > 1:
            raise ValueError(f"a budget has one of {', '.join(GOALS)} to end at, not more")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience is a number of epochs ≥ 1, not {self.patience}")
        if not self.resolution > 0:
            raise ValueError(f"resolution must be > 0, not {self.resolution}")
        if self.select not in (None, *SELECTED):
            raise ValueError(f"select must be {' or '.join(SELECTED)}, not {self.select!r}")

    @property
    def by_accuracy(self) -> str:
        """The field that names an accuracy, or none."""
        named = [name for name in GOALS[:2] if getattr(self, name) is not None]
        return named[0] if named else "select" * (self.select == "val_accuracy")

    @property
    def goal(self) -> float | None:
        """The accuracy, or the training loss, that ends a run."""
        return next((v for name in GOALS if (v := getattr(self, name)) is not None), None)

    def check_steps(self, last: int) -> set[int]:
        """The steps after which networks are looked at, up to and including `last`."""
        return spaced(last, self.resolution)


@spec
class Curves:
    """Statistics followed during training, at step 0 and then log-spaced by `resolution`.

    Losses and accuracies are those of the whole training or test set, or of the samples that are
    held back for validation (there are none without `Data.val`), in evaluation mode;
    `norm` is ‖θ‖ and `distance` ‖θ − θ₀‖, over all parameters; `grad_norm` is the L2 norm of the
    gradient of the batch that the step before was made on; there is none at step 0. `wrong_fitted`
    is the share of the wrong training labels that the network gives out: what it knows by heart. A
    run without label noise has none.
    """

    statistics: tuple[str, ...] = ("train_loss", "test_accuracy")
    resolution: float = 0.5

    def __post_init__(self) -> None:
        """Refuse statistics that there are not."""
        of_sets = tuple(f"{split}_" for split in ("train", "val", "test"))  # metrics may follow
        unknown = {s for s in self.statistics if s not in STATISTICS and not s.startswith(of_sets)}
        if unknown or not self.statistics:
            raise ValueError(
                f"unknown statistics {sorted(unknown)}; known: {', '.join(STATISTICS)}"
            )
        if not self.resolution > 0:
            raise ValueError(f"resolution must be > 0, not {self.resolution}")

    def steps(self, last: int) -> set[int]:
        """The steps at which to look, 0 and `last` among them."""
        return {0} | spaced(last, self.resolution)


#: A network as a module, which is only to be read, and the first so many samples of "train" or of
#: "test", with their labels.
Shown: TypeAlias = Callable[[int, str], tuple[nn.Module, Tensor, Tensor]]


@runtime_checkable
class Observer(Protocol):
    """Observer of the parameters of each network, at log-spaced steps and at its end."""

    @property
    def resolution(self) -> float:
        """Each look is at most 1 + `resolution` times as late as the one before."""

    def see(
        self,
        start: Mapping[str, Tensor],
        now: Mapping[str, Tensor],
        last: bool,
        network: Shown | None = None,
    ) -> list[tuple[int, str, float]]:
        """(layer, statistic, value) of one network; `last` at its end."""


@dataclass(frozen=True)
class Outcome:
    """How one network's training ended.

    `epochs` is where the goal was first seen reached, or the budget where it was not (`reached`
    is False: the value is censored). `diverged`: the loss was no longer finite. `steps` is how
    far it trained. `test_accuracy` is None where no test set is read, and `val_accuracy` where one
    is: the end of a run is judged on validation samples only in its place. Where the loss is none
    of classes it has `test_loss` or `val_loss` instead. `metrics` holds (name, value) on the same
    samples. With a budget that selects a moment, `best` holds that moment's `best_epochs` and its
    losses and accuracies on the sets that there are. `curves` holds
    (step, statistic, value), `seen` the (layer, step, statistic, value) of an observer,
    `params` the network at its end or at its best moment, by name, with the buffers of
    normalization.
    """

    epochs: float
    reached: bool
    diverged: bool
    train_loss: float
    test_accuracy: float | None = None
    val_accuracy: float | None = None
    test_loss: float | None = None
    val_loss: float | None = None
    steps: int = 0
    metrics: tuple[tuple[str, float], ...] = ()
    best: tuple[tuple[str, float], ...] = ()
    curves: tuple[tuple[int, str, float], ...] = ()
    seen: tuple[tuple[int, int, str, float], ...] = ()
    params: dict[str, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def rows(self) -> list[tuple[int, int, int, str, float]]:
        """(network, layer, step, statistic, value) of each number."""
        found = [(name, getattr(self, name)) for name in ENDS]
        found += [*self.metrics, *self.best]
        ends = [(0, -1, -1, name, float(v)) for name, v in found if v is not None]
        followed = [(0, -1, step, name, value) for step, name, value in self.curves]
        return ends + followed + [(0, *row) for row in self.seen]


#: What a row tells of an end.
ENDS = (
    *("epochs", "reached", "diverged", "train_loss"),
    *("test_accuracy", "val_accuracy", "test_loss", "val_loss"),
)
