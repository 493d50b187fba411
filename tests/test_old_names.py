"""Names of before still work, and say what they are called now."""

from __future__ import annotations

import pytest

import initlab
from initlab.init import HeNormal
from initlab.spec import from_plain, key, to_plain
from initlab.train import Budget

OLD = {
    "target": "target_test_accuracy",
    "fitted": "target_train_accuracy",
    "loss": "target_train_loss",
}


@pytest.mark.parametrize("old", OLD)
def test_goals_of_a_budget(old):
    with pytest.warns(DeprecationWarning, match=f"Budget: {old} is called {OLD[old]}"):
        budget = Budget(**{old: 0.5})
    assert getattr(budget, OLD[old]) == 0.5
    now = Budget(**{OLD[old]: 0.5})
    assert budget == now and key(budget) == key(now)
    assert from_plain({"type": "Budget", old: 0.5}) == now
    with pytest.raises(TypeError, match="give one of them"):
        Budget(**{old: 0.5, OLD[old]: 0.5})


def test_the_observer_of_a_run():
    from initlab.measure.displacement import Displacement

    given = {"data": initlab.Data("digits"), "budget": Budget(epochs=1)}
    with pytest.warns(DeprecationWarning, match="Run: watch is called observer"):
        run = initlab.Run(initlab.MLP((3,), inputs=64), HeNormal(), watch=Displacement(), **given)
    assert run.observer == Displacement()
    plain = to_plain(run)
    plain["watch"] = plain.pop("observer")
    assert from_plain(plain) == run
