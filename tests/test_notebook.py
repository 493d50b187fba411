"""A notebook is checked before it runs, and leaves a whole copy or a failed one set aside."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from pathlib import Path

import pytest
from papermill.engines import NotebookExecutionManager

from initlab import execution, notebook
from initlab.notebook import (
    NotebookError,
    check,
    failed_copy,
    fingerprint,
    read,
    run,
    seconds_before,
    value,
)
from initlab.parameters import ParameterError

PARAMETERS = "preset = 'laptop'\ndevice = 'cpu'\nseed = 0\nwait = 0.0\nfolder = '.'"
BODY = """
import os, pathlib, time
pathlib.Path(folder, f"kernel-{os.getpid()}").touch()
time.sleep(wait)
if seed == 2:
    raise ValueError("two\\nlines")
if seed == 3:
    os._exit(1)
print("seed", seed)
"""


def tiny(folder: Path, body: str = BODY) -> Path:
    """A notebook that fails at seed 2, and whose kernel dies at seed 3."""
    cells = [
        {"cell_type": "code", "source": source, "metadata": {"tags": tags}}
        | {"id": name, "outputs": [], "execution_count": None}
        for name, source, tags in (("first", PARAMETERS, ["parameters"]), ("then", body, []))
    ]
    whole = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    file = folder / "tiny.ipynb"
    file.write_text(json.dumps(whole))
    return file


def printed(copy: Path) -> str:
    cells = json.loads(copy.read_text())["cells"]
    return "".join("".join(o.get("text", "")) for c in cells for o in c.get("outputs", ()))


@pytest.mark.notebook
def test_a_run_leaves_its_copy_and_nothing_else(tmp_path):
    source = tiny(tmp_path)
    before = source.read_bytes()
    out = tmp_path / "out {seed}" / "copy.ipynb"  # braces are a template to papermill
    assert run(source, out, {"seed": 7, "folder": str(tmp_path)}) > 0
    assert "seed 7" in printed(out)
    assert [p.name for p in out.parent.iterdir()] == ["copy.ipynb"]
    assert source.read_bytes() == before
    ran = json.loads(out.read_text())["metadata"]["papermill"]
    assert ran["parameters"]["seed"] == 7
    assert ran["input_path"] is None and ran["output_path"] is None


@pytest.mark.notebook
@pytest.mark.parametrize(
    ("given", "timeout", "says"),
    [
        ({"seed": 2}, None, "tiny.ipynb stopped: ValueError: two lines; see "),
        ({"seed": 3}, None, "tiny.ipynb stopped: its kernel was killed"),
        ({"wait": 3600}, 1, "tiny.ipynb stopped: a cell took longer than 1 seconds; allow more"),
    ],
    ids=["raises", "dies", "slow"],
)
def test_what_stops_is_set_aside(tmp_path, given, timeout, says):
    out = tmp_path / "copy.ipynb"
    with pytest.raises(NotebookError) as error:
        run(tiny(tmp_path), out, {"folder": str(tmp_path), **given}, timeout=timeout)
    assert says in str(error.value)
    assert not out.exists()
    assert json.loads(failed_copy(out).read_text())["cells"]


@pytest.mark.notebook
def test_the_failed_copy_goes_when_the_run_succeeds(tmp_path):
    out = tmp_path / "copy.ipynb"
    failed_copy(out).write_text("{}")
    run(tiny(tmp_path), out, {"folder": str(tmp_path)})
    assert not failed_copy(out).exists()


KERNEL = """
import json, os
from ipykernel.connect import get_connection_info
print(json.loads(get_connection_info())["transport"], os.environ.get("OMP_WAIT_POLICY"))
"""


@pytest.mark.notebook
@pytest.mark.skipif(os.name != "posix", reason="sockets in a folder are POSIX's")
def test_a_kernel_opens_no_port_and_does_not_warn(tmp_path, monkeypatch, capfd):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    out = tmp_path / "copy.ipynb"
    run(tiny(tmp_path, KERNEL), out, {})
    assert printed(out).split() == ["ipc", "PASSIVE"]
    assert capfd.readouterr().err == ""
    assert "OMP_WAIT_POLICY" not in os.environ
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setattr(execution, "LONGEST", 1)
    run(tiny(tmp_path, KERNEL), out, {})
    assert printed(out).split() == ["tcp", "ACTIVE"]


SLOW_TO_REST = """
import inspect, time
handlers = get_ipython().kernel.shell_handlers
answer = handlers["kernel_info_request"]

