"""Commands on results: the scorecard, its check, and what ships with the package."""

from __future__ import annotations

import json
from pathlib import Path

import click

from initlab.cli.group import UserError, command


@command("claims", "claims", "claims --json")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def show_claims(as_json: bool) -> None:
    """Print the claims and their verdicts."""
    from initlab import claims

    known = claims.published()
    print(json.dumps(known, indent=1, ensure_ascii=False) if as_json else claims.text(known))


@command("verify", "verify", "verify --sample 3 --seconds 20 --seed 1")
@click.option(
    "--sample", type=click.IntRange(min=1), default=10, show_default=True, help="How many runs."
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Their recorded cost at most, all together.",
)
@click.option("--seed", type=int, help="Choose the same sample again.")
def verify_recorded(sample: int, seconds: float, seed: int | None) -> None:
    """Compute some recorded runs again.

    They are chosen at random. Status 1 if any differs. A training that differs is computed again
    from starts that differ in their last digit; what they change as well is put down to rounding.
    """
    from initlab.verify import verify

    done = bad = 0
    for result in verify(sample, seconds, seed):
        done += 1
        bad += bool(result.differences)
        told = "DIFFERS" if result.differences else "same"
        note = f", {result.rounding} by rounding" if result.rounding else ""
        print(f"{told:8}{result.values:5} values{note}  {result.run}", flush=True)
        for difference in result.differences[:5]:
            print(f"    {difference}")
    if done == 0:
        raise UserError("no recorded run fits: nothing was verified; allow more --seconds")
    print(f"{done - bad} of {done} recorded runs came out the same")
    if bad:
        raise UserError(f"{bad} of {done} recorded runs differ: see DIFFERS above")


@command("record", "record how-to-start-training --store laptop-store")
@click.argument("name")
@click.option(
    "--store", type=click.Path(path_type=Path), help="Folder.  [default: INITLAB_STORE or cache]"
)
def record(name: str, store: Path | None) -> None:
    """Ship what a store holds with the package.

    It becomes the one file NAME.parquet; NAME is the study's name.
    """
    from initlab.store import RECORDED, Store

    if not name or Path(name).name != name:
        raise UserError(f"{name!r} is no study's name; give a plain one, without folder or ending")
    chosen = Store(store)
    keys = chosen.keys()
    if not keys:
        raise UserError(
            f"the store {chosen.folder} holds no results; run a chapter with -p recorded false "
            "first, or name another folder with --store"
        )
    target = RECORDED / f"{name}.parquet"
    runs = chosen.export(keys, target)
    print(f"{runs} runs in {target.name}, {target.stat().st_size / 1e6:.2f} MB")


@command("publish", "publish _executed/notebooks/01-how-to-start-training.ipynb")
@click.argument("notebook", type=click.Path(path_type=Path))
def publish(notebook: Path) -> None:
    """Publish the claims of an executed chapter.

    Those that NOTEBOOK shows replace the published ones of its study. The notebook must have been
    run at the laptop preset.
    """
    from initlab import claims
    from initlab.notebook import read

    read(notebook)
    found = claims.collect(notebook)
    try:
        claims.publish(found)
    except ValueError as error:
        raise UserError(f"{error}; run {notebook.name} with -p preset laptop first") from None
    print(claims.text(found))
