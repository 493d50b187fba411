"""The command that looks at the machine."""

from __future__ import annotations

import json

import click

from initlab.cli.group import command


@command("doctor", "doctor", "doctor --json")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor(as_json: bool) -> None:
    """Tell what this machine has and lacks.

    One line for each thing that will be slow or is missing, with its remedy.
    """
    from initlab import doctor as examination

    found = examination.examine()
    if as_json:
        whole = {**found, "advice": examination.advice(found)}
        print(json.dumps(whole, indent=1, ensure_ascii=False))
    else:
        print(examination.text(found))
