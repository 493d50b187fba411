"""The moment of training at which each network was best on the validation samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from initlab.data import DataSet
from initlab.train.choose import ensemble
from initlab.train.ensemble import Ensemble
from initlab.train.evaluate import evaluate
from initlab.train.recipe import Recipe
from initlab.tree import Stateful, apply, take


class Best(Stateful):
    """The best moment of each network so far.

    The state holds how good it was then (`value`), the `step`, its `params`, and how many looks ago
    that was (`waited`).
    """

    def __init__(self, recipe: Recipe, data: DataSet, R: int) -> None:
        """Nothing is known before the first look."""
        assert recipe.budget is not None and recipe.budget.select is not None
        self.recipe, self.data = recipe, data
        self.by = recipe.budget.select.removeprefix("val_")
        zeros = torch.zeros(R, device=data.train.y.device)
        worst = torch.full_like(zeros, torch.inf)
        self.state = {"value": worst, "step": zeros, "waited": zeros.clone(), "params": {}}

    @property
    def params(self) -> dict[str, Tensor]:
        """The networks at their best moments, by name, (R, *shape)."""
        params: dict[str, Tensor] = self.state["params"]
        return params

    def look(self, step: int, group: Ensemble) -> None:
        """Compare the networks with what they were, and keep those that are better now."""
        assert self.data.val is not None
        found = evaluate(group, self.data.val, self.recipe.loss, range(group.count))[self.by]
        value = -found if self.by == "accuracy" else found
        better = value < self.state["value"]
        now = group.params()
        if not self.params:
            self.state["params"] = apply(Tensor.clone, now)
        for name, t in self.params.items():
            t[better] = now[name][better]
        self.state["value"] = torch.where(better, value, self.state["value"])
        self.state["step"] = torch.where(better, float(step), self.state["step"])
        self.state["waited"] = torch.where(better, 0.0, self.state["waited"] + 1)

    def of(
        self, rows: Sequence[int], step: int, per_epoch: int, group: Ensemble
    ) -> dict[str, Tensor]:
        """What the networks in `rows`, which end at `step`, were at their best moments: by
        statistic, (rows,) each.
        """
        if not self.params:  # it ended before its first epoch did
            self.look(step, group)
        best = ensemble(self.recipe.model, take(self.params, rows))
        found = {
            "best_epochs": take(self.state["step"], rows) / per_epoch,
            "trained_epochs": torch.full((len(rows),), step / per_epoch),
        }
        metrics = self.recipe.metrics
        for name, split in (("val", self.data.val), ("test", self.data.test)):
            if split is not None and len(split):
                values = evaluate(best, split, self.recipe.loss, range(len(rows)), None, metrics)
                found |= {f"best_{name}_{what}": value for what, value in values.items()}
        return found
