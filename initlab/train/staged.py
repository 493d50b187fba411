"""Training in stages: what becomes of a group of networks where the next stage begins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from initlab.data import Split
from initlab.models import AnyModel
from initlab.reinit import Stages, change, insert, restart_statistics
from initlab.train.budget import Budget, Outcome
from initlab.train.ensemble import EVALUATED, Batch, Ensemble, ModuleEnsemble
from initlab.train.loss import CrossEntropy, DistillationLoss, Loss, LossFn
from initlab.train.recipe import Fresh
from initlab.tree import Each, Stateful


def check_stages(stages: Sequence[Stages], budget: Budget) -> None:
    """Raise `ValueError` for stages that cannot train as one, or not under this budget."""
    if len({s.alike for s in stages}) > 1:
        raise ValueError(
            "the stages of networks that train as one may differ in their method alone, and all "
            "or none of the methods may normalize"
        )
    stages[0].lengths(budget.epochs)
    if (budget.goal, budget.patience, budget.select) != (None, None, None):
        raise ValueError(
            "a run in stages trains for all of its budget: give a budget without target, fitted, "
            "loss, patience and select"
        )


class Staged(Stateful):
    """What the stages of one group share, and what each of its networks keeps from stage to stage.

    `steps` is where the training ends and `ends` where each stage does, in steps from the first.
    """

    def __init__(
        self,
        stages: Sequence[Stages],
        fresh: Fresh,
        model: AnyModel,
        group: Ensemble,
        budget: Budget,
        per_epoch: int,
        loss: Loss,
    ) -> None:
        """Read off the group where its networks start, with stages that `check_stages` allows."""
        self.shared, self.fresh = stages[0], fresh
        self.module = model.build("meta")
        self.ends = [n * per_epoch for n in accumulate(self.shared.lengths(budget.epochs))]
        self.steps = self.ends[-1]
        standard = per_epoch * budget.epochs
        times = self.shared.count if self.shared.total == "each" else 1
        assert self.steps == times * standard, "stages must cost what the budget says"
        self.stage = 0
        # Label smoothing is of labels: a teacher's probabilities are soft already.
        teacher = CrossEntropy() if isinstance(loss, CrossEntropy) else loss
        self.losses: dict[str, LossFn] = {
            "alone": teacher,
            "with labels": DistillationLoss(teacher, loss, self.shared.labels),
        }
        self.teacher: Ensemble | None = None
        norms = [
            {n: float(torch.linalg.vector_norm(t[row])) for n, t in self._named(group)}
            for row in range(group.count)
        ]
        # Of the students it is the sum of their probabilities on the test set.
        self.state = {
            "stages": Each(stages),
            "numbers": Each(range(group.count)),
            "start norms": Each(norms),
            "teacher": None,
            "students": None,
        }

    @staticmethod
    def _named(group: Ensemble) -> list[tuple[str, Tensor]]:
        return list(zip(group.names, group.theta, strict=True))

    def begin(self, step: int, group: Ensemble, reset: Callable[[], None]) -> None:
        """Where a stage ends at `step` and another begins, begin it; `reset` is the optimizer's."""
        if step not in self.ends[:-1]:
            return
        self.stage = self.ends.index(step) + 1
        if self.shared.teacher is not None:
            self.teacher = group.copy()
            self.state["teacher"] = self.teacher.state
        if self.shared.optimizer == "fresh":
            reset()
        for row, own in enumerate(self.state["stages"]):
            at = self.stage, own.count
            change(
                {name: t[row] for name, t in self._named(group)},
                own.method.changes(self.module, *at),
                self.fresh(self.state["numbers"][row], self.stage),
                self.state["start norms"][row],
            )
            if isinstance(group, ModuleEnsemble):
                if own.fresh_buffers:
                    restart_statistics(group.modules[row])
                path = own.method.normalized(self.module, *at)
                if path is not None:
                    insert(group.modules[row], path)

    def along(self, step: int) -> tuple[int, int]:
        """Where the schedule of the rate is at `step`, and how many steps it has."""
        if self.shared.schedule == "whole":
            return step, self.steps
        begin = self.ends[self.stage - 1] if self.stage else 0
        return step - begin, self.ends[self.stage] - begin

    def lesson(self, batch: Batch, loss: Loss) -> tuple[Batch, LossFn]:
        """What to learn from a batch: with which targets, and the loss against them."""
        if self.teacher is None or self.shared.teacher is None:
            return batch, loss
        x, y = batch.x, batch.targets
        assert isinstance(x, Tensor)
        taught = F.softmax(self.teacher.predict(x, own_x=batch.own_x), -1)
        if self.shared.teacher == "alone":
            targets = taught
        else:
            labels = y if y.is_floating_point() else F.one_hot(y, taught.shape[-1])
            targets = torch.cat([taught, labels.to(taught).expand_as(taught)], -1)
        return Batch(x, targets, batch.own_x, True), self.losses[self.shared.teacher]

    @torch.no_grad()
    def ensemble(self, group: Ensemble, test: Split) -> Tensor | None:
        """Accuracy of the mean probabilities of all students up to this one, (R,); without a
        teacher there are none. To be asked once in each stage.
        """
        if self.teacher is None:
            return None
        parts = test.parts(EVALUATED)
        now = torch.cat([F.softmax(group.predict(part.x), -1) for part in parts], 1)
        before = self.state["students"]
        self.state["students"] = now if before is None else before + now
        return (self.state["students"].argmax(-1) == test.y).float().mean(-1)

    def check_spent(self, outcomes: Iterable[Outcome]) -> None:
        """Assert that networks have trained for the budget's steps, but for those that diverged."""
        spent = {o.steps for o in outcomes if not o.diverged}
        assert spent <= {self.steps}, f"{spent} steps were done, the budget has {self.steps}"

    def bound(self) -> None:
        """The teacher goes on with the same networks."""
        if self.teacher is not None:
            self.teacher.state = self.state["teacher"]
            self.teacher.bound()
