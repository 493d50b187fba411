"""Command line: chapters run, results checked, data and store seen to.

Whatever is slow to import is imported by the command that needs it, so that help comes at once.
"""

from __future__ import annotations

import os
import sys

import click

from initlab import folders
from initlab.cli import data, diagnose, doctor, live, notebooks, results, store
from initlab.cli.group import PROGRAM, UserError, commands

__all__ = [
    "commands",
    "data",
    "diagnose",
    "doctor",
    "live",
    "main",
    "notebooks",
    "results",
    "store",
]


def main(argv: list[str] | None = None) -> int:
    """Run one command and give its exit status.

    0; 1 with one line on stderr for a user's mistake; 2 for a call that is not understood; 130
    for Ctrl-C; 141 when the reader of a pipe went away. Anything else is a defect and raises.
    """
    try:
        status = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Python flushes once more when it ends, and that must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _run(argv: list[str]) -> int:
    try:
        with commands.make_context(PROGRAM, list(argv)) as context:
            commands.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("initlab: stopped; what was computed is stored", file=sys.stderr)
        return 130
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        remedy = ". Make room, or write to another disk" if folders.is_full(error) else ""
        print(f"initlab: {error.strerror or error}{where}{remedy}", file=sys.stderr)
        return 1
    except Exception as error:
        if not isinstance(error, _mistakes()):
            raise
        print(f"initlab: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _mistakes() -> tuple[type[Exception], ...]:
    """What the package raises for a user's mistake; asked for only then, for it brings pandas."""
    from initlab.batch import EngineError
    from initlab.cluster import ClusterError
    from initlab.files import DataError
    from initlab.notebook import NotebookError
    from initlab.parameters import ParameterError
    from initlab.store import StoreError

    known = (ParameterError, NotebookError, EngineError, DataError, StoreError, ClusterError)
    return UserError, *known
