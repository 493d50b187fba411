"""The warm start of Ash & Adams 2020: some of the data first, then more of them."""

from __future__ import annotations

from itertools import product

import numpy as np

from initlab.models import MLP, LogisticRegression, Model
from initlab.reinit import Method, ShrinkPerturb
from initlab.studies.when_reinitialization_works.network import (
    BATCH,
    HE,
    MOMENTUM,
    data_of,
    residual_network,
)
from initlab.studies.when_reinitialization_works.settings import Settings
from initlab.sweep import Pretrained, Run
from initlab.train import SGD, Budget

#: How a start is made from the end of the run before: None for a new network.
Start = tuple[Method, str | None] | None

RESIDUAL, LOGISTIC = "residual network", "logistic regression"
NEW, WARM = "new", "warm"
_WARM: Start = (ShrinkPerturb(1.0, 0.0), "kept")
_CODE: Start = (ShrinkPerturb(), None)
#: θ ← λ θ + N(0, σ²), the form of their text, and that of their code.
REMEDIES: dict[str, Start] = {
    "λ = 0.3, σ = 0.01": (ShrinkPerturb(0.3, 0.0, noise=0.01), None),
    "λ = 0.6, σ = 0.01": (ShrinkPerturb(0.6, 0.0, noise=0.01), None),
    "λ = 0.3, σ = 0.1": (ShrinkPerturb(0.3, 0.0, noise=0.1), None),
    "λ = 0.6, σ = 0.1": (ShrinkPerturb(0.6, 0.0, noise=0.1), None),
    "0.4 θ + 0.1 θ′": _CODE,
}
STARTS: dict[str, Start] = {NEW: None, WARM: _WARM} | REMEDIES
#: Where data arrive in rounds.
ONLINE: dict[str, Start] = {NEW: None, WARM: _WARM, "0.4 θ + 0.1 θ′": _CODE}


def kinds(settings: Settings) -> dict[str, tuple[Model, float, int]]:
    """The kinds of networks: model, learning rate, number of networks."""
    data = data_of(settings, settings.main)
    flat, classes = int(np.prod(data.shape)), data.outputs
    return {
        RESIDUAL: (residual_network(settings, data), 0.01, settings.runs),
        "MLP": (MLP(settings.hidden, inputs=flat, outputs=classes), 0.01, settings.mlp_runs),
        LOGISTIC: (LogisticRegression(flat, classes), 0.001, settings.mlp_runs),
    }


def started(settings: Settings, kind: str, seed: int, how: Start, shares: tuple[float, ...]) -> Run:
    """Training until the data are fitted, on the last of growing shares of them.

    Each run but the first begins from the end of the one on the share before, whose seed is
    larger by 100, so that every one draws its own θ′.

    Args:
        settings: of the chapter.
        kind: of the network; see `kinds`.
        seed: of the weights.
        how: the start.
        shares: of the training samples, growing.
    """
    model, rate, _ = kinds(settings)[kind]
    *before, share = shares
    start = None
    if how is not None and before:
        method, kept = how
        start = Pretrained(started(settings, kind, seed + 100, how, tuple(before)), method, kept)
    return Run(
        model,
        HE,
        data=data_of(settings, settings.main, share=share),
        seed=seed,
        optimizer=SGD(lr=rate, momentum=MOMENTUM),
        budget=Budget(epochs=settings.fitting, batch_size=BATCH, target_train_accuracy=0.99),
        start=start,
    )


def warm(settings: Settings) -> dict[tuple, list[Run]]:
    """Half of the data, then all of them: runs by kind of network and start."""
    return {
        (kind, name): [
            started(settings, kind, settings.seed + i, how, (0.5, 1.0)) for i in range(count)
        ]
        for (kind, (_, _, count)), (name, how) in product(kinds(settings).items(), STARTS.items())
        if kind != LOGISTIC or name in (NEW, WARM)
    }


def online(settings: Settings) -> dict[tuple, list[Run]]:
    """Data that arrive in rounds, residual network: runs by start and round (from 0)."""
    shares = tuple((r + 1) / settings.rounds for r in range(settings.rounds))
    return {
        (name, r): [
            started(settings, RESIDUAL, settings.seed + i, how, shares[: r + 1])
            for i in range(settings.runs)
        ]
        for (name, how), r in product(ONLINE.items(), range(settings.rounds))
    }
