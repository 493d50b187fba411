"""A parameter is known, or refused by name."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from initlab import parameters


@dataclass(frozen=True, kw_only=True)
class Chapter(parameters.Settings):
    depths: tuple[int, ...]
    epochs: int


PRESETS = {
    "smoke": Chapter(preset="smoke", depths=(1,), epochs=1),
    "laptop": Chapter(depths=(5,), epochs=10),
}
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
        ({"engine": "slurm"}, "unknown engine 'slurm'; choose local"),
        ({"device": "abacus"}, "device 'abacus' cannot be used here"),
        (
            {"In": ["# Parameters\nepoch = 2\n"]},
            "unknown parameter epoch; this notebook takes depths, device, engine, epochs",
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
