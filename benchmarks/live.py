"""Steps per second of an exported step beside eager PyTorch's: `python -m benchmarks.live`.

One network of 10 hidden layers of 100 units, batches of 64, SGD with momentum, one thread each.
`browser` is the page's own worker in headless Chromium, `graph` the same graph in the native
onnxruntime, `kernel` what a notebook's kernel runs. All take turns in one run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.browser import worker
from benchmarks.harness import Work, compared, interleaved
from initlab.live import network, start, steps
from initlab.models import MLP

BUILT = Path(__file__).parent.parent / "book" / "_static" / "live"
DEPTH, WIDTH, BATCH, LR, MOMENTUM = 10, 100, 64, 0.005, 0.9


def eager(depth: int = DEPTH, width: int = WIDTH, batch: int = BATCH) -> Callable[[int], None]:
    """A function that takes so many steps of `nn.Module` and `torch.optim.SGD`, as one writes them.

    On torch's threads; set them to one for a fair comparison.
    """
    module = MLP.constant(depth, width, inputs=64).build()
    optimizer = torch.optim.SGD(module.parameters(), LR, MOMENTUM)
    x, y = _batch(batch)

    def take(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            F.cross_entropy(module(x), y).backward()
            optimizer.step()

    return take


def written_out(
    depth: int = DEPTH, width: int = WIDTH, batch: int = BATCH
) -> Callable[[int], None]:
    """The same by the functions that are exported, in PyTorch: what a notebook's kernel runs."""
    params, velocities, x, y, numbers = _group(depth, width, batch)

    def take(count: int) -> None:
        nonlocal params, velocities
        for _ in range(count):
            grads = network.gradients(params, x, y, "relu")[:6]
            out = steps.sgd(params, velocities, grads, *numbers)
            params, velocities = list(out[:6]), list(out[6:])

    return take


def exported(
    folder: Path, depth: int = DEPTH, width: int = WIDTH, batch: int = BATCH
) -> Callable[[int], None]:
    """The same by the exported graph in the native onnxruntime, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "graphs" / "sgd_relu.onnx"), options)
    names = [i.name for i in session.get_inputs()]
    params, velocities, x, y, numbers = _group(depth, width, batch)
    state = [t.numpy() for t in (*params, *velocities)]
    rest = [t.numpy() for t in (x.unsqueeze(0), y.unsqueeze(0), *numbers)]

    def take(count: int) -> None:
        nonlocal state
        for _ in range(count):
            state = session.run(None, dict(zip(names, [*state, *rest], strict=True)))[:12]

    return take


def _batch(batch: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, 64, generator=generator)
    return x, torch.randint(0, 10, (batch,), generator=generator)


def _group(depth: int, width: int, batch: int) -> tuple:
    like = network.zeros(1, depth, width, 64)
    gain = torch.tensor(start.factor("he_normal", "relu"))
    seeds, scales = torch.tensor([0]), torch.ones(1)
    params = list(start.initialize("lecun_normal", like, seeds, scales, gain))
    x, y = _batch(batch)
    numbers = [torch.tensor([v]) for v in (LR, MOMENTUM, 0.0)]
    return params, like, x, nn.functional.one_hot(y, 10).float().unsqueeze(0), numbers


def config(depth: int = DEPTH, width: int = WIDTH, batch: int = BATCH) -> dict:
    """The same as a live section asks for it, on the small digits."""
    network = {"rule": "he_normal", "scale": 1, "seed": 0, "lr": LR, "weight_decay": 0, "noise": 0}
    return {
        "data": "digits", "depth": depth, "width": width, "activation": "relu", "norm": False,
        "optimizer": "sgd", "momentum": MOMENTUM, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8,
        "batch": batch, "networks": [network],
    }  # fmt: skip


def measured(folder: Path, rounds: int, count: int) -> dict[str, dict]:
    """Steps per second in a browser, of the graph and of the functions, each beside eager PyTorch.

    The time in a browser includes a message there and back, as it does on a page.
    """
    with worker(folder, config()) as browser:
        ways = {"eager": eager(), "browser": browser, "graph": exported(folder)}
        return _beside_eager(ways | {"kernel": written_out()}, rounds, count)


def _beside_eager(
    ways: dict[str, Callable[[int], None]], rounds: int, count: int
) -> dict[str, dict]:

    def turn(take: Callable[[int], None]) -> Work:
        def work() -> int:
            take(count)
            return count

        return work

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rates = interleaved({name: turn(take) for name, take in ways.items()}, rounds)
    finally:
        torch.set_num_threads(threads)
    return {name: compared(rates[name], rates["eager"]) for name in ways if name != "eager"}


def main() -> None:
    """Print the comparison as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--built", type=Path, default=BUILT, help="folder of `make vendor graphs`")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=100, help="of each in every round")
    given = parser.parse_args()
    print(json.dumps(measured(given.built, given.rounds, given.steps), indent=1))


if __name__ == "__main__":
    main()
