"""Which samples a step sees: shuffled anew for every epoch, shared by networks or each its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from initlab.augment import Augment
from initlab.data import Split
from initlab.train.ensemble import Batch
from initlab.tree import Each, Stateful, apply


class Batches(Stateful):
    """The batches of one epoch after the other, for R networks.

    Networks with the same generator see the same batches; when all do, a batch is (B, …) and
    shared, else it is (R, B, …). The last batch of an epoch may be smaller.
    """

    def __init__(
        self,
        train: Split,
        batch_size: int,
        orders: Sequence[torch.Generator],
        augment: Augment | None = None,
        image: tuple[int, ...] = (),
        labels: Tensor | None = None,
    ) -> None:
        """`orders` has one generator per network; `labels`, (R, N, …), are targets of each network
        in place of those of `train`. `image` is the shape that inputs are augmented in.
        """
        self.train, self.batch_size, self.augment = train, batch_size, augment
        self.image = image
        self.count = len(train)
        self.shared: Tensor | None = None
        self.state = {"orders": Each(orders), "own": None, "labels": labels}

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return -(-self.count // self.batch_size)

    @property
    def labels(self) -> Tensor | None:
        """Targets of each network, (R, N, …), if they have their own."""
        labels: Tensor | None = self.state["labels"]
        return labels

    def shuffle(self) -> None:
        """Begin an epoch."""
        orders: list[torch.Generator] = self.state["orders"]
        drawn = {
            i: torch.randperm(self.count, generator=g)
            for i, g in {id(g): g for g in orders}.items()
        }
        device = self.train.y.device
        self.shared = self.state["own"] = None
        if len(drawn) == 1:
            [order] = drawn.values()
            self.shared = order.to(device)
        else:
            self.state["own"] = torch.stack([drawn[id(g)] for g in orders]).to(device)

    def chosen(self, i: int) -> Tensor:
        """Which samples the `i`-th batch of the epoch has: (B,) shared, or (R, B)."""
        order = self.state["own"] if self.shared is None else self.shared
        return order[..., i * self.batch_size : (i + 1) * self.batch_size]

    def batch(self, i: int) -> Batch:
        """Inputs and targets of the `i`-th batch of the epoch."""
        chosen = self.chosen(i)
        batch = self.of(chosen)
        if self.augment is None:
            return batch
        assert isinstance(batch.x, Tensor)
        return Batch(self._augmented(self.augment, batch.x), batch.y, batch.own_x, batch.own_y)

    def of(self, chosen: Tensor) -> Batch:
        """Inputs and targets of samples, as they are."""
        own = chosen.dim() == 2
        flat = chosen.flatten()

        def pick(t: Tensor) -> Tensor:
            return t.index_select(0, flat).unflatten(0, chosen.shape)

        y, own_y = self.targets(chosen)
        return Batch(apply(pick, self.train.x), y, own, own_y)

    def targets(self, chosen: Tensor) -> tuple[Tensor, bool]:
        """Targets of samples, and whether each network has its own."""
        if self.labels is None:
            return self.train.y[chosen], chosen.dim() == 2
        if chosen.dim() == 1:
            return self.labels[:, chosen], True
        rows = torch.arange(len(chosen), device=chosen.device)
        return self.labels[rows.unsqueeze(-1), chosen], True

    def _augmented(self, augment: Augment, x: Tensor) -> Tensor:
        def changed(x: Tensor, g: torch.Generator) -> Tensor:
            return augment(x.reshape(-1, *self.image), g).reshape(x.shape)

        orders: list[torch.Generator] = self.state["orders"]
        if self.shared is not None:
            return changed(x, orders[0])
        drawn: dict[int, Tensor] = {}
        for row, g in enumerate(orders):  # networks with one order see one augmentation
            if id(g) not in drawn:
                drawn[id(g)] = changed(x[row], g)
        return torch.stack([drawn[id(g)] for g in orders])
