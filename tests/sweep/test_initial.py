"""Where a run started is not stored: its rule and its seed give it again."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from initlab import sweep
from initlab.data import Data, load
from initlab.init import GlorotUniform, HeNormal
from initlab.init.mark import MarkedLayer, mark
from initlab.measure.displacement import Displacement, travelled
from initlab.measure.signal import SecondMoments
from initlab.models import MLP
from initlab.spec import key, seed_of
from initlab.store import Store
from initlab.sweep import Run, from_json
from initlab.train import SGD, Budget, fit

RUN = Run(
    MLP((24, 24), inputs=64),
    GlorotUniform(),
    data=Data("digits", train=200, test=50),
    seed=3,
    optimizer=SGD(lr=0.1),
    budget=Budget(epochs=4, batch_size=50),
    observer=Displacement(resolution=10.0),
)


def ended(run: Run) -> dict[str, torch.Tensor]:
    start = {n: t.unsqueeze(0) for n, t in sweep.initial(run).items()}
    order = torch.Generator().manual_seed(seed_of(run.order, "order"))
    [outcome] = fit(
        run.model,
        start,
        load(run.data),
        optimizer=run.optimizer,
        budget=run.budget,
        order=order,
    )
    return outcome.params


def test_distance_and_cosine_to_a_start_that_was_drawn_again(tmp_path):
    """From the text of a stored row alone: θ₀ again, and the same way from it to the end."""
    store = Store(tmp_path)
    frame = sweep.run([RUN], store=store, recorded=False)
    [text] = store.frame([key(RUN)])["run"].unique()
    again = from_json(text)
    begin, end = sweep.initial(again), ended(again)
    for layer, name in enumerate(("layer1", "layer2", "head"), 1):
        w, v = (p[f"{name}.weight"].numpy() for p in (begin, end))
        for statistic, value in travelled(w, v).items():
            rows = frame[(frame.layer == layer) & (frame.statistic == statistic)]
            assert rows[rows.step == rows.step.max()].value.item() == pytest.approx(value, rel=1e-5)
    assert travelled(w, v)["relative"] > 0.01


def test_a_start_is_its_own_and_always_the_same(untouched_random_state):
    one, same = sweep.initial(RUN), sweep.initial(dataclasses.replace(RUN, observer=None, order=5))
    other = sweep.initial(dataclasses.replace(RUN, seed=4))
    assert all(torch.equal(one[n], same[n]) for n in one)
    assert not torch.equal(one["layer2.weight"], other["layer2.weight"])
    marked = sweep.initial(dataclasses.replace(RUN, init=MarkedLayer()))
    assert torch.equal(marked["layer2.weight"], one["layer2.weight"] * mark((24, 24)))


def test_a_run_that_does_not_train_has_no_start():
    with pytest.raises(ValueError, match="only a run that trains starts somewhere"):
        sweep.initial(Run(MLP((4,), inputs=4), HeNormal(), measure=SecondMoments()))
