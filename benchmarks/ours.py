"""Ours: the one place where the benchmarks call the package that they measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from benchmarks.cases import CLASSES, Signal, Training
from benchmarks.own import OWN, OwnTraining
from initlab import Store, Tensors, tree
from initlab.data import DataSet, Split
from initlab.init import AsBuilt, HeNormal
from initlab.measure.signal import SecondMoments
from initlab.models import MLP
from initlab.spec import key
from initlab.sweep import Run, execute, run
from initlab.train import SGD, Budget, fit


class Ours:
    """`initlab.train.fit` and `initlab.measure.signal.second_moments`."""

    name = "initlab"
    letters = "abcdefghijklmn"
    one_by_one = False

    def prepare(self, case: Training | Signal) -> Callable[[], Tensor]:
        """See `benchmarks.peers.Peer`."""
        if isinstance(case, OwnTraining):
            return _own(case)
        return _signal(case) if isinstance(case, Signal) else _training(case)


class OnProcesses:
    """`initlab.run`, which may use two processes: their start and the store are in its time.

    It goes over the data `case.passes` times, as nobody starts processes for less.
    """

    name = "initlab.run, workers=2"
    letters = "".join(OWN)
    one_by_one = False

    def prepare(self, case: OwnTraining) -> Callable[[], Tensor]:
        """See `benchmarks.peers.Peer`."""
        data = Tensors(train=case.data())
        runs = [
            Run(
                case.model,
                AsBuilt(),
                data=data,
                loss=case.loss,
                optimizer=SGD(case.lr, case.momentum),
                budget=Budget(epochs=case.passes, batch_size=case.batch),
                seed=network,
                order=0 if case.shared else network,
            )
            for network in range(case.networks)
        ]

        def work() -> Tensor:
            with TemporaryDirectory() as folder:
                frame = run(runs, store=Store(Path(folder)), workers=2, recorded=False)
            losses = frame[frame.statistic == "train_loss"].set_index("key").value
            return torch.tensor([losses[key(r)] for r in runs])

        return work


def _own(case: OwnTraining) -> Callable[[], Tensor]:
    x, y = case.data()
    data = DataSet("random", Split(x, y), Split(tree.part(x, slice(1)), y[:1]), None)
    budget = Budget(epochs=1, batch_size=case.batch)
    start = case.start()
    orders = [case.generator(0)] * case.networks
    if not case.shared:
        orders = [case.generator(r) for r in range(case.networks)]

    def work() -> Tensor:
        ended = fit(
            case.model,
            start,
            data,
            optimizer=SGD(case.lr, case.momentum),
            budget=budget,
            loss=case.loss,
            order=orders,
        )
        return torch.tensor([outcome.train_loss for outcome in ended])

    return work


def _training(case: Training) -> Callable[[], Tensor]:
    x, y = case.data()
    # One test sample and no checks on the way: what is timed is training.
    data = DataSet("random", Split(x, y), Split(x[:1], y[:1]), CLASSES)
    budget = Budget(epochs=1, batch_size=case.batch, resolution=float(case.steps))
    start = case.start()
    orders = [case.generator(0)] * case.networks
    if not case.shared:
        orders = [case.generator(r) for r in range(case.networks)]

    def run() -> Tensor:
        ended = fit(
            case.model,
            start,
            data,
            optimizer=SGD(case.lr),
            budget=budget,
            order=orders,
        )
        return torch.tensor([outcome.train_loss for outcome in ended])

    return run


def _signal(case: Signal) -> Callable[[], Tensor]:
    model = MLP.constant(case.depth, case.width, inputs=case.width, outputs=None, bias=False)
    run = Run(model, HeNormal(), networks=case.networks, measure=SecondMoments(layers="all"))
    seeds = count()  # new networks at every call

    def work() -> Tensor:
        [(_, _, _, rows)] = execute([replace(run, seed=next(seeds))], case.device)
        M = torch.empty(case.networks, case.depth + 1, dtype=torch.float64)
        for network, layer, _, _, value in rows:
            M[network, layer] = value
        return M

    return work
