"""Commands on the data sets."""

from __future__ import annotations

import click

from initlab import files, packaged
from initlab.cli.group import UserError, command, commands, examples

names = click.Choice(list(files.ABOUT))


@commands.group("data", epilog=examples("data list", "data fetch mnist", "data check"))
def data() -> None:
    """See, download and check the data sets.

    They lie in INITLAB_DATA, or in the cache.
    """


@command("list", "data list", of=data)
def list_sets() -> None:
    """Print every data set and where it is."""
    print(f"Data sets lie in {files.root()}; INITLAB_DATA chooses another folder.")
    for name, about in files.ABOUT.items():
        found = files.look(name)
        print(f"{name:15}{found.state:11}{about}")
        if name in packaged.SIZES:
            train, test = packaged.SIZES[name]
            print(f"{'':26}the first {train:,} + {test:,} samples ship with the package")
        if found.folder is not None:
            print(f"{'':26}{found.folder}")


@command("fetch", "data fetch mnist", "data fetch mnist fashion_mnist cifar10", of=data)
@click.argument("wanted", nargs=-1, required=True, type=names, metavar="NAME...")
def fetch(wanted: tuple[str, ...]) -> None:
    """Download data sets that are not there."""
    for name in wanted:
        before = files.look(name)
        if before.state in (files.EMBEDDED, files.COMPLETE):
            print(f"{name}: {before.state}, nothing to fetch")
            continue
        files.ensure(name, files.root())
        print(f"{name}: fetched and checked, {files.look(name).folder}", flush=True)


@command("check", "data check", "data check mnist cifar10", of=data)
@click.argument("wanted", nargs=-1, type=names, metavar="[NAME]...")
def check(wanted: tuple[str, ...]) -> None:
    """Check sizes and MD5 sums.

    Of the sets named, or of those that are there. Status 1 if one is not whole.
    """
    wrong = []
    for name in wanted or files.ABOUT:
        found = files.look(name)
        if not wanted and found.state == files.MISSING:
            continue
        print(f"{name:15}{found.state}", flush=True)
        for fault in found.faults:
            print(f"    {fault}")
        if found.state not in (files.EMBEDDED, files.COMPLETE):
            wrong.append(f"{name} ({found.state})")
    if wrong:
        raise UserError(
            f"not whole: {', '.join(wrong)}; move damaged files away, then: "
            "python -m initlab data fetch NAME"
        )
