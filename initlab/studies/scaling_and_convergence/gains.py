"""Activations other than ReLU, from He's factor √2 and from their own gain: C-12."""

from __future__ import annotations

from functools import lru_cache

import pandas as pd

from initlab.claims import Estimate
from initlab.init import VarianceScaling
from initlab.studies.contract import Results
from initlab.studies.scaling_and_convergence import signal
from initlab.studies.scaling_and_convergence.ends import by_rule, fewer, summary
from initlab.studies.scaling_and_convergence.networks import gain, relu_net, sgd, trained
from initlab.studies.scaling_and_convergence.settings import Settings
from initlab.studies.scaling_and_convergence.signal import OTHERS
from initlab.sweep import Run
from initlab.train import Budget

RULES = ("√2", "gain")


@lru_cache
def runs(s: Settings) -> dict[str, list[Run]]:
    """Deep networks of each activation, trained from both rules until training has started."""
    budget = Budget(epochs=min(10, s.epochs), batch_size=s.batch_size, target_test_accuracy=0.2)
    return {
        a: trained(
            s,
            relu_net(s, 3 if s.smoke else s.signal_depth, activation=a),
            [VarianceScaling(scale=2.0), gain(a)],
            optimizers=sgd([0.1] if s.smoke else [1e-4, 1e-3, 0.01, 0.1]),
            budget=budget,
        )
        for a in OTHERS
    }


def _forward(results: Results[Settings]) -> pd.DataFrame:
    frame = signal.ratios(results)
    chosen = frame.activation.isin(OTHERS) & frame.rule.isin(RULES) & (frame.way == "forward")
    return frame[chosen].set_index(["activation", "rule"])


def frame(results: Results[Settings]) -> pd.DataFrame:
    """Each activation from both rules: epochs until it starts, and the ratio per layer.

    Returns:
        Columns `activation`, `rule`, `mean` epochs at the tuned rate with `low` and `high`, the
        share that `started`, and the `ratio` of the mean square per layer with its `expected`.
    """
    forward = _forward(results)
    cells = {
        (a, name): cell
        for a, both in runs(results.settings).items()
        for name, cell in zip(RULES, by_rule(both).values(), strict=True)
    }
    found = summary(results, cells, ["activation", "rule"]).rename(columns={"reached": "started"})
    at = forward.loc[list(cells)]
    found = found.assign(ratio=at.measured.to_numpy(), expected=at.expected.to_numpy())
    return found.drop(columns=["rate", "n", "budget"])


def estimates(results: Results[Settings]) -> dict[str, Estimate]:
    """Of the criteria of C-12."""
    s = results.settings
    forward = _forward(results).reset_index()
    found = {"C-12a.forward": signal.deviations(forward[forward.rule == "√2"], s.networks)}
    for a in OTHERS:
        root_two, own = by_rule(runs(s)[a]).values()
        found[f"C-12b.{a}"] = fewer(results, own, root_two)
    return found
