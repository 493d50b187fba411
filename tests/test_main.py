"""The command line tells a user's mistake in one line, and never with a traceback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from initlab import __main__ as cli
from initlab import claims, sweep
from initlab.store import Store
from tests.sweep.test_sweep import RUNS

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "01-how-to-start-training.ipynb"


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A package whose recorded results are RUNS."""
    folder = tmp_path / "recorded"
    sweep.run(RUNS, store=Store(folder), recorded=False)
    monkeypatch.setattr("initlab.verify.RECORDED", folder)
    return folder


def test_claims_as_json(capsys):
    assert cli.main(["claims", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed == claims.published()
    wanted = {"id", "study", "statement", "paper", "ours", "interval", "n", "preset"}
    wanted |= {"verdict", "seconds"}
    assert all(wanted <= set(c) for c in listed)


def test_claims_as_text(capsys):
    assert cli.main(["claims"]) == 0
    out = capsys.readouterr().out
    assert all(c["statement"] in out for c in claims.published())


def test_verify_passes_and_fails(shipped, capsys):
    assert cli.main(["verify", "--sample", "4", "--seconds", "1e9"]) == 0
    assert "4 of 4 recorded runs came out the same" in capsys.readouterr().out
    store = Store(shipped)
    frame = store.frame()
    frame["value"] *= 1.5
    for part in store.parts():
        part.unlink()
    frame.to_parquet(shipped / "changed.parquet", index=False)
    with pytest.raises(SystemExit) as ended:
        cli.main(["verify", "--sample", "4", "--seconds", "1e9"])
    assert ended.value.code == 1
    assert "DIFFERS" in capsys.readouterr().out


def test_record_and_publish(tmp_path, monkeypatch, capsys):
    store = Store(tmp_path / "store")
    sweep.run(RUNS[:2], store=store, recorded=False)
    monkeypatch.setattr(cli, "RECORDED", tmp_path / "recorded")
    assert cli.main(["record", "study", "--store", str(store.folder)]) == 0
    assert Store(tmp_path / "recorded").keys() == store.keys()
    assert "2 runs in study.parquet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["execute", "none.ipynb", "out.ipynb"], "there is no notebook none.ipynb"),
        (
            ["execute", str(NOTEBOOK), "out.ipynb", "-p", "depht", "[5]"],
            "unknown parameter depht; this notebook takes batch_size, ",
        ),
        (
            ["execute", str(NOTEBOOK), "out.ipynb", "-p", "preset", "huge"],
            "unknown preset 'huge'; choose one of smoke, laptop, paper",
        ),
        (["publish", "none.ipynb"], "there is no notebook none.ipynb"),
        (["publish", str(NOTEBOOK)], "only claims of the laptop preset are published, not none"),
        (["record", "x", "--store", "nowhere"], "the store nowhere holds no results"),
        (["verify", "--seconds", "0"], "nothing was verified; allow more --seconds"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.ipynb").exists()


@pytest.mark.parametrize("arguments", [[], ["clams"], ["verify", "--sample", "few"]])
def test_argparse_says_what_is_known(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m initlab" in capsys.readouterr().err


@pytest.mark.notebook
def test_a_notebook_that_fails_leaves_no_result(tmp_path, capsys):
    copy = tmp_path / "copy.ipynb"
    shutil.copy(NOTEBOOK, copy)
    out = tmp_path / "out" / "out.ipynb"
    assert cli.main(["execute", str(copy), str(out), "-p", "device", "abacus"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "ParameterError: device 'abacus' cannot be used here" in error
    assert not out.exists()
    assert out.with_suffix(".failed.ipynb").exists()
