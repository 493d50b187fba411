"""The coordinate check of μP: how far activations move in the first steps, against width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor, nn

from initlab import tree
from initlab.init import Rule, Scheme, initialize
from initlab.init.functional import FunctionalModule, batch_loss, check_batch, seeded
from initlab.measure.layer_hooks import Seen, watching
from initlab.measure.layers import default_generator

#: Optimizers by name; any other is a function of parameter groups, as those of torch are.
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
}
COLUMNS = ("width", "network", "layer", "path", "kind", "step", "statistic", "value")


def coordinate_check(
    build: Callable[[int], nn.Module],
    rule: Rule | Scheme,
    widths: Sequence[int],
    batch: tuple[Tensor, Tensor],
    *,
    rate: float,
    steps: Sequence[int] = (1, 2, 5),
    optimizer: str | Callable[..., torch.optim.Optimizer] = "sgd",
    networks: int = 1,
    generator: torch.Generator | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> pd.DataFrame:
    """Mean |h_t − h_0| of every layer's outputs after t = `steps` steps on one batch, by width.

    `build(width)` makes the network, `rule` is its start, and a scheme's `rates` multiply the
    learning rate `rate`. Under μP the change neither grows nor vanishes with width (Yang et al.
    2022, figure 5). Columns `width`, `network`, `layer`, `path`, `kind`, `step`, `statistic`
    (`change`), `value`; of each width that many independent `networks`. Parameters that the rule
    leaves alone learn, too, from the module's own values. The loss is `loss`, a mean over examples
    of (outputs, targets), or that of the usual kinds of targets, at every place of a text.

    Raises `ValueError` for no widths or steps, for an unknown optimizer and for what `build` or the
    loss do not take.
    """
    x, y = check_batch(batch)
    make = OPTIMIZERS.get(optimizer) if isinstance(optimizer, str) else optimizer
    if make is None:
        raise ValueError(f"unknown optimizer {optimizer!r}; known: {', '.join(OPTIMIZERS)}")
    if not widths or not steps or any(type(t) is not int or t < 1 for t in steps):
        raise ValueError(
            f"widths and steps must be one or more whole numbers ≥ 1, not {widths!r} and {steps!r}"
        )
    g, rows = default_generator(generator), []
    for width in widths:
        for number in range(networks):
            with seeded(g, torch.device("cpu")):  # building draws torch's own start
                module = build(width)
            device = tree.first(x).device
            drawn = initialize(module, rule, g, device=device, batch=batch, leave="*")
            rates = rule.rates(module) if isinstance(rule, Scheme) else {}
            params = {
                name: drawn.get(name, p.detach()).to(device)
                for name, p in module.named_parameters()
                if p.requires_grad
            }
            network = FunctionalModule(module, params)
            leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
            groups = [
                {"params": [p], "lr": rate * rates.get(name, 1.0)} for name, p in leaves.items()
            ]
            descent, first = make(groups, lr=rate), _outputs(network, leaves, x, g)
            for step in range(1, max(steps) + 1):
                descent.zero_grad()
                with torch.enable_grad(), seeded(g, network.device):
                    (loss or batch_loss)(network(leaves, x), y).backward()
                descent.step()
                if step not in steps:
                    continue
                for (seen, before), (_, now) in zip(
                    first, _outputs(network, leaves, x, g), strict=True
                ):
                    change = float((now - before).abs().mean())
                    where = (seen.layer, seen.path, seen.kind)
                    rows.append((width, number, *where, step, "change", change))
    return pd.DataFrame(rows, columns=list(COLUMNS))


@torch.no_grad()
def _outputs(
    network: FunctionalModule, params: dict[str, Tensor], x: Tensor, generator: torch.Generator
) -> list[tuple[Seen, Tensor]]:
    """Outputs of every layer, copied."""
    found: list[tuple[Seen, Tensor]] = []

    def visit(seen: Seen) -> None:
        found.append((replace(seen, slope=None), seen.out.detach().clone()))

    with seeded(generator, network.device), watching(network.module, visit):
        network(params, x)
    return found
