"""The group that every command belongs to, and the form of its help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

import initlab

#: How the program is called in help and examples.
PROGRAM = "python -m initlab"
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class UserError(Exception):
    """A mistake of the caller's, told in one line."""


def examples(*calls: str) -> str:
    """The end of a command's help: calls that work from the root of a checkout."""
    return "\n".join(["\b", "Examples:", *(f"  {PROGRAM} {call}" for call in calls)])


def _version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(f"initlab, version {initlab.__version__}")
        context.exit()


@click.group(
    context_settings=SETTINGS,
    epilog=examples("claims", "run notebooks/01-how-to-start-training.ipynb -p preset smoke"),
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_version,
    help="Show the version and exit.",
)
def commands() -> None:
    """The Initialization Lab: run its chapters, check its results, see to data and store."""


def command(name: str, *calls: str, of: click.Group = commands) -> Callable[[Any], click.Command]:
    """Make a function a command of the group, with examples in its help."""
    return of.command(name, epilog=examples(*calls))
