"""The command that serves the book with a kernel behind it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from initlab.cli.group import UserError, command


@command("live", "live", "live --port 9000")
@click.option("--port", type=click.IntRange(0, 65535), default=8888, show_default=True)
@click.option(
    "--site",
    type=click.Path(path_type=Path),
    default=Path("_build/html"),
    show_default=True,
    help="Folder of the built book.",
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- JUPYTER OPTIONS]")
def live(port: int, site: Path, options: tuple[str, ...]) -> None:
    """Serve the built book so that its cells can be edited and run.

    It runs on a Jupyter server of its own on 127.0.0.1, behind a token; kernels work in this
    folder and end after half an hour without use. Options of Jupyter Server may follow after --,
    such as --allow-root in a container. A server without a token or on a public address is
    refused with status 2.
    """
    try:
        from initlab.live import server
    except ModuleNotFoundError as error:
        if error.name != "jupyter_server":
            raise
        raise UserError("jupyter_server is missing: pip install 'initlab[book]'") from None
    os.environ[server.SITE] = str(site)
    try:
        server.serve(port, list(options))
    except SystemExit as ended:
        raise click.exceptions.Exit(int(ended.code or 0)) from None
