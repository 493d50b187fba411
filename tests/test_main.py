"""The command line does what its help says, ends cleanly, and is quick to answer."""

from __future__ import annotations

import errno
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click
import pytest

import initlab
from initlab import claims, doctor, files, sweep
from initlab.cli import commands, main, notebooks
from initlab.cli.group import PROGRAM
from initlab.notebook import check, read
from initlab.store import Store
from tests.sweep.test_sweep import RUNS
from tests.test_notebook import tiny

ROOT = Path(__file__).parent.parent


def every(group: click.Group = commands, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """(words, command) of every command that does something."""
    for name, command in group.commands.items():
        words = f"{path} {name}".strip()
        if isinstance(command, click.Group):
            yield from every(command, words)
        else:
            yield words, command


COMMANDS = dict(every())
EXAMPLES = {
    line.strip().removeprefix(f"{PROGRAM} "): words
    for words, command in COMMANDS.items()
    for line in command.epilog.splitlines()
    if PROGRAM in line
}


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A package whose recorded results are RUNS."""
    folder = tmp_path / "recorded"
    sweep.run(RUNS, store=Store(folder), recorded=False)
    monkeypatch.setattr("initlab.verify.RECORDED", folder)
    return folder


def test_claims_as_json(capsys):
    assert main(["claims", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed == claims.published()
    wanted = "id study statement source said asked verdict n seconds settles criteria"
    assert all(set(wanted.split()) <= set(c) for c in listed)
    wanted = "what value interval exact low high bound_by part outcome n"
    assert all(set(wanted.split()) <= set(k) for c in listed for k in c["criteria"])


def test_claims_as_text(capsys):
    assert main(["claims"]) == 0
    out = capsys.readouterr().out
    assert all(c["statement"] in out for c in claims.published())


def test_verify_passes_and_fails(shipped, capsys):
    assert main(["verify", "--sample", "4", "--seconds", "1e9"]) == 0
    assert "4 of 4 recorded runs came out the same" in capsys.readouterr().out
    store = Store(shipped)
    frame = store.frame()
    frame["value"] *= 1.5
    for part in store.parts():
        part.unlink()
    frame.to_parquet(shipped / "changed.parquet", index=False)
    assert main(["verify", "--sample", "4", "--seconds", "1e9"]) == 1
    shown = capsys.readouterr()
    assert "DIFFERS" in shown.out
    assert shown.err == "initlab: 4 of 4 recorded runs differ: see DIFFERS above\n"


def test_record(tmp_path, monkeypatch, capsys):
    store = Store(tmp_path / "store")
    sweep.run(RUNS[:2], store=store, recorded=False)
    monkeypatch.setattr("initlab.store.RECORDED", tmp_path / "recorded")
    assert main(["record", "study", "--store", str(store.folder)]) == 0
    assert Store(tmp_path / "recorded").keys() == store.keys()
    assert "2 runs in study.parquet" in capsys.readouterr().out


@pytest.mark.parametrize("words", COMMANDS)
def test_help_ends_with_examples(words, capsys):
    assert main([*words.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    mine = [example for example, of in EXAMPLES.items() if of == words]
    assert mine
    last = [line.strip() for line in shown.split("Examples:")[1].splitlines() if line.strip()]
    assert [line.removeprefix(f"{PROGRAM} ") for line in last] == mine


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_understood(example):
    """Parsed to the end; a notebook that they name is there and has their parameters."""
    words = shlex.split(example)
    command = COMMANDS[EXAMPLES[example]]
    assert example.startswith(EXAMPLES[example])
    rest = words[len(EXAMPLES[example].split()) :]
    named = [w for w in rest if w.startswith("notebooks/")]
    context = command.make_context(PROGRAM, rest)
    for path in named:
        source = read(ROOT / path)
        given = dict(context.params["parameters"])
        for grid in context.params.get("grids", ()):
            given[grid.partition("=")[0]] = 1
        check(source, given)
    assert bool(named) == (EXAMPLES[example] in ("run", "batch"))


@pytest.mark.notebook
def test_a_run_says_what_it_takes_and_what_it_took(tmp_path, capfd):
    """Two lines where nobody looks on, and nothing of papermill's or the kernel's own."""
    words = ["run", str(tiny(tmp_path)), str(tmp_path / "copy.ipynb"), "-p", "folder"]
    for expected in ("about half a minute on two idle cores", "s the last time"):
        assert main([*words, str(tmp_path), "-p", "wait", "2"]) == 0
        out, err = capfd.readouterr()
        begins, ends = out.splitlines()
        assert begins.startswith("tiny: 2 cells, ") and begins.endswith(expected)
        assert re.fullmatch(rf"tiny: \d+\.\d s, {re.escape(str(tmp_path / 'copy.ipynb'))}", ends)
        assert err == ""


def test_a_chapters_parameters_are_listed(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert main(["run", notebooks.CHAPTER, "--list-parameters"]) == 0
    told = capsys.readouterr().out
    assert "preset\n    one of smoke, laptop, paper\n    the size of the chapter.\n" in told
    assert "\ndepths\n    a list of one or more whole numbers ≥ 1, such as [5, 10]\n" in told
    assert "\n    smoke: [5, 10]; laptop: [10, 20," in told
    assert "recorded\n    true or false\n" in told and "\n    default: True" in told


def test_parameters_of_another_notebook_are_listed(tmp_path, capsys):
    assert main(["run", str(tiny(tmp_path)), "--list-parameters"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("folder\n    anything\nwait\n    anything\npreset\n    one of smoke")
    assert "engine" not in told


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "about half a minute"),
        ({"preset": "smoke"}, "about a minute"),
        ({"recorded": False}, "minutes to hours"),
        ({"preset": "paper"}, "minutes to hours"),
    ],
)
def test_what_a_chapter_takes(given, says):
    assert says in notebooks._expected(given)


def test_how_far_a_chapter_is_stands_in_one_line_of_a_terminal(capsys):
    for seconds in (13.6, 14.6):
        notebooks._tell("chapter", 12, 37, seconds)
    out, err = capsys.readouterr()
    assert not out and "\n" not in err
    assert err.split(notebooks.ERASE) == ["", *(f"chapter: cell 12 of 37, {s} s" for s in (14, 15))]


@pytest.mark.parametrize("example", ["claims", "claims --json", "data list", "doctor --json"])
def test_examples_that_cost_nothing_work(example, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("INITLAB_DATA", str(tmp_path))
    monkeypatch.setenv("INITLAB_STORE", str(tmp_path / "store"))
    assert example in EXAMPLES
    assert main(shlex.split(example)) == 0
    assert capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [], "looking changes nothing"


@pytest.mark.parametrize("arguments", [["--help"], ["doctor", "--help"], ["batch", "--help"]])
def test_help_comes_at_once(arguments):
    """Nothing slow is imported for it."""
    slow = {"torch", "pandas", "numpy", "scipy", "papermill", "ray", "importlib.metadata"}
    code = (
        f"import sys; from initlab.cli import main; main({arguments!r});"
        f"print({slow} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_the_version_is_told(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"initlab, version {version('initlab')}\n"
    assert initlab.__version__ == version("initlab")


def test_claims_need_no_torch():
    code = "import sys; from initlab.cli import main; main(['claims']); assert 'torch' not in "
    subprocess.run([sys.executable, "-c", code + "sys.modules"], check=True, capture_output=True)


@pytest.mark.parametrize("arguments", [["claims"], ["--help"], ["data", "list"]])
def test_a_reader_that_goes_away_is_no_error(arguments):
    with subprocess.Popen(
        [sys.executable, "-m", "initlab", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_control_c_is_told_in_one_line(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(claims, "published", interrupted)
    assert main(["claims"]) == 130
    assert capsys.readouterr().err == "initlab: stopped; what was computed is stored\n"


def test_a_full_disk_is_told_with_its_remedy(monkeypatch, capsys):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(claims, "published", full)
    assert main(["claims"]) == 1
    told = "initlab: No space left on device. Make room, or write to another disk\n"
    assert capsys.readouterr().err == told


def test_a_defect_is_not_hidden(monkeypatch):
    monkeypatch.setattr(claims, "published", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["claims"])


# Data


@pytest.fixture
def small(tmp_path, monkeypatch) -> Path:
    """A data root, and a mnist of one file of three bytes; the folder of that file."""
    md5 = "900150983cd24fb0d6963f7d28e17f72"  # of abc
    monkeypatch.setitem(files.FILES, "mnist", ("MNIST/raw", {"one": (3, md5), "two": (3, md5)}))
    monkeypatch.setenv("INITLAB_DATA", str(tmp_path))
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    return tmp_path / "MNIST/raw"


def test_every_set_is_listed():
    from initlab.data import NAMES

    assert tuple(files.ABOUT) == NAMES


@pytest.mark.parametrize(
    ("contents", "state"),
    [
        ({}, files.MISSING),
        ({"one": b"abc"}, files.PARTIAL),
        ({"one": b"abc", "two": b"abd"}, files.DAMAGED),
        ({"one": b"abc", "two": b"abc"}, files.COMPLETE),
    ],
)
def test_data_is_listed_and_checked(small, contents, state, capsys):
    for name, content in contents.items():
        (small / name).write_bytes(content)
    assert main(["data", "list"]) == 0
    [line] = [x for x in capsys.readouterr().out.splitlines() if x.startswith("mnist")]
    assert line.split()[1] == state
    assert main(["data", "check", "digits", "mnist"]) == (state != files.COMPLETE)
    shown = capsys.readouterr()
    assert ("two is" in shown.out) == (state in (files.PARTIAL, files.DAMAGED))
    assert (f"not whole: mnist ({state})" in shown.err) == (state != files.COMPLETE)
    wrong = state in (files.PARTIAL, files.DAMAGED)
    assert main(["data", "check"]) == wrong, "a set that is not there is not checked unasked"


def test_fetch_asks_only_for_what_is_not_there(small, monkeypatch, capsys):
    asked = []

    def ensure(name, here):
        asked.append(name)
        for file in ("one", "two"):
            (small / file).write_bytes(b"abc")

    monkeypatch.setattr(files, "ensure", ensure)
    assert main(["data", "fetch", "digits", "mnist"]) == 0
    assert main(["data", "fetch", "mnist"]) == 0
    assert asked == ["mnist"]
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "digits: embedded, nothing to fetch"
    assert told[1].startswith("mnist: fetched and checked, ")
    assert told[2] == "mnist: complete, nothing to fetch"


# Store


@pytest.fixture
def store(tmp_path) -> list[str]:
    """Options that name a store with results: two runs of one kind, in two parts."""
    results = Store(tmp_path / "store")
    for seed in (1, 2):
        run = json.dumps({"model": {"type": "MLP"}, "seed": seed})
        rows = [(0, 1, -1, "second_moment", 1.0), (0, 2, -1, "second_moment", 2.0)]
        results.add([(f"key{seed}", run, 0.5, rows)])
    return ["--folder", str(results.folder)]


def test_store_list_and_compact(store, capsys):
    assert main(["store", "list", *store]) == 0
    row = capsys.readouterr().out.splitlines()[-1].split()
    assert (row[0], row[4:7]) == ("MLP", ["2", "4", "1.0"])
    assert main(["store", "compact", *store]) == 0
    assert capsys.readouterr().out == "2 files before, 1 now\n"
    assert Store(store[1]).keys() == {"key1", "key2"}


def test_store_filter(store, capsys):
    assert main(["store", "filter", "seed=1", "model.type=MLP", *store]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("key1")
    assert told[-1] == "1 runs"
    assert main(["store", "filter", *store]) == 0
    assert capsys.readouterr().out.endswith("2 runs\n")
    assert main(["store", "filter", "seed=3", *store]) == 1
    assert "has seed=3; `store filter` without fields" in capsys.readouterr().err
    assert main(["store", "filter", "sede=1", *store]) == 1
    told = capsys.readouterr().err
    assert "has a value at 'sede'; they have model.activation, " in told and ", seed\n" in told


def test_store_filter_knows_what_a_run_leaves_to_its_default(tmp_path, capsys):
    """The example of the help, on results as `run` stores them."""
    results = Store(tmp_path / "store")
    sweep.run(RUNS[:2], store=results, recorded=False)
    options = ["--folder", str(results.folder)]
    texts = results.frame().run
    assert not texts.str.contains('"seed":0').any() and texts.str.contains('"type":"MLP"').all()
    assert main(["store", "filter", "model.type=MLP", "seed=0", *options]) == 0
    same = sum(run.seed == 0 for run in RUNS[:2])
    assert same and capsys.readouterr().out.endswith(f"{same} runs\n")
    assert main(["store", "filter", "bias.type=Zeros", "start=null", *options]) == 0
    assert capsys.readouterr().out.endswith("2 runs\n")


def test_store_export(store, tmp_path, capsys):
    for fields, keys in ((["seed=1", "model.type=MLP"], {"key1"}), ([], {"key1", "key2"})):
        file = tmp_path / f"{len(keys)}" / "x.parquet"
        file.parent.mkdir()
        assert main(["store", "export", str(file), *fields, *store]) == 0
        assert Store(file.parent).keys() == keys
        assert f"{len(keys)} runs in " in capsys.readouterr().out


# Doctor

WELL = {
    "versions": {"python": "3.11"},
    "devices": [{"device": "cpu", "name": "CPU"}, {"device": "cuda:0", "name": "X"}],
    "cores": 16,
    "threads": 16,
    "memory_gb": 64.0,
    "compiler": "cc",
    "compiled": True,
    "extras": dict.fromkeys(doctor.EXTRAS, "1.0"),
    "data": {"mnist": files.COMPLETE, "digits": files.EMBEDDED},
    "data_folder": "here",
    "store": {
        "folder": "there",
        "files": 3,
        "megabytes": 1.0,
        "writable": True,
        "temporary": False,
    },
}


def test_a_machine_that_has_everything_is_left_alone():
    assert doctor.advice(WELL) == []
    assert "there" in doctor.text(WELL)


@pytest.mark.parametrize(
    ("ill", "remedy"),
    [
        ({"devices": WELL["devices"][:1]}, "keep to laptop"),
        ({"cores": 2}, "recorded results"),
        ({"memory_gb": 2.0}, "few workers"),
        ({"compiler": None, "compiled": False}, "install gcc or clang"),
        ({"compiled": False}, "cc cannot compile them"),
        ({"extras": WELL["extras"] | {"ray": None}}, "pip install 'initlab[ray]'"),
        ({"data": {"mnist": files.MISSING}}, "data fetch mnist"),
        ({"data": {"mnist": files.DAMAGED}}, "data check mnist"),
        ({"data": {"hasy": files.PARTIAL}}, "It is never downloaded: unpack HASYv2"),
        ({"store": WELL["store"] | {"writable": False}}, "INITLAB_STORE"),
        ({"store": WELL["store"] | {"files": 5000}}, "store compact"),
        ({"store": WELL["store"] | {"temporary": True}}, "choose a folder that stays with"),
    ],
)
def test_each_ill_has_its_remedy(ill, remedy):
    [line] = doctor.advice({**WELL, **ill})
    assert remedy in line
    assert line in doctor.text({**WELL, **ill})


def test_no_download_is_advised_of_what_is_never_downloaded():
    missing = dict.fromkeys([*files.FILES, *files.BY_HAND], files.MISSING)
    advised = [line.split()[-1] for line in doctor.advice({**WELL, "data": missing})]
    assert advised == list(files.FILES)


def test_the_doctor_and_the_readme_give_a_chapter_the_same_time():
    [line] = doctor.advice({**WELL, "cores": 2})
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf8").split())
    assert f"computed anew takes up to {doctor.ANEW};" in line
    assert f"within {doctor.ANEW} a chapter on two cores" in readme


def test_the_doctor_looks_at_this_machine(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("INITLAB_STORE", str(tmp_path / "store"))
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["versions"]["python"].startswith(f"{sys.version_info[0]}.{sys.version_info[1]}")
    assert found["devices"][0]["device"] == "cpu"
    assert found["cores"] >= 1 and found["threads"] >= 1
    assert found["data"]["digits"] == files.EMBEDDED
    assert found["store"]["writable"] is True
    assert found["advice"] == doctor.advice({k: v for k, v in found.items() if k != "advice"})
