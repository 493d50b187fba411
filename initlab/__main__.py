"""Command line: the scorecard, the check of recorded results, and running a chapter."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from initlab import claims
from initlab.parameters import ParameterError, check_names, check_preset
from initlab.store import RECORDED, Store, StoreError


class UserError(Exception):
    """A mistake of the caller's, told in one line."""


def show_claims(args: argparse.Namespace) -> None:
    """Print the published claims."""
    known = claims.published()
    print(json.dumps(known, indent=1, ensure_ascii=False) if args.json else claims.text(known))


def verify_recorded(args: argparse.Namespace) -> None:
    """Compute a random sample of recorded runs again."""
    from initlab.verify import verify

    done = bad = 0
    for result in verify(args.sample, args.seconds, args.seed):
        done += 1
        bad += bool(result.differences)
        print(
            f"{'DIFFERS' if result.differences else 'same':8}{result.values:5} values  {result.run}"
        )
        for difference in result.differences[:5]:
            print(f"    {difference}")
    if done == 0:
        raise UserError("no recorded run fits: nothing was verified; allow more --seconds")
    print(f"{done - bad} of {done} recorded runs came out the same")
    if bad:
        raise SystemExit(1)


def record(args: argparse.Namespace) -> None:
    """Ship what a store holds with the package, as one file."""
    store = Store(args.store)
    keys = store.keys()
    if not keys:
        raise UserError(f"the store {store.folder} holds no results")
    target = RECORDED / f"{args.name}.parquet"
    print(
        f"{store.export(keys, target)} runs in {target.name}, {target.stat().st_size / 1e6:.2f} MB"
    )


def publish(args: argparse.Namespace) -> None:
    """Make the claims that an executed notebook shows the published ones."""
    found = claims.collect(_existing(args.notebook))
    try:
        claims.publish(found)
    except ValueError as error:
        raise UserError(str(error)) from None
    print(claims.text(found))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"there is no notebook {path}")
    return path


def _value(text: str) -> Any:
    """A parameter as papermill reads it: YAML's plain types."""
    import yaml

    return yaml.safe_load(text)


def execute(args: argparse.Namespace) -> None:
    """Run a chapter through papermill, refusing parameters that it does not have."""
    import papermill

    notebook = _existing(args.notebook)
    given = {name: _value(text) for name, text in args.parameters}
    check_names(set(given), set(papermill.inspect_notebook(str(notebook))))
    check_preset(given.get("preset", "laptop"))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        # A failed run must not stand where a good one is looked for.
        fresh = Path(folder) / args.out.name
        try:
            papermill.execute_notebook(
                str(notebook),
                str(fresh),
                given,
                kernel_name="python3",
                progress_bar=args.progress,
                execution_timeout=args.timeout,
                cwd=str(notebook.parent),
            )
        except papermill.PapermillExecutionError as error:
            failed = args.out.with_suffix(".failed.ipynb")
            shutil.move(fresh, failed)
            raise UserError(
                f"{notebook.name} stopped: {error.ename}: {error.evalue}; see {failed}"
            ) from None
        shutil.move(fresh, args.out)


def main(argv: list[str] | None = None) -> int:
    """Parse and run one command; 0, or 1 with one line on stderr, or argparse's 2."""
    parser = argparse.ArgumentParser(prog="python -m initlab", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function, name: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        sub.set_defaults(function=function)
        return sub

    sub = command(show_claims, "claims")
    sub.add_argument("--json", action="store_true", help="for programs")
    sub = command(verify_recorded, "verify")
    sub.add_argument("--sample", type=int, default=10, help="runs to compute again (default 10)")
    sub.add_argument("--seconds", type=float, default=60.0, help="their recorded cost at most (60)")
    sub.add_argument("--seed", type=int, help="choose the same sample again")
    sub = command(record, "record")
    sub.add_argument("name", help="of the file, without ending: the study's name")
    sub.add_argument("--store", type=Path, help="folder (default: INITLAB_STORE or the cache)")
    sub = command(publish, "publish")
    sub.add_argument("notebook", type=Path, help="executed at the laptop preset")
    sub = command(execute, "execute")
    sub.add_argument("notebook", type=Path)
    sub.add_argument("out", type=Path)
    sub.add_argument(
        "-p", dest="parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE")
    )
    sub.add_argument("--timeout", type=int, default=None, help="seconds for one cell")
    sub.add_argument("--progress", action="store_true", help="show papermill's progress bar")
    args = parser.parse_args(argv)
    try:
        args.function(args)
    except (UserError, ParameterError, StoreError) as error:
        print(f"initlab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("initlab: stopped; what was computed is stored", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
