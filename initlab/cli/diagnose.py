"""The command that looks at a network for those who have no notebook."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from typing import Any

import click

from initlab.cli.group import UserError, command


@command(
    "diagnose",
    "diagnose torchvision.models:resnet18 --input 3,64,64",
    "diagnose mine:build --set depth=60 --init he_normal",
    "diagnose mine:build --batch mine:batch --lr 0.1",
)
@click.argument("network", metavar="MODULE:FACTORY")
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="An argument of it.")
@click.option("--batch", metavar="MODULE:FUNCTION", help="What gives (inputs, targets).")
@click.option("--input", "shape", metavar="C,H,W", help="Or the shape of one input, of noise.")
@click.option("--tokens", type=click.IntRange(2), help="Or how many tokens there are.")
@click.option("--length", type=click.IntRange(1), default=32, show_default=True, help="Of a text.")
@click.option("--examples", type=click.IntRange(2), default=64, show_default=True)
@click.option("--init", "rule", metavar="RULE", help="Start it anew by this rule or scheme.")
@click.option("--lr", type=float, help="The first step of SGD, or of Adam, at this rate.")
@click.option("--adam", is_flag=True, help="The step is Adam's.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--table", is_flag=True, help="All layers and parameters as well.")
@click.option("--plot", type=click.Path(path_type=Path), help="A file for the figure.")
def diagnose(network: str, given: tuple[str, ...], **options: Any) -> None:
    """Tell why a network does not train.

    One forward and one backward pass over a batch; what stands in the way of training is told in
    plain words. Without a batch of its own the inputs are noise and the targets random classes,
    which is enough for signal and gradient.
    """
    import torch

    from initlab import init
    from initlab.measure.report import diagnose as look

    sys.path.insert(0, str(Path.cwd()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options["seed"])
        module = _called(network, _arguments(given))
        if not isinstance(module, torch.nn.Module):
            raise UserError(f"{network} gives a {type(module).__name__}, not a torch module")
        batch = _batch(module, options)
    optimizer = None
    if options["lr"] is not None:
        kind = torch.optim.Adam if options["adam"] else torch.optim.SGD

        def optimizer(params: list[Any]) -> Any:
            return kind(params, lr=options["lr"])

    try:
        if options["rule"]:
            rule = init.rule(options["rule"])
            print(init.initialize_(module, rule, seed=options["seed"], batch=batch, leave="*"))
            print()
        report = look(module, batch, optimizer=optimizer, seed=options["seed"])
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(str(error).splitlines()[0]) from None
    print(report)
    if options["table"]:
        print()
        print(report.layers.to_string(index=False))
        print()
        print(report.parameters.to_string(index=False))
    if options["plot"]:
        from initlab import plot

        figure: Any = plot.diagnosis(report.layers).figure
        figure.savefig(options["plot"], bbox_inches="tight")


def _called(name: str, arguments: dict[str, Any]) -> Any:
    place, _, inner = name.partition(":")
    try:
        found: Any = importlib.import_module(place)
        for part in inner.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"{name!r} is not found: {error}; it is written package.module:name"
        ) from None
    try:
        return found(**arguments)
    except Exception as error:  # whatever the user's own code raises
        raise UserError(f"{name} stops: {type(error).__name__}: {error}") from None


def _arguments(given: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in given:
        name, equals, text = one.partition("=")
        if not equals or not name.isidentifier():
            raise UserError(f"--set takes NAME=VALUE, not {one!r}")
        try:
            found[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            found[name] = text
    return found


def _batch(module: Any, options: dict[str, Any]) -> Any:
    """The batch that was named, or one of noise."""
    import torch

    from initlab.models.network import logits

    if options["batch"]:
        return _called(options["batch"], {})
    n = options["examples"]
    if options["tokens"]:
        x = torch.randint(options["tokens"], (n, options["length"]))
    elif options["shape"]:
        try:
            sides = [int(part) for part in options["shape"].replace("x", ",").split(",")]
        except ValueError:
            raise UserError(f"--input takes whole numbers, not {options['shape']!r}") from None
        x = torch.randn(n, *sides)
    else:
        raise UserError(
            "say what goes in: --batch MODULE:FUNCTION, --input C,H,W or --tokens NUMBER"
        )
    mode = module.training
    try:
        with torch.no_grad():
            out = logits(module.eval()(x[:2]))
    except Exception as error:  # whatever the user's own code raises
        raise UserError(f"the network does not take that input: {error}") from None
    finally:
        module.train(mode)
    return x, torch.randint(out.shape[-1], (n, *out.shape[1:-1]))
