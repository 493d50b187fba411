"""One notebook through papermill: checked before anything runs, and never half a result.

papermill lets a misspelt parameter pass with a note in its log, and leaves a failed copy where
a good one is looked for. Here the first is refused and the second set aside.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from initlab import folders
from initlab.parameters import (
    Parameter,
    ParameterError,
    assigned,
    check_names,
    check_values,
    common,
    schema,
)
from initlab.progress import Tell, silent, telling

KERNEL = "python3"
#: What is said where papermill is missing, or YAML, which it brings.
NO_PAPERMILL = "notebooks are run by papermill, which is not installed: pip install 'initlab[book]'"
#: How a chapter's notebook names its study.
_STUDY = re.compile(r"^from initlab\.studies import (\w+) as study$", re.MULTILINE)


class NotebookError(Exception):
    """A notebook that cannot be run, or that stopped; the message says why and what to do."""


@dataclass(frozen=True)
class Executed:
    """An executed copy as text, how long it took, and what stopped it (None: it ran through)."""

    text: str
    seconds: float
    stopped: str | None


def read(path: Path) -> str:
    """The text of a notebook; raises `NotebookError` for anything else."""
    if not path.is_file():
        raise NotebookError(f"there is no notebook {path}; give the path of a .ipynb file")
    try:
        text = path.read_text(encoding="utf8")
        plain = json.loads(text)
    except (OSError, ValueError) as error:
        raise NotebookError(f"{path} cannot be read as a notebook ({error})") from None
    if not _is_notebook(plain):
        raise NotebookError(f"{path} is no notebook of format 4; open it in JupyterLab and save it")
    return text


def _is_notebook(plain: Any) -> bool:
    try:
        cells = all(isinstance(c["cell_type"], str) and "source" in c for c in plain["cells"])
        return cells and plain["nbformat"] == 4 and isinstance(plain["metadata"], dict)
    except (KeyError, TypeError):
        return False


def fingerprint(source: str) -> str:
    """A hash of what a notebook runs and says: the types and texts of its cells.

    >>> a = '{"cells": [{"cell_type": "code", "source": "x = 1", "outputs": []}]}'
    >>> b = '{"cells": [{"cell_type": "code", "source": ["x = 1"], "outputs": [7]}]}'
    >>> fingerprint(a) == fingerprint(b)
    True
    """
    cells = [(c["cell_type"], "".join(c["source"])) for c in json.loads(source)["cells"]]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def code_cells(source: str) -> int:
    """How many cells of a notebook have code.

    >>> code_cells('{"cells": [{"cell_type": "code", "source": "x = 1"}]}')
    1
    """
    cells = json.loads(source)["cells"]
    return sum(c["cell_type"] == "code" and bool("".join(c["source"]).strip()) for c in cells)


def value(text: str) -> Any:
    """A parameter as one writes it on a command line: YAML, with Python's None and 1e-3.

    Raises `ParameterError` for what is neither a number, a text, a truth value, None nor a list
    of those, and `NotebookError` where there is nothing that runs notebooks.

    >>> [value(t) for t in ("3", "1e-3", "True", "None", "cpu", "[relu, tanh]")]
    [3, 0.001, True, None, 'cpu', ['relu', 'tanh']]
    """
    try:
        import yaml
    except ImportError:
        raise NotebookError(NO_PAPERMILL) from None

    class Loader(yaml.SafeLoader):
        """YAML 1.1 takes None and 1e-3 for texts."""

    Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("None$"), ["N"])
    number = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    try:
        read = yaml.load(text, Loader)
        json.dumps(read)
    except (yaml.YAMLError, TypeError, ValueError):
        raise ParameterError(
            f"{text!r} is no value of a parameter; give a number, a text, true, false, null or a "
            "list such as [1, 2]"
        ) from None
    return read


@contextmanager
def _laid_down(source: str) -> Iterator[Path]:
    plain = json.loads(source)
    # papermill asks for a kernel even where it is told which to take.
    plain["metadata"].setdefault("kernelspec", {"name": KERNEL, "display_name": "Python 3"})
    plain["metadata"]["kernelspec"].setdefault("language", "python")
    try:
        # Under a name of our own: papermill takes {braces} in a path for a template.
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "notebook.ipynb"
            file.write_text(json.dumps(plain), encoding="utf8")
            yield file
    except OSError as error:
        if not folders.is_full(error):
            raise
        raise NotebookError(
            f"cannot write {tempfile.gettempdir()}: {error.strerror}. Make room or choose another "
            "place for temporary files with TMPDIR."
        ) from None


def parameters(source: str) -> set[str]:
    """Names of the parameters that a notebook takes; raises `ParameterError` if none can be read.

    >>> tagged = {"tags": ["parameters"]}
    >>> parameters(json.dumps({"cells": [{"metadata": tagged, "source": "seeds = 200"}]}))
    {'seeds'}
    """
    cells = json.loads(source)["cells"]
    tagged = [c for c in cells if "parameters" in c.get("metadata", {}).get("tags", ())]
    try:
        return assigned("".join(tagged[0]["source"])) if tagged else set()
    except SyntaxError as error:
        raise ParameterError(
            f"the notebook's cell tagged `parameters` is not Python alone ({error.msg}, line "
            f"{error.lineno}); leave only assignments in it"
        ) from None


def schema_of(source: str) -> Mapping[str, Parameter]:
    """What is known of a notebook's parameters: of a chapter's all, else those of every chapter."""
    code = ("".join(c["source"]) for c in json.loads(source)["cells"] if c["cell_type"] == "code")
    study = _STUDY.search("\n".join(code))
    return common() if study is None else _of_study(study[1])


@cache
def _of_study(name: str) -> Mapping[str, Parameter]:
    try:
        return schema(import_module(f"initlab.studies.{name}").PRESETS)
    except ImportError:  # the notebook itself will say so
        return common()


def check(source: str, *given: Mapping[str, Any]) -> None:
    """Raise `ParameterError` for parameters, and values of them, that the notebook does not take.

    Args:
        source: its text.
        *given: parameters by name, of one run each.
    """
    names = {name for one in given for name in one}
    check_names(names, parameters(source))
    # A chapter's own parameters are known to its study, which brings torch.
    known = common() if names <= common().keys() else schema_of(source)
    for one in given:
        check_values(one, known)


def _papermill() -> Any:
    try:
        import papermill
    except ImportError:
        raise NotebookError(NO_PAPERMILL) from None
    return papermill


def execute(
    source: str,
    given: Mapping[str, Any],
    *,
    folder: str,
    timeout: int | None = None,
    tell: Tell = silent,
) -> Executed:
    """Run the text of a notebook in `folder` with the parameters given.

    `timeout` is in seconds and for one cell; `tell` is called at every cell and every second.
    Raises `NotebookError` when no kernel can be had; a notebook that stops is not an error here
    but told by the result.
    """
    papermill = _papermill()
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    from initlab.execution import ENGINE, environment, sockets

    start, stopped = time.perf_counter(), None
    cells = code_cells(source) + bool(given)  # papermill puts the parameters into one of their own
    with _laid_down(source) as file, environment(), telling(tell, cells) as begin:
        out = file.with_name("executed.ipynb")
        try:
            papermill.execute_notebook(
                str(file),
                str(out),
                dict(given),
                kernel_name=KERNEL,
                progress_bar=False,
                execution_timeout=timeout,
                cwd=folder if Path(folder).is_dir() else None,
                engine_name=ENGINE,
                config=sockets(file.parent),
                on_cell_execute=begin,
            )
        except papermill.PapermillExecutionError as error:
            stopped = " ".join(f"{error.ename}: {error.evalue}".split())
        except CellTimeoutError:
            stopped = f"a cell took longer than {timeout} seconds; allow more with --timeout"
            if timeout is None:
                stopped = "what a cell has printed did not arrive; let it print less"
        except DeadKernelError:
            stopped = "its kernel was killed, most often for want of memory; ask for less at once"
        except NoSuchKernel:
            raise NotebookError(
                f"there is no kernel called {KERNEL} here: pip install 'initlab[book]'"
            ) from None
        copy = json.loads(out.read_text(encoding="utf8"))
    # The names of a temporary folder would make every copy another.
    copy["metadata"].setdefault("papermill", {}).update(input_path=None, output_path=None)
    text = json.dumps(copy, indent=1, ensure_ascii=False) + "\n"
    return Executed(text, time.perf_counter() - start, stopped)


def save(text: str, path: Path) -> None:
    """Write a file whole or not at all; raises `NotebookError` where that cannot be done."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf8")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise NotebookError(
            f"cannot write {path}: {error.strerror or error}. Make room or choose another place."
        ) from None


