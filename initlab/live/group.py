"""A group of networks that trains on request: what a notebook's kernel does for a live section.

It calls the very functions that are exported for the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

import torch
from torch import Tensor

from initlab.live import initializers, network, steps
from initlab.live.config import Config
from initlab.live.samples import CLASSES, samples

#: Which axis of each parameter counts the networks.
AXES = (0, 0, 1, 1, 0, 0)


class Group:
    """Networks side by side, from their first weights on."""

    def __init__(self, config: Config) -> None:
        """Draw all networks of `config`."""
        self.config = config
        found = samples(config.data)
        self.train = found.train
        self.x = found.inputs()
        noises = [n.noise for n in config.networks]
        targets = {noise: found.targets(noise) for noise in set(noises)}
        self.y = torch.stack([targets[noise] for noise in noises])
        self.per_epoch = self.train // config.batch
        if not self.per_epoch:
            raise ValueError(f"batch must be at most {self.train}, the training samples")
        self.step = 0
        self.params = self.first = self.drawn()
        self._forget()

    def _forget(self) -> None:
        buffers = steps.STATES[self.config.optimizer]
        self.state = [[torch.zeros_like(t) for t in self.params] for _ in range(buffers)]
        self.t = torch.zeros(len(self.config.networks))

    def numbers(self, name: str) -> Tensor:
        """That number of each network, (R,)."""
        return torch.tensor([float(getattr(n, name)) for n in self.config.networks])

    def drawn(self, shift: int = 0) -> list[Tensor]:
        """Weights of each network by its own rule and scale; `shift` is added to the seeds."""
        config = self.config
        R = len(config.networks)
        like = network.zeros(R, config.depth, config.width, self.x.shape[1], CLASSES)
        seeds = torch.tensor([(n.seed + shift) % 2**32 for n in config.networks])
        for rule in {n.rule for n in config.networks}:
            rows = [r for r, n in enumerate(config.networks) if n.rule == rule]
            own = [
                t.index_select(axis, torch.tensor(rows)) for t, axis in zip(like, AXES, strict=True)
            ]
            gain = torch.tensor(initializers.factor(rule, config.activation))
            made = initializers.initialize(
                initializers.drawn(rule), own, seeds[rows], self.numbers("scale")[rows], gain
            )
            for t, new, axis in zip(like, made, AXES, strict=True):
                t.index_copy_(axis, torch.tensor(rows), new)
        return like

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs (B, i) and targets (R, B, 10) of that step."""
        size = self.config.batch
        at = (step % self.per_epoch) * size
        return self.x[at : at + size], self.y[:, at : at + size]

    def gradients(self) -> tuple[Tensor, ...]:
        """See `network.gradients`, on the batch of the next step."""
        config = self.config
        x, y = self.batch(self.step)
        return network.gradients(self.params, x, y, config.activation, config.norm)

    def advance(self) -> tuple[Tensor, ...]:
        """One step; loss, accuracy (R,), and rms of activations and gradients before it."""
        c = self.config
        *grads, loss, accuracy, lengths, slopes = self.gradients()
        lr, decay = self.numbers("lr"), self.numbers("weight_decay")
        if c.optimizer == "sgd":
            momentum = torch.full_like(lr, c.momentum)
            out = list(steps.sgd(self.params, self.state[0], grads, lr, momentum, decay))
        else:
            means, squares = self.state
            beta1, beta2, eps = (torch.tensor(v) for v in (c.beta1, c.beta2, c.eps))
            before = self.params, means, squares, self.t
            numbers = lr, decay, beta1, beta2, eps
            *out, self.t = steps.adam(*before, grads, *numbers, decoupled=c.optimizer == "adamw")
        self.params, *self.state = (out[k : k + 6] for k in range(0, len(out), 6))
        self.step += 1
        return loss, accuracy, lengths, slopes

    def run(self, count: int, seconds: float = float("inf")) -> list[tuple[Tensor, ...]]:
        """At least one step, at most `count`, no further one once that time has passed."""
        began = monotonic()
        told: list[tuple[Tensor, ...]] = []
        while not told or (len(told) < count and monotonic() - began < seconds):
            told.append(self.advance())
        return told

    def evaluate(self, edges: Sequence[float], split: str) -> tuple[Tensor, ...]:
        """See `network.evaluate`, on all training or test samples."""
        c = self.config
        part = slice(0, self.train) if split == "train" else slice(self.train, None)
        given = self.x[part], self.y[:, part], torch.tensor(edges)
        return network.evaluate(self.params, *given, c.activation, c.norm)

    def mix(self, keep: float, mix: float, shift: int, rows: Sequence[int]) -> None:
        """Shrink & Perturb the networks in `rows`; their optimizer starts anew."""
        fresh = self.drawn(shift)
        mixed = steps.mix(self.params, fresh, torch.tensor(keep), torch.tensor(mix))
        index = torch.tensor(list(rows), dtype=torch.int64)

        def replaced(old: Sequence[Tensor], new: Sequence[Tensor]) -> list[Tensor]:
            return [
                a.index_copy(axis, index, b.index_select(axis, index))
                for a, b, axis in zip(old, new, AXES, strict=True)
            ]

        self.params = replaced(self.params, mixed)
        blank = [torch.zeros_like(t) for t in self.params]
        self.state = [replaced(buffer, blank) for buffer in self.state]
        self.t = self.t.index_fill(0, index, 0.0)

    def displacement(self) -> tuple[Tensor, ...]:
        """See `steps.displacement`."""
        return steps.displacement(self.params, self.first)
