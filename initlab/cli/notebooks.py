"""Commands that run notebooks: one, or one over a grid of parameters."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from initlab.cli.group import UserError, command
from initlab.parameters import common

#: Takes a terminal back to the start of its line, and the line away.
ERASE = "\r\x1b[K"
CHAPTER = "notebooks/01-how-to-start-training.ipynb"
notebook_argument = click.argument("notebook", type=click.Path(path_type=Path))
parameter_option = click.option(
    "-p",
    "parameters",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="A parameter, read as YAML; may be given many times. Every chapter takes "
    + "; ".join(f"{name}, {known.wanted}" for name, known in common().items())
    + "; and its own, which `run NOTEBOOK --list-parameters` lists.",
)
timeout_option = click.option(
    "--timeout", type=click.IntRange(min=1), help="Seconds for one cell.  [default: no limit]"
)


@command(
    "run",
    f"run {CHAPTER}",
    f"run {CHAPTER} out.ipynb -p preset smoke -p recorded false",
    f"run {CHAPTER} --list-parameters",
)
@notebook_argument
@click.argument("out", type=click.Path(path_type=Path), required=False)
@parameter_option
@click.option("--list-parameters", is_flag=True, help="Tell what NOTEBOOK takes; run nothing.")
@timeout_option
def run(
    notebook: Path,
    out: Path | None,
    parameters: tuple[tuple[str, str], ...],
    list_parameters: bool,
    timeout: int | None,
) -> None:
    """Run a chapter through papermill.

    The executed copy of NOTEBOOK is OUT, by default _executed/NOTEBOOK, where the book looks for
    it. A parameter that the notebook does not have, or a value that is none of it, is refused
    before anything runs. The copy of a notebook that stops is kept as *.failed.ipynb.
    """
    from initlab import notebook as one
    from initlab.batch.engines import local
    from initlab.progress import silent

    if list_parameters:
        print(_listed(one.read(notebook)))
        return
    given = {name: one.value(text) for name, text in parameters}
    inside = not notebook.is_absolute() and ".." not in notebook.parts
    copy = out or Path("_executed", notebook if inside else notebook.name)
    source = one.checked(notebook, copy, given)
    told = [f"{notebook.stem}: {one.code_cells(source)} cells"]
    if before := one.seconds_before(copy, given):
        told.append(f"{before:.0f} s the last time")
    elif "preset" in one.parameters(source):
        told.append(_expected(given))
    print(", ".join(told), flush=True)
    live = sys.stderr.isatty()
    tell = partial(_tell, notebook.stem) if live else silent
    call = partial(one.run, notebook, copy, given, timeout=timeout, tell=tell)
    # In a process of its own: nbclient keeps Ctrl-C from whoever calls it.
    try:
        for _, future in local([(notebook.name, call)]):
            seconds = future.result()
    finally:
        if live:
            print(ERASE, end="", file=sys.stderr, flush=True)
    print(f"{notebook.stem}: {seconds:.1f} s, {copy}")


def _listed(source: str) -> str:
    """What a notebook takes: of each parameter its values, what it decides, and its presets."""
    from initlab.notebook import parameters, schema_of

    names, known = parameters(source), schema_of(source)
    lines = [f"{name}\n    anything" for name in sorted(names - known.keys())]
    for one in (known[name] for name in known if name in names):
        values = {preset: list(v) if one.many else v for preset, v in one.presets.items()}
        same = len({str(v) for v in values.values()}) == 1
        told = [f"{preset}: {v}" for preset, v in values.items()]
        default = f"default: {values.popitem()[1]}" if same else "; ".join(told)
        lines.append("\n    ".join((one.name, one.wanted, one.says, default)))
    return "\n".join(lines)


def _expected(given: Mapping[str, Any]) -> str:
    """How long a chapter takes that was not run before."""
    preset = given.get("preset", "laptop")
    if preset == "smoke":
        return "about a minute on two cores"
    if preset == "laptop" and given.get("recorded", True):
        return "from recorded results about half a minute on two idle cores"
    return "minutes to hours for what is not stored yet; stopped, it goes on where it was"


def _tell(name: str, cell: int, cells: int, seconds: float) -> None:
    """Write over the line of a terminal how far a chapter is."""
    line = f"{ERASE}{name}: cell {cell} of {cells}, {seconds:.0f} s"
    print(line, end="", file=sys.stderr, flush=True)


def _axes(texts: tuple[str, ...]) -> dict[str, list[Any]]:
    from initlab.notebook import value

    axes = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not name.isidentifier() or not values.strip():
            raise UserError(f"--grid takes NAME=a,b,c, such as seed=1,2,3, not {text!r}")
        if name in axes:
            raise UserError(f"--grid names {name} twice; give all its values at once")
        axes[name] = value(f"[{values}]")
    return axes


@command(
    "batch",
    f"batch {CHAPTER} --grid seed=0,1,2 -p preset smoke -p recorded false --out seeds",
    f"batch {CHAPTER} --grid networks=10,100 --grid seed=0,1 --out grid --engine ray",
)
@notebook_argument
@click.option(
    "--grid", "grids", multiple=True, required=True, metavar="NAME=a,b,c", help="What varies."
)
@parameter_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the copies.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Processes here, or a Ray task for each notebook.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Notebooks at a time.  [default: 1 here, for a chapter uses all cores; on Ray, no limit]",
)
@timeout_option
def batch(
    notebook: Path,
    grids: tuple[str, ...],
    parameters: tuple[tuple[str, str], ...],
    out: Path,
    engine: str,
    workers: int | None,
    timeout: int | None,
) -> None:
    """Run a chapter over a grid of parameters.

    NOTEBOOK is run for every combination of the grids' values. Each cell's executed copy lies in
    the folder OUT, and OUT/index.html lists all. What is done there already is not run again,
    unless the notebook or a parameter has changed. A cell that fails does not stop the others; it
    gives status 1 at the end.
    """
    from initlab import batch as package
    from initlab.notebook import value

    axes = _axes(grids)
    given = {name: value(text) for name, text in parameters}

    def tell(cell: Any, record: Any, before: bool) -> None:
        took = "before" if before else f"{record.seconds:.1f} s"
        print(f"{record.state:8}{took:>9}  {cell.name}", flush=True)

    records = package.batch(
        notebook, axes, given, out, engine=engine, workers=workers, timeout=timeout, tell=tell
    )
    failed = [r for r in records if r.state == package.FAILED]
    print(f"{len(records) - len(failed)} of {len(records)} cells are done: {out / 'index.html'}")
    for r in failed:
        varied = ", ".join(f"{n}={r.parameters[n]}" for n in axes)
        print(f"  {varied}: {r.stopped}")
    if failed:
        raise UserError(
            f"{len(failed)} of {len(records)} cells failed; the same command runs only these again"
        )
