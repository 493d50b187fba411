"""What is recorded of the networks of a group while they train."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from initlab.data import DataSet
from initlab.train.budget import spaced
from initlab.train.ensemble import Ensemble
from initlab.train.evaluate import evaluate, memorized
from initlab.train.recipe import Recipe
from initlab.tree import Stateful, apply


class Recorder(Stateful):
    """The curves of each run of a group, and what an observer has seen of it.

    `alive` are the runs that the rows of the group are; it is the training's own list at each call.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: DataSet,
        group: Ensemble,
        last: int,
        ends: Collection[int],
        truth: Tensor | None,
    ) -> None:
        """Before the first step of `last`; the ends of stages are looked at too. `truth` are the
        right classes where the training labels are not all right.
        """
        self.recipe, self.data, self.truth = recipe, data, truth
        curves, observer = recipe.curves, recipe.observer
        self.record_at = curves.steps(last) | set(ends) if curves else set()
        self.watch_at = (
            {0} | spaced(last - 1, observer.resolution) | set(ends) if observer else set()
        )
        self.curve: list[list[tuple[int, str, float]]] = [[] for _ in range(group.count)]
        self.seen: list[list[tuple[int, int, str, float]]] = [[] for _ in range(group.count)]
        self.followed = curves.statistics if curves else ()
        origin = "distance" in self.followed or observer is not None
        start = [t.clone() for t in group.theta] if origin else []
        self.state = {"start": start, "grad_norms": None}

    def wants_gradients(self, step: int) -> bool:
        """Whether the norms of the gradients that lead to `step` are followed."""
        return "grad_norm" in self.followed and step in self.record_at

    def record_gradients(self, step: int, grads: Sequence[Tensor]) -> None:
        """Record each network's gradient norm at `step`: the buffers of gradients are reused."""
        if self.wants_gradients(step):
            self.state["grad_norms"] = _norms(grads)

    def record(
        self, step: int, group: Ensemble, alive: Sequence[int], labels: Tensor | None
    ) -> None:
        """Record the statistics that are followed, if `step` is one to look at.

        `labels` are the training labels of the networks, where they have their own.
        """
        if step in self.watch_at:
            for row, run in enumerate(alive):
                self.see(row, run, step, group, labels, last=False)
        if step not in self.record_at:
            return
        found = self._on_sets(group, range(len(alive)), labels)
        if "norm" in self.followed:
            found["norm"] = _norms(group.theta)
        if "distance" in self.followed:
            moved = [t - s for t, s in zip(group.theta, self.state["start"], strict=True)]
            found["distance"] = _norms(moved)
        if self.state["grad_norms"] is not None:
            found["grad_norm"] = self.state["grad_norms"]
        if "wrong_fitted" in self.followed and self.truth is not None:
            given = self.data.train.y.expand(len(alive), -1) if labels is None else labels
            found["wrong_fitted"] = memorized(group, self.data.train, given, self.truth)
        for name in self.followed:
            if name in found:
                self.add(step, name, found[name], alive)

    def _on_sets(
        self, group: Ensemble, rows: Sequence[int], labels: Tensor | None
    ) -> dict[str, Tensor]:
        """What is followed of the whole sets, by name."""
        found: dict[str, Tensor] = {}
        for name, split in (
            ("train", self.data.train),
            ("test", self.data.test),
            ("val", self.data.val),
        ):
            wanted = [s for s in self.followed if s.startswith(f"{name}_")]
            if not wanted or split is None or not len(split):
                continue
            metrics = [m for m in self.recipe.metrics if f"{name}_{m.label}" in wanted]
            own = labels if name == "train" else None
            values = evaluate(group, split, self.recipe.loss, rows, own, metrics)
            found |= {f"{name}_{what}": value for what, value in values.items()}
        return found

    def add(self, step: int, name: str, values: Tensor, alive: Sequence[int]) -> None:
        """Record a number of each run."""
        for run, value in zip(alive, values.tolist(), strict=True):
            self.curve[run].append((step, name, value))

    def see(
        self, row: int, run: int, step: int, group: Ensemble, labels: Tensor | None, last: bool
    ) -> None:
        """Show one network to the observer; its end takes the place of a look at that step."""
        if self.recipe.observer is None:
            return
        start, now = (
            {name: t[row] for name, t in zip(group.names, tensors, strict=True)}
            for tensors in (self.state["start"], group.theta)
        )
        before = [seen for seen in self.seen[run] if not last or seen[1] != step]

        def network(count: int, of: str) -> tuple[nn.Module, Tensor, Tensor]:
            split = self.data.train if of == "train" else self.data.test
            y = labels[row] if labels is not None and of == "train" else split.y
            return group.module(row), apply(lambda t: t[:count], split.x), y[:count]

        rows = self.recipe.observer.see(start, now, last, network)
        self.seen[run] = [*before, *((layer, step, name, v) for layer, name, v in rows)]


def _norms(tensors: Sequence[Tensor]) -> Tensor:
    """L2 norm of each network's tensors together: (R, *shape) each → (R,)."""
    return torch.stack([t.flatten(1).double().square().sum(1) for t in tensors]).sum(0).sqrt()