def failed_copy(out: Path) -> Path:
    """Where the copy of a notebook that stopped is kept."""
    return out.with_suffix(".failed.ipynb")


def seconds_before(out: Path, given: Mapping[str, Any]) -> float | None:
    """How long the run took that left the copy `out` with the same parameters; None if none did."""
    try:
        ran = json.loads(out.read_text(encoding="utf8"))["metadata"]["papermill"]
        same = dict(ran["parameters"]) == dict(given) and not ran["exception"]
        return float(ran["duration"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def checked(notebook: Path, out: Path, given: Mapping[str, Any]) -> str:
    """The text of a notebook that can be run into `out`.

    Raises `NotebookError` for what cannot, and `ParameterError` when it does not take what is
    given.
    """
    source = read(notebook)
    if out.suffix != ".ipynb" or out.is_dir():
        raise NotebookError(f"the executed copy is a file *.ipynb, not {out}")
    if out.resolve() == notebook.resolve():
        raise NotebookError(f"{out} is the notebook itself; choose another file for its copy")
    check(source, given)
    return source


def run(
    notebook: Path,
    out: Path,
    given: Mapping[str, Any],
    *,
    timeout: int | None = None,
    tell: Tell = silent,
) -> float:
    """Run a notebook into `out`, telling of it as `execute` does; how many seconds it took.

    Raises as `checked` does before anything runs, and `NotebookError` when the notebook stops: its
    copy then lies beside `out` as *.failed.ipynb.
    """
    source = checked(notebook, out, given)
    folder = str(notebook.parent.resolve())
    done = execute(source, given, folder=folder, timeout=timeout, tell=tell)
    if done.stopped is not None:
        save(done.text, failed_copy(out))
        raise NotebookError(f"{notebook.name} stopped: {done.stopped}; see {failed_copy(out)}")
    save(done.text, out)
    with suppress(OSError):
        failed_copy(out).unlink()
    return done.seconds
