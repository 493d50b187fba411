"""Chapter 4 tunes on validation samples, and reads the test set once for what was selected.

The notebook's own cells are run, with made-up accuracies in place of training.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from initlab.spec import key
from initlab.sweep import Run
from tests.chapters import NOTEBOOKS, grids

NOTEBOOK = NOTEBOOKS / "04-when-reinitialization-works.ipynb"


def made_up(runs: list[Run], **_) -> pd.DataFrame:
    """One accuracy per run, which its key alone decides."""
    named = {key(r): r for r in runs}
    values = [np.random.default_rng(list(k.encode())).random() for k in named]
    return pd.DataFrame(
        {"key": list(named), "statistic": "test_accuracy", "value": values, "seconds": 0.0}
    )


@pytest.fixture(scope="module", params=["smoke", "laptop"])
def chapter(request) -> dict:
    """What the cells of the grids leave behind."""
    return grids(NOTEBOOK, request.param, made_up)


def cells(chapter: dict) -> list[tuple]:
    """Data set, setting and share of wrong labels of every comparison."""
    return list(product(chapter["p"].datasets, chapter["SETTINGS"], chapter["p"].noises))


def test_tuning_never_sees_the_test_set_and_is_equal_for_all_methods(chapter):
    tuning, surfaces = chapter["tuning"], chapter["surfaces"]
    runs = chapter["flattened"](tuning, surfaces)
    assert runs and all(r.data.validation for r in runs)
    for cell in cells(chapter):
        tried = [tuning[*cell, m] for m in chapter["METHODS"]]
        assert len({tuple(of) for of in tried}) == 1
        assert len({len(chapter["flattened"](of)) for of in tried}) == 1


def test_the_best_trial_on_validation_is_chosen(chapter):
    for cell, of in chapter["tuning"].items():
        means = {}
        for trial, group in of.items():
            means[trial] = made_up(group).value.mean()
        assert chapter["chosen"][cell] == max(means, key=lambda t: means[t])


def test_the_test_set_is_read_once_per_selected_cell(chapter):
    """By new seeds, after the last step: without curves nothing is read on the way."""
    tried = {r.seed for r in chapter["flattened"](chapter["tuning"])}
    for cell, group in chapter["final"].items():
        rate, decay = chapter["chosen"][cell]
        assert len(group) == len({key(r) for r in group}) == len(chapter["seeds"](cell[0]))
        for run in group:
            assert not run.data.validation and run.curves is None and run.watch is None
            assert (run.optimizer.lr, run.optimizer.weight_decay) == (rate, decay)
            assert run.seed not in tried
    others = chapter["flattened"](chapter["counted"], chapter["controls"], chapter["watched"])
    assert others and all(r.data.validation for r in others)


def test_all_methods_have_the_same_epochs_the_same_batches_and_the_same_wrong_labels(chapter):
    for cell in cells(chapter):
        groups = [chapter["final"][*cell, m] for m in chapter["METHODS"]]
        for twins in zip(*groups, strict=True):
            spent = {
                sum(r.stages.lengths(r.budget.epochs)) if r.stages else r.budget.epochs
                for r in twins
            }
            assert spent == {chapter["epochs_of"](cell[0])}
            for field in ("seed", "order", "noise", "augment", "schedule", "data", "model", "init"):
                assert len({getattr(r, field) for r in twins}) == 1