async def answer_and_linger(*message):
    answered = answer(*message)
    if inspect.isawaitable(answered):
        await answered
    time.sleep(1)

handlers["kernel_info_request"] = answer_and_linger
"""


@pytest.mark.notebook
def test_a_kernel_that_still_works_is_not_interrupted(tmp_path, capfd):
    run(tiny(tmp_path, SLOW_TO_REST), tmp_path / "copy.ipynb", {})
    assert "KeyboardInterrupt" not in capfd.readouterr().err


@pytest.mark.notebook
def test_a_copy_is_saved_once_and_whole_where_a_cell_stops(tmp_path, monkeypatch):
    saved = []
    save = NotebookExecutionManager.save

    def counted(manager, **options):
        saved.append(manager.output_path)
        return save(manager, **options)

    monkeypatch.setattr(NotebookExecutionManager, "save", counted)
    out = tmp_path / "copy.ipynb"
    run(tiny(tmp_path), out, {"folder": str(tmp_path)})
    assert len([path for path in saved if path]) == 2, "when it starts, and at its end"
    with pytest.raises(NotebookError, match="took longer than 1 seconds"):
        run(tiny(tmp_path, f"print('before')\n{BODY}"), out, {"wait": 60}, timeout=1)
    assert "before" in printed(failed_copy(out))


MANY = 20_000
FLOOD = f"""
import sys
for i in range({MANY}):
    print("line", i, flush=True)
print("aside", file=sys.stderr, flush=True)
print("between", flush=True)
display("shown")
print("after", flush=True)
"""


@pytest.mark.notebook
def test_what_a_cell_prints_in_such_amounts_arrives_whole(tmp_path, monkeypatch):
    """Each flushed line is a message, and a kernel keeps a thousand by itself.

    Whoever takes them is held up, so that thousands wait.
    """
    output, pauses = execution.Client.output, [3.0]

    def slow(*arguments):
        time.sleep(pauses.pop() if pauses else 0)
        return output(*arguments)

    monkeypatch.setattr(execution.Client, "output", slow)
    out = tmp_path / "copy.ipynb"
    run(tiny(tmp_path, FLOOD), out, {})
    outputs = json.loads(out.read_text())["cells"][-1]["outputs"]
    told = [o.get("name", "shown") for o in outputs]
    assert told == ["stdout", "stderr", "stdout", "shown", "stdout"]
    lines = "".join(outputs[0]["text"]).splitlines()
    assert lines == [f"line {i}" for i in range(MANY)]
    assert ["".join(outputs[i]["text"]) for i in (1, 2, 4)] == ["aside\n", "between\n", "after\n"]


CLEARED = """
from IPython.display import clear_output
for i in range(3):
    print("first", i, flush=True)
clear_output(wait=True)
for i in range(3):
    print("then", i, flush=True)
