"""Experiments as values: a run, products of runs, what they cost, and what is known of them.

`run(runs)` looks up what is recorded or stored, computes the rest in groups that train as one,
and stores each group when it ends. A killed sweep loses the groups in flight and nothing else.
"""

from __future__ import annotations

from initlab.spec import key
from initlab.sweep.engine import ENGINES, run
from initlab.sweep.estimate import Estimate, estimate
from initlab.sweep.execute import execute, initial
from initlab.sweep.groups import groups
from initlab.sweep.runs import Pretrained, Run, from_json, grid, select

__all__ = [
    "ENGINES",
    "Estimate",
    "Pretrained",
    "Run",
    "estimate",
    "execute",
    "from_json",
    "grid",
    "groups",
    "initial",
    "key",
    "run",
    "select",
]
