"""Many networks as one, beside what a user would write instead.

Each case has our way and its peers do the same work from the same shapes. They take turns
within one run, so that whatever else the machine does falls on all of them alike; a row gives
the medians, their ratio (peer over ours: above 1 we are faster) and the spread of the ratio over
rounds. `python -m benchmarks` writes latest.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from initlab.data import Data, load
from initlab.init import HeNormal, initialize
from initlab.measure.signal import lengths, random_unit_inputs
from initlab.models import MLP
from initlab.train import SGD, Budget, fit

Work = Callable[[], object]


def he_modules(model: MLP, count: int) -> list[nn.Module]:
    modules = [model.build() for _ in range(count)]
    for module in modules:
        for layer in module.modules():
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
    return modules


def drawing_and_measuring(depth: int, width: int, count: int) -> dict[str, Work]:
    """Draw networks with He's rule and take the mean square of every layer's output."""
    model = MLP.constant(depth, width, inputs=width, outputs=None)
    generator = torch.Generator().manual_seed(0)

    def ours():
        params = initialize(model.build("meta"), HeNormal(), generator, count=count)
        return lengths(model, params, random_unit_inputs(count, (width,), generator))

    @torch.no_grad()
    def loop_with_hooks():
        found = []
        for module in he_modules(model, count):
            squares: list[torch.Tensor] = []
            hooks = [
                act.register_forward_hook(lambda m, i, o, s=squares: s.append(o.square().mean()))
                for name, act in module.named_children()
                if name.startswith("act")
            ]
            module(torch.randn(1, width))
            for hook in hooks:
                hook.remove()
            found.append(torch.stack(squares))
        return torch.stack(found)

    return {"ours": ours, "a loop over modules with hooks": loop_with_hooks}


def training(depth: int, width: int, count: int, epochs: int) -> dict[str, Work]:
    """Train networks on the embedded digits with plain SGD, batch 128."""
    model = MLP.constant(depth, width, inputs=64)
    data = load(Data("digits"))
    x, y = data.train.x.flatten(1), data.train.y
    generator = torch.Generator().manual_seed(0)

    def ours():
        params = initialize(model.build("meta"), HeNormal(), generator, count=count)
        budget = Budget(epochs=epochs, batch_size=128)
        return fit(model, params, data, optimizer=SGD(0.05), budget=budget, order=generator)

    def loop():
        for module in he_modules(model, count):
            optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
            for _ in range(epochs):
                for chosen in torch.randperm(len(y)).split(128):
                    optimizer.zero_grad()
                    F.cross_entropy(module(x[chosen]), y[chosen]).backward()
                    optimizer.step()

    def stacked_by_torch_func():
        modules = he_modules(model, count)
        params, buffers = stack_module_state(modules)
        base = modules[0].to("meta")

        def loss(p, b, inputs, classes):
            return F.cross_entropy(functional_call(base, (p, b), (inputs,)), classes)

        gradient = vmap(torch.func.grad(loss), in_dims=(0, 0, None, None))
        with torch.no_grad():
            for _ in range(epochs):
                for chosen in torch.randperm(len(y)).split(128):
                    g = gradient(params, buffers, x[chosen], y[chosen])
                    params = {k: v - 0.05 * g[k] for k, v in params.items()}

    return {
        "ours": ours,
        "a loop with torch.optim": loop,
        "torch.func.vmap": stacked_by_torch_func,
    }


CASES: dict[str, Callable[[], dict[str, Work]]] = {
    "draw and measure 200 networks, depth 20, width 20": lambda: drawing_and_measuring(20, 20, 200),
    "draw and measure 50 networks, depth 100, width 100": lambda: drawing_and_measuring(
        100, 100, 50
    ),
    "train 20 networks for 2 epochs, depth 10, width 20": lambda: training(10, 20, 20, 2),
    "train 100 networks for 1 epoch, depth 5, width 10": lambda: training(5, 10, 100, 1),
}


def interleaved(work: dict[str, Work], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way, one after the other in every round, after one that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, way in work.items():
            start = time.perf_counter()
            way()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    rows = []
    for case, make in CASES.items():
        seconds = interleaved(make(), rounds)
        ours = seconds.pop("ours")
        for peer, theirs in seconds.items():
            ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
            rows.append(
                {
                    "case": case,
                    "order": "own",
                    "peer": peer,
                    "ours": statistics.median(ours),
                    "theirs": statistics.median(theirs),
                    "ratio": statistics.median(ratios),
                    "spread": [ratios[0], ratios[-1]],
                    "rounds": rounds,
                }
            )
            row = rows[-1]
            print(f"{case}: {row['ratio']:.2f}× {peer} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    about = {
        "machine": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
    }
    target = Path(__file__).parent / "latest.json"
    target.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
