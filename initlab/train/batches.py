"""Which samples a step sees: shuffled anew for every epoch, shared by networks or each its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from initlab.augment import Augment
from initlab.data import Split


def per_network(y: Tensor) -> bool:
    """Whether targets are (R, N) or (R, N, classes) and not (N,) or (N, classes)."""
    return y.dim() == (3 if y.is_floating_point() else 2)


class Batches:
    """The batches of one epoch after the other, for R networks.

    Networks with the same generator see the same batches; when all do, a batch is (B, …) and
    shared, else it is (R, B, …). The last batch of an epoch may be smaller.
    """

    def __init__(
        self,
        train: Split,
        batch_size: int,
        orders: Sequence[torch.Generator],
        augment: Augment | None,
        image: tuple[int, ...],
    ) -> None:
        """`orders` has one generator per network; targets are shared or one set per network.
        `image` is the shape that inputs are augmented in.
        """
        self.train, self.batch_size, self.augment = train, batch_size, augment
        self.image = image
        self.orders = list(orders)
        self.own_labels = per_network(train.y)
        self.count = len(train.x)
        self.shuffled = torch.empty(0, dtype=torch.int64)

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return -(-self.count // self.batch_size)

    def shuffle(self) -> None:
        """Begin an epoch."""
        drawn = {
            i: torch.randperm(self.count, generator=g)
            for i, g in {id(g): g for g in self.orders}.items()
        }
        if len(drawn) == 1:
            [order] = drawn.values()
        else:
            order = torch.stack([drawn[id(g)] for g in self.orders])
        self.shuffled = order.to(self.train.x.device)

    def chosen(self, i: int) -> Tensor:
        """Which samples the `i`-th batch of the epoch has: (B,) shared, or (R, B)."""
        return self.shuffled[..., i * self.batch_size : (i + 1) * self.batch_size]

    def batch(self, i: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the `i`-th batch of the epoch."""
        x, y = self.of(self.chosen(i))
        if self.augment is not None:
            x = self._augmented(self.augment, x)
        return x, y

    def of(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and targets of samples, as they are."""
        x = self.train.x.index_select(0, chosen.flatten()).unflatten(0, chosen.shape)
        return x, self.targets(chosen)

    def targets(self, chosen: Tensor) -> Tensor:
        """Targets of samples."""
        if not self.own_labels:
            return self.train.y[chosen]
        if chosen.dim() == 1:
            return self.train.y[:, chosen]
        rows = torch.arange(len(chosen), device=chosen.device)
        return self.train.y[rows.unsqueeze(-1), chosen]

    def _augmented(self, augment: Augment, x: Tensor) -> Tensor:
        def changed(x: Tensor, g: torch.Generator) -> Tensor:
            return augment(x.reshape(-1, *self.image), g).reshape(x.shape)

        if self.shuffled.dim() == 1:
            return changed(x, self.orders[0])
        drawn: dict[int, Tensor] = {}
        for row, g in enumerate(self.orders):  # networks with one order see one augmentation
            if id(g) not in drawn:
                drawn[id(g)] = changed(x[row], g)
        return torch.stack([drawn[id(g)] for g in self.orders])

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these networks only."""
        if self.shuffled.dim() == 2:
            self.shuffled = self.shuffled[rows]
        if self.own_labels:
            self.train = Split(self.train.x, self.train.y[rows])
        self.orders = [self.orders[r] for r in rows]
