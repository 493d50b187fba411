"""What is noted of the networks of a group while they train."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from initlab.data import DataSet
from initlab.train.batches import per_network
from initlab.train.budget import Curves, Watch, spaced
from initlab.train.evaluate import evaluate, fitted
from initlab.train.group import Rows, Stacked
from initlab.train.loss import Loss


class Notes:
    """The curves of each run of a group, and what a watch has seen of it.

    `alive` are the runs that the rows of the group are; it is the training's own list at each call.
    """

    def __init__(
        self,
        curves: Curves | None,
        watch: Watch | None,
        group: Stacked | Rows,
        last: int,
        ends: Collection[int],
        truth: Tensor | None,
    ) -> None:
        """Before the first step of `last`; the ends of stages are looked at too. `truth` are the
        right classes where the training labels are not all right.
        """
        self.curves, self.watch, self.truth = curves, watch, truth
        self.look_at = curves.steps(last) | set(ends) if curves else set()
        self.watch_at = {0} | spaced(last - 1, watch.resolution) | set(ends) if watch else set()
        R = len(group.theta[0])
        self.curve: list[list[tuple[int, str, float]]] = [[] for _ in range(R)]
        self.seen: list[list[tuple[int, int, str, float]]] = [[] for _ in range(R)]
        followed = curves.statistics if curves else ()
        self.pulling = "grad_norm" in followed
        self.pulls: Tensor | None = None
        origin = "distance" in followed or watch is not None
        self.start = [t.clone() for t in group.theta] if origin else []

    def pulls_at(self, step: int) -> bool:
        """Whether `pull` wants the gradients that lead to `step`."""
        return self.pulling and step in self.look_at

    def pull(self, step: int, grads: Sequence[Tensor]) -> None:
        """Record each network's gradient norm at `step`: the buffers of gradients are reused."""
        if self.pulls_at(step):
            self.pulls = _norms(grads)

    def look(
        self,
        step: int,
        group: Stacked | Rows,
        alive: Sequence[int],
        data: DataSet,
        loss: Loss,
    ) -> None:
        """Note the statistics that are followed, if `step` is one to look at.

        Of `data` the training labels are those of the runs that are alive.
        """
        if step in self.watch_at:
            for row, run in enumerate(alive):
                self.see(row, run, step, group, data, last=False)
        if step not in self.look_at or self.curves is None:
            return
        wanted, found = self.curves.statistics, {}
        splits = {"train": data.train, "test": data.test, "val": data.val}
        for name, split in splits.items():
            if (
                split
                and len(split.y)
                and (f"{name}_loss" in wanted or f"{name}_accuracy" in wanted)
            ):
                values = evaluate(group, split, loss, range(len(alive)))
                found[f"{name}_loss"], found[f"{name}_accuracy"] = values
        if "norm" in wanted:
            found["norm"] = _norms(group.theta)
        if "distance" in wanted:
            moved = [t - s for t, s in zip(group.theta, self.start, strict=True)]
            found["distance"] = _norms(moved)
        if self.pulls is not None:
            found["grad_norm"] = self.pulls
        if "wrong_fitted" in wanted and self.truth is not None:
            found["wrong_fitted"] = fitted(group, data.train, self.truth)
        for name in wanted:
            if name in found:
                self.add(step, name, found[name], alive)

    def add(self, step: int, name: str, values: Tensor, alive: Sequence[int]) -> None:
        """Note a number of each run."""
        for run, value in zip(alive, values.tolist(), strict=True):
            self.curve[run].append((step, name, value))

    def see(
        self, row: int, run: int, step: int, group: Stacked | Rows, data: DataSet, last: bool
    ) -> None:
        """Show one network to whoever watches; its end takes the place of a look at that step."""
        if self.watch is None:
            return
        start, now = (
            {name: t[row] for name, t in zip(group.names, tensors, strict=True)}
            for tensors in (self.start, group.theta)
        )
        before = [seen for seen in self.seen[run] if not last or seen[1] != step]

        def network(count: int, of: str) -> tuple[nn.Module, Tensor, Tensor]:
            split = data.train if of == "train" else data.test
            y = split.y[row] if per_network(split.y) else split.y
            return group.module(row), split.x[:count], y[:count]

        rows = self.watch.see(start, now, last, network)
        self.seen[run] = [*before, *((layer, step, name, v) for layer, name, v in rows)]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these networks only."""
        self.start = [t[list(rows)] for t in self.start]


def _norms(tensors: Sequence[Tensor]) -> Tensor:
    """L2 norm of each network's tensors together: (R, *shape) each → (R,)."""
    return torch.stack([t.flatten(1).double().square().sum(1) for t in tensors]).sum(0).sqrt()
