"""Deep networks of activations other than ReLU, from several starts: C-12."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd

from initlab import claims, init
from initlab.claims import Estimate
from initlab.init import Normal, Orthogonal, VarianceScaling
from initlab.init.contract import Rule
from initlab.measure import meanfield
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence import signal
from initlab.studies.scaling_and_convergence.ends import ends, mean_with_ends
from initlab.studies.scaling_and_convergence.networks import gain, images, relu_net, sgd, trained
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.studies.scaling_and_convergence.signal import OTHERS
from initlab.sweep import Run
from initlab.train import Budget

RULES = ("√2", "gain")
#: Activations that start from one of these at least, and such that hardly start from either: found
#: with other seeds.
SOONER, NEVER = ("elu", "selu", "abs"), ("gelu", "silu", "mish", "sine")
#: The other starts, and the standard deviation of the biases at whose edge of chaos a network
#: starts: the smallest multiple of 0.2 that has an edge with a finite mean square, by activation.
CONTROLS, BIASES = ("orthogonal", "critical biases", "DKS"), {"gelu": 0.6, "silu": 1.0}
#: After which a training is given up, and test images on which the start is looked for.
EPOCHS, TESTS = 6, 500


def rates(s: Settings) -> list[float]:
    """Two in a decade."""
    return [0.1] if s.smoke else [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1]


def depth(s: Settings) -> int:
    """Hidden layers."""
    return 3 if s.smoke else s.signal_depth


def horizon(s: Settings) -> int:
    """Epochs after which a training is given up."""
    return min(EPOCHS, s.epochs)


def _cell(s: Settings, activation, rule: Rule, seeds: range, biases: float = 0.0) -> list[Run]:
    """Trainings until 20 % test accuracy at every rate."""
    budget = Budget(
        epochs=horizon(s), batch_size=s.batch_size, target_test_accuracy=0.2, resolution=0.1
    )
    found = trained(
        s,
        relu_net(s, depth(s), activation=activation),
        [rule],
        on=images(s, s.samples, None if s.smoke else TESTS),
        optimizers=sgd(rates(s)),
        budget=budget,
        seeds=seeds,
    )
    return [replace(run, bias=Normal(biases)) for run in found] if biases else found


@lru_cache
def runs(s: Settings) -> dict[tuple[str, str], list[Run]]:
    """Every activation from He's factor √2 and from its own gain, by both."""
    rules = {"√2": lambda a: VarianceScaling(scale=2.0), "gain": gain}

    def seeds(a: str, name: str) -> range:
        """Of a cell: the more where a share is judged, or times that vary much."""
        few = a in ("elu", "selu") or (a in NEVER and name == "√2")
        return s.seeds if few else s.more_seeds

    return {
        (a, name): _cell(s, a, rules[name](a), seeds(a, name)) for a in OTHERS for name in RULES
    }


@lru_cache
def controls(s: Settings) -> dict[tuple[str, str], list[Run]]:
    """What else is known for such networks, by activation and start.

    "orthogonal": the gain times orthogonal matrices. "critical biases": normal weights and biases
    at the edge of chaos. "DKS": the activation transformed by Deep Kernel Shaping, and orthogonal
    matrices.
    """
    found: dict[tuple[str, str], list[Run]] = {}
    for a, biases in BIASES.items():
        sigma_w = round(meanfield.edge_of_chaos(a, biases), 6)
        shaped = init.deep_kernel_shaping(a, depth(s))
        cells = (
            _cell(s, a, Orthogonal(gain=round(init.gain(a), 9)), s.more_seeds),
            _cell(s, a, VarianceScaling(scale=round(sigma_w**2, 9)), s.more_seeds, biases),
            _cell(s, shaped, Orthogonal(), s.more_seeds),
        )
        found |= {(a, name): cell for name, cell in zip(CONTROLS, cells, strict=True)}
    return found


def starts(s: Settings) -> dict[str, dict[str, list[Run]]]:
    """All starts of each activation, by name: what there is to decide between."""
    found: dict[str, dict[str, list[Run]]] = {a: {} for a in OTHERS}
    for (a, name), cell in (runs(s) | controls(s)).items():
        found[a][name] = cell
    return found


