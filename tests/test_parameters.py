"""A parameter is known, or refused by name."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from initlab import parameters


@dataclass(frozen=True, kw_only=True)
class Chapter(parameters.Settings):
    """A chapter.

    Args:
        depths: of networks as wide
            as they are deep.
        epochs: at most.
        test: samples; 0: all.
        rate: of learning.
        dataset: that is learnt.
        others: that are learnt as well.
        label: of the figure.
    """

    depths: tuple[int, ...]
    epochs: int
    test: int = 100
    rate: float = 0.1
    dataset: parameters.DataSet = "mnist"
    others: tuple[parameters.DataSet, ...] = ("digits",)
    label: str = "a"


PRESETS = {
    "smoke": Chapter(preset="smoke", depths=(1,), epochs=1),
    "laptop": Chapter(depths=(5,), epochs=10),
    "paper": Chapter(preset="paper", depths=(5, 9), epochs=10, test=0),
}
KNOWN = parameters.schema(PRESETS)
BASE = {"preset": "laptop", "device": "cpu", "seed": 0, "engine": "local", "recorded": True}


def test_the_preset_fills_in_what_is_none():
    p = parameters.read(BASE | {"depths": None, "epochs": 3}, PRESETS)
    assert (p.depths, p.epochs, p.seed) == ((5,), 3, 0)


def test_papermills_cell_may_set_what_is_known():
    cell = '# Parameters\npreset = "smoke"\nepochs = 2\n'
    p = parameters.read(BASE | {"preset": "smoke", "epochs": 2, "In": ["", cell]}, PRESETS)
    assert p.preset == "smoke"
    assert (p.depths, p.epochs) == ((1,), 2)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"preset": "huge"}, "unknown preset 'huge'; choose one of smoke, laptop, paper"),
        ({"engine": "slurm"}, "unknown engine 'slurm'; choose one of local, ray"),
        ({"device": "abacus"}, "device 'abacus' cannot be used here"),
        (
            {"In": ["# Parameters\nepoch = 2\n"]},
            "unknown parameter epoch; this notebook takes dataset, depths, device, engine, epochs",
        ),
        ({"In": ["# Parameters\na = 1\nb = 2\n"]}, "unknown parameters a, b;"),
    ],
)
def test_what_is_unknown_is_refused(change, says):
    with pytest.raises(parameters.ParameterError) as error:
        parameters.read(BASE | change, PRESETS)
    assert says in str(error.value)


def test_lists_become_tuples():
    p = parameters.read(BASE | {"depths": [3, 4]}, PRESETS)
    assert p == Chapter(depths=(3, 4), epochs=10)


#: What a notebook's cell, plain papermill or a command line may give, and what it means.
TAKEN = [
    ("recorded", False, False),
    ("recorded", "no", False),
    ("recorded", "False", False),
    ("recorded", " On ", True),
    ("depths", [5, 10], (5, 10)),
    ("depths", (5, 10), (5, 10)),
    ("depths", "[5, 10]", (5, 10)),
    ("depths", "[5]", (5,)),
    ("depths", "None", None),
    ("epochs", "3", 3),
    ("epochs", None, None),
    ("test", 0, 0),
    ("rate", 1, 1),
    ("rate", "1e-3", 0.001),
    ("seed", 2**32 - 1, 2**32 - 1),
    ("seed", "7", 7),
    ("dataset", "digits", "digits"),
    ("others", "['mnist', digits]", ("mnist", "digits")),
    ("engine", "ray", "ray"),
    ("label", "no", "no"),
    ("label", "5", "5"),
]


@pytest.mark.parametrize(("name", "value", "means"), TAKEN)
def test_a_value_is_what_its_parameter_is(name, value, means):
    taken = KNOWN[name].take(value)
    assert taken == means
    assert type(taken) is type(means)
    if means is not None:
        assert getattr(parameters.read(BASE | PLAIN | {name: value}, PRESETS), name) == means


PLAIN = {"depths": None, "epochs": None}
REFUSED = [
    ("recorded", "not sure", "recorded must be true or false, not 'not sure'"),
    ("recorded", 0, "recorded must be true or false, not 0"),
    ("recorded", [True], "recorded must be true or false, not [True]"),
    ("dataset", "nosuch", "unknown dataset 'nosuch'; choose one of digits, gaussian, mnist, "),
    ("dataset", ["mnist"], "unknown dataset ['mnist']; choose one of digits, "),
    ("others", ["mnist", "x"], "unknown others ['mnist', 'x']; choose one or more of digits, "),
    ("others", "mnist", "unknown others 'mnist'; choose one or more of digits, "),
    ("depths", [], "a list of one or more whole numbers ≥ 1, such as [1], not []"),
    ("depths", "[]", "a list of one or more whole numbers ≥ 1, such as [1], not '[]'"),
    ("depths", 5, "depths must be a list of one or more whole numbers ≥ 1, such as [1], not 5"),
    ("depths", "5", "such as [1], not '5'"),
    ("depths", [5, 0], "such as [1], not [5, 0]"),
    ("depths", [5, 1.5], "such as [1], not [5, 1.5]"),
    ("depths", ["a"], "such as [1], not ['a']"),
    ("depths", {"a": 1}, "such as [1], not {'a': 1}"),
    ("epochs", 0, "epochs must be a whole number ≥ 1, not 0"),
    ("epochs", True, "epochs must be a whole number ≥ 1, not True"),
    ("epochs", "1.5", "epochs must be a whole number ≥ 1, not '1.5'"),
    ("test", -1, "test must be a whole number ≥ 0, not -1"),
    ("rate", "fast", "rate must be a finite number, not 'fast'"),
    ("rate", "nan", "rate must be a finite number, not 'nan'"),
    ("rate", float("inf"), "rate must be a finite number, not inf"),
    ("seed", 10**30, "seed must be a whole number from 0 to 4,294,967,295, not 1000"),
    ("seed", -1, "seed must be a whole number from 0 to 4,294,967,295, not -1"),
    ("label", 5, "label must be a text, not 5"),
    ("preset", 3, "unknown preset 3; choose one of smoke, laptop, paper"),
]


@pytest.mark.parametrize(("name", "value", "says"), REFUSED)
def test_a_value_that_is_none_of_its_parameter_is_refused(name, value, says):
    with pytest.raises(parameters.ParameterError) as error:
        KNOWN[name].take(value)
    assert says in str(error.value)
    with pytest.raises(parameters.ParameterError):
        parameters.read(BASE | PLAIN | {name: value}, PRESETS)


def test_a_preset_is_never_left_open():
    with pytest.raises(parameters.ParameterError, match="a preset must be given; choose one of"):
        parameters.read(BASE | PLAIN | {"preset": None}, PRESETS)


def test_a_cluster_has_devices_of_its_own():
    given = BASE | PLAIN | {"device": "abacus"}
    assert parameters.read(given | {"engine": "ray"}, PRESETS).device == "abacus"


def test_parameters_say_what_they_decide():
    assert KNOWN["depths"].says == "of networks as wide as they are deep."
    assert KNOWN["seed"].says == "added to every seed of the chapter."
    assert KNOWN["test"].presets == {"smoke": 100, "laptop": 100, "paper": 0}
    assert all(p.says and p.wanted for p in KNOWN.values())
