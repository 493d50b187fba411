"""Lightning's Trainer, one network after the other, with all that is not training left off."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.cases import Training
from benchmarks.peers.loop import loader, put

# A line about the devices found, for every network that is trained.
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class _Module(lightning.LightningModule):
    def __init__(self, module: nn.Module, lr: float) -> None:
        super().__init__()
        self.module, self.lr = module, lr

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        x, y = batch
        loss = F.cross_entropy(self.module(x), y)
        self.last = loss.detach()
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Lightning:
    """`Trainer(barebones=True)`: no logging, progress bar, checkpoints or sanity checks."""

    name = "Lightning"
    letters = "abcd"
    one_by_one = True

    def prepare(self, case: Training) -> Callable[[], Tensor]:
        """See `benchmarks.peers.Peer`."""
        start, module = case.start(), case.model.build(case.device)
        accelerator = "gpu" if case.device == "cuda" else "cpu"

        def run() -> Tensor:
            losses = []
            for network in range(case.networks):
                put(module.to(case.device), start, network)  # the trainer hands it back elsewhere
                wrapped = _Module(module, case.lr)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of workers, which cost more than they give
                    trainer = lightning.Trainer(
                        max_epochs=1, accelerator=accelerator, devices=1, barebones=True
                    )
                    trainer.fit(wrapped, loader(case, network))
                losses.append(wrapped.last)
            return torch.stack(losses)

        return run