def tuned(results: Results[Settings], cell: Sequence[Run]) -> pd.DataFrame:
    """Every seed at the rate with the fewest mean epochs over the other seeds.

    So no training takes part in the choice of its own rate. Of equal rates the smallest is taken.
    """
    table = ends(results, cell).pivot(index="seed", columns="rate", values=["epochs", "reached"])
    epochs, reached = (table[name].to_numpy(float) for name in ("epochs", "reached"))
    others = epochs.sum(0) - epochs if len(epochs) > 1 else epochs
    at = others.argmin(1)[:, None]
    return pd.DataFrame(
        {
            "seed": table.index,
            "rate": table["epochs"].columns.to_numpy()[at[:, 0]],
            "epochs": np.take_along_axis(epochs, at, 1)[:, 0],
            "started": np.take_along_axis(reached, at, 1)[:, 0] == 1,
        }
    )


def by_rate(results: Results[Settings]) -> pd.DataFrame:
    """Mean epochs and the share that started, by `activation`, `start` and `rate`."""
    found = []
    for (a, name), cell in (runs(results.settings) | controls(results.settings)).items():
        at = ends(results, cell).groupby("rate", as_index=False)[["epochs", "reached"]].mean()
        found.append(at.assign(activation=a, start=name))
    return pd.concat(found, ignore_index=True).rename(columns={"reached": "started"})


def summary(
    results: Results[Settings], cells: Mapping[tuple[str, str], Sequence[Run]]
) -> pd.DataFrame:
    """One row per activation and start, at tuned rates.

    Returns:
        Columns `activation`, `start`, restricted `mean` of the epochs with its interval, the share
        that `started` with its interval as `least` and `most`, the most frequent `rate`, and `n`.
    """
    rows = []
    for (a, name), cell in cells.items():
        x = tuned(results, cell)
        told = mean_with_ends(x.epochs)
        told |= {"low": max(told["low"], 0.0), "high": min(told["high"], horizon(results.settings))}
        share = claims.share(x.started)
        least, most = share.interval()
        told |= {"started": share.value, "least": least, "most": most}
        row = {"activation": a, "start": name} | told
        rows.append(row | {"rate": x.rate.mode().iloc[0], "n": len(x)})
    return pd.DataFrame(rows)


def frame(results: Results[Settings]) -> pd.DataFrame:
    """All activations from both factors: `summary`, and the mean square's `ratio` per layer.

    Returns:
        Beside those of `summary` the measured `ratio` at the start and the `expected` one.
    """
    at = signal.ratios(results)
    at = at[at.way == "forward"].set_index(["activation", "rule"]).loc[list(runs(results.settings))]
    found = summary(results, runs(results.settings))
    return found.assign(ratio=at.measured.to_numpy(), expected=at.expected.to_numpy())


def hard(results: Results[Settings]) -> pd.DataFrame:
    """The activations that get other starts, from all of them: `summary`."""
    every = starts(results.settings)
    return summary(results, {(a, name): every[a][name] for a in BIASES for name in every[a]})


def sooner(results: Results[Settings], activation: str) -> Estimate:
    """Epochs from the activation's own gain minus those from √2, up to the horizon, by seed."""
    own, usual = (
        tuned(results, runs(results.settings)[activation, name]).epochs for name in ("gain", "√2")
    )
    return claims.restricted_difference(own, usual, horizon(results.settings), pairs=True)


def estimates(results: Results[Settings]) -> dict[str, Estimate]:
    """Of the criteria of C-12."""
    every = starts(results.settings)

    def share(activation: str, start: str) -> Estimate:
        return claims.share(tuned(results, every[activation][start]).started)

    found = {f"C-12a.{a}": sooner(results, a) for a in SOONER}
    found |= {f"C-12b.{a}": share(a, "gain") for a in NEVER}
    for claim, start in (("C-12c", "DKS"), ("C-12d", "critical biases"), ("C-12e", "orthogonal")):
        found |= {f"{claim}.{a}": share(a, start) for a in BIASES}
    return found
