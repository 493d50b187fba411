"""Commands on a store of results."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from initlab.cli.group import UserError, command, commands, examples

if TYPE_CHECKING:
    from initlab.store import Store

folder_option = click.option(
    "--folder", type=click.Path(path_type=Path), help="[default: INITLAB_STORE or the cache]"
)
fields_argument = click.argument("fields", nargs=-1, metavar="[FIELD=VALUE]...")


@commands.group(
    "store", epilog=examples("store list", "store filter model.type=MLP seed=0", "store compact")
)
def store() -> None:
    """See to a store of results.

    FIELD is a field of the run, dotted where it is nested: seed, init.type, model.widths. VALUE
    is read as JSON, and as text where it is none. A field that a run leaves to its default has
    that value.
    """


def _open(folder: Path | None) -> Store:
    from initlab.store import Store

    chosen = Store(folder)
    if not chosen.parts():
        raise UserError(
            f"there are no results in {chosen.folder}; name another folder with --folder or "
            "INITLAB_STORE, or compute some with: python -m initlab run"
        )
    return chosen


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _matching(chosen: Store, fields: tuple[str, ...]) -> set[str]:
    """Keys of the runs that have all these values; of all runs where none is given."""
    wanted = {}
    for field in fields:
        name, equals, text = field.partition("=")
        if not name or not equals:
            raise UserError(f"give FIELD=VALUE, such as model.type=MLP, not {field!r}")
        wanted[name] = _value(text)
    if not wanted:
        return chosen.keys()
    from initlab.spec import completed

    import_module("initlab.sweep")  # it loads every spec that a run may have
    try:
        keys = chosen.matching(wanted, completed)
    except ValueError as error:
        raise UserError(str(error)) from None
    if not keys:
        raise UserError(
            f"no run in {chosen.folder} has {' and '.join(fields)}; `store filter` without fields "
            "lists all runs"
        )
    return keys


@command("list", "store list", "store list --folder laptop-store", of=store)
@folder_option
def list_groups(folder: Path | None) -> None:
    """Print what a store holds."""
    chosen = _open(folder)
    print(f"{chosen.folder}\n{chosen.summary().to_string(index=False)}")


@command("filter", "store filter", "store filter model.type=MLP seed=0", of=store)
@fields_argument
@folder_option
def filter_runs(fields: tuple[str, ...], folder: Path | None) -> None:
    """Print the runs with these values.

    One line each: key, number of values, run.
    """
    chosen = _open(folder)
    frame = chosen.frame(_matching(chosen, fields))
    for (key, run), rows in frame.groupby(["key", "run"], sort=False):
        print(f"{key} {len(rows):7} values  {run}")
    print(f"{frame.key.nunique()} runs")


@command("compact", "store compact", of=store)
@folder_option
def compact(folder: Path | None) -> None:
    """Merge the files of a store into few."""
    before, after = _open(folder).compact()
    print(f"{before} files before, {after} now")


@command(
    "export", "store export mine.parquet", "store export he.parquet init.type=HeNormal", of=store
)
@click.argument("file", type=click.Path(path_type=Path))
@fields_argument
@folder_option
def export(file: Path, fields: tuple[str, ...], folder: Path | None) -> None:
    """Write runs as one Parquet file.

    FILE gets the runs with these values, or all.
    """
    if file.suffix != ".parquet":
        raise UserError(f"results are exported as a file *.parquet, not {file}")
    chosen = _open(folder)
    runs = chosen.export(_matching(chosen, fields), file)
    print(f"{runs} runs in {file}, {file.stat().st_size / 1e6:.2f} MB")