"""


@pytest.mark.notebook
def test_what_a_cell_clears_is_gone(tmp_path):
    out = tmp_path / "copy.ipynb"
    run(tiny(tmp_path, CLEARED), out, {})
    assert printed(out) == "then 0\nthen 1\nthen 2\n"


@pytest.mark.notebook
def test_each_cell_is_told_and_long_ones_again(tmp_path):
    told = []
    given = {"folder": str(tmp_path), "wait": 2.5}
    out = tmp_path / "copy.ipynb"
    seconds = run(tiny(tmp_path), out, given, tell=lambda *how_far: told.append(how_far))
    assert [cell for cell, _, _ in told] == sorted(cell for cell, _, _ in told)
    assert {cell for cell, _, _ in told} == {1, 2, 3}, "the given parameters are a cell, too"
    assert {cells for _, cells, _ in told} == {3}
    assert sum(cell == 3 for cell, _, _ in told) >= 3
    assert 1.0 < told[-1][2] <= seconds
    before = len(told)
    time.sleep(1.5)
    assert len(told) == before, "nothing is told after the end"
    assert seconds_before(out, given) == pytest.approx(seconds, abs=2)
    assert seconds_before(out, {}) is None and seconds_before(tmp_path / "none", given) is None


def test_nothing_runs_when_a_parameter_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(notebook, "execute", lambda *a, **k: pytest.fail("it ran"))
    out = tmp_path / "copy.ipynb"
    with pytest.raises(ParameterError, match="unknown parameter sede; this notebook takes device"):
        run(tiny(tmp_path), out, {"sede": 1})
    with pytest.raises(ParameterError, match="unknown preset 'huge'; choose one of smoke"):
        run(tiny(tmp_path), out, {"preset": "huge"})
    assert not out.exists() and not failed_copy(out).exists()


def test_only_the_cell_of_the_parameters_names_them(tmp_path):
    plain = json.loads(read(tiny(tmp_path, "other = 1")))
    check(json.dumps(plain), {"seed": 1, "preset": "smoke"})
    with pytest.raises(ParameterError, match="unknown parameter other"):
        check(json.dumps(plain), {"other": 1})
    plain["cells"][0]["source"] = "seed = 1\n%matplotlib inline"
    with pytest.raises(ParameterError, match=r"not Python alone \(invalid syntax, line 2\)"):
        check(json.dumps(plain), {"seed": 1})
    del plain["cells"][0]["metadata"]["tags"]
    with pytest.raises(ParameterError, match="this notebook takes none"):
        check(json.dumps(plain), {"seed": 1})


def test_a_notebook_is_not_overwritten_by_its_copy(tmp_path):
    source = tiny(tmp_path)
    with pytest.raises(NotebookError, match="is the notebook itself; choose another file"):
        run(source, source, {})


def test_a_fingerprint_is_of_what_runs(tmp_path):
    source = read(tiny(tmp_path))
    plain = json.loads(source)
    plain["cells"][0]["outputs"] = [1]
    plain["metadata"]["title"] = "other"
    assert fingerprint(json.dumps(plain)) == fingerprint(source)
    plain["cells"][1]["source"] += "\n"
    assert fingerprint(json.dumps(plain)) != fingerprint(source)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("1e-3", 0.001),
        ("-2E+5", -200000.0),
        ("[1e-3, 5]", [0.001, 5]),
        ("'1e-3'", "1e-3"),
        ("None", None),
        ("null", None),
        ("Nonesuch", "Nonesuch"),
        ("False", False),
        ("", None),
        ("he_normal", "he_normal"),
    ],
)
def test_values(text, means):
    assert value(text) == means
    assert type(value(text)) is type(means)


def test_saving_is_whole_or_not_at_all(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NotebookError, match=r"cannot write .*Make room or choose another place"):
        notebook.save("text", tmp_path / "file" / "copy.ipynb")
    notebook.save("new", tmp_path / "file")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "new"


def test_a_full_disk_of_temporary_files_is_told_with_its_remedy(tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    source = tiny(tmp_path)
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(NotebookError, match=r"cannot write .*No space left.* room .* TMPDIR"):
        run(source, tmp_path / "copy.ipynb", {})


def test_without_papermill_there_is_a_sentence(monkeypatch, tmp_path):
    for module in ("papermill", "yaml"):
        monkeypatch.setitem(sys.modules, module, None)
    for call in (lambda: run(tiny(tmp_path), tmp_path / "copy.ipynb", {}), lambda: value("3")):
        with pytest.raises(NotebookError, match=r"papermill, which is not installed: pip install"):
            call()
