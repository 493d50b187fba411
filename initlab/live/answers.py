"""What a kernel answers to the messages of a live section; `front/PROTOCOL.md` describes both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from initlab.live.config import Config, number, one_of, whole
from initlab.live.group import Group

#: Largest requests, so that a kernel never hangs on one message.
MOST_STEPS, MOST_EDGES, MOST_POINTS = 100_000, 1_000, 100_000


def flat(t: Tensor) -> list[float | None]:
    """The numbers of a tensor in their order; what is not finite is None, as JSON has no word."""
    return [v if isfinite(v) else None for v in t.flatten().tolist()]


class Kernel:
    """Answers one message after the other about one group of networks."""

    def __init__(self) -> None:
        """There is no group until one is started."""
        self.group: Group | None = None

    def __call__(self, message: Any) -> dict[str, Any]:
        """{id, result}, or {id, error} with a sentence."""
        answer: dict[str, Any] = {"id": None}
        try:
            if not isinstance(message, Mapping):
                raise ValueError(f"a message is an object with a command, not {message!r}")
            answer["id"] = message.get("id")
            told = {k: v for k, v in message.items() if k not in ("id", "client", "command")}
            command = one_of("command", message.get("command"), COMMANDS)
            answer["result"] = COMMANDS[command](self, told)
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            missing = isinstance(error, KeyError)
            answer["error"] = f"the message lacks {error}" if missing else str(error)
        return answer

    def _ready(self) -> Group:
        if self.group is None:
            raise ValueError("nothing has been started yet: send start first")
        return self.group

    def start(self, told: dict[str, Any]) -> dict[str, Any]:
        """Draw all networks; their signal and gradient before the first step."""
        self.group = Group(Config.read(told["config"]))
        *_, lengths, slopes = self.group.gradients()
        return {
            "networks": len(self.group.config.networks),
            "depth": self.group.config.depth,
            "steps_per_epoch": self.group.per_epoch,
            "label": f"PyTorch {torch.__version__.split('+')[0]}, in this notebook's kernel",
            "act_rms": flat(lengths),
            "grad_rms": flat(slopes),
        }

    def steps(self, told: dict[str, Any]) -> dict[str, Any]:
        """Train for some steps or some time."""
        group = self._ready()
        count = whole("count", told["count"], 1, MOST_STEPS)
        milliseconds = told.get("milliseconds")
        limit = float("inf") if milliseconds is None else number("milliseconds", milliseconds)
        every = group.run(count, limit / 1000)
        losses, accuracies, lengths, slopes = zip(*every, strict=True)
        return {
            "done": len(every),
            "step": group.step,
            "loss": flat(torch.stack(losses)),
            "accuracy": flat(torch.stack(accuracies)),
            "act_rms": flat(lengths[-1]),
            "grad_rms": flat(slopes[-1]),
        }

    def evaluate(self, told: dict[str, Any]) -> dict[str, Any]:
        """Loss, accuracy and histograms."""
        group = self._ready()
        split = one_of("split", told.get("split") or "test", ("test", "train"))
        edges = told["edges"]
        if not isinstance(edges, list) or not 2 <= len(edges) <= MOST_EDGES:
            raise ValueError(f"edges must be 2 to {MOST_EDGES} numbers")
        edges = [number("an edge", e) for e in edges]
        names = ("loss", "accuracy", "histogram", "act_rms")
        return dict(zip(names, map(flat, group.evaluate(edges, split)), strict=True))

    def mix(self, told: dict[str, Any]) -> dict[str, Any]:
        """Shrink & Perturb."""
        group = self._ready()
        everyone = range(len(group.config.networks))
        chosen = told.get("networks")
        rows = (
            everyone if chosen is None else [whole("network", r, 0, everyone[-1]) for r in chosen]
        )
        shift = whole("seed", told["seed"], 0, 2**32 - 1)
        group.mix(number("keep", told["keep"]), number("mix", told["mix"]), shift, rows)
        return {"step": group.step}

    def displacement(self, told: dict[str, Any]) -> dict[str, Any]:
        """How far each layer has gone, and some links of one layer."""
        group = self._ready()
        layer = whole("layer", told["layer"], 1, group.config.depth - 1)
        points = whole("points", told["points"], 1, MOST_POINTS)
        moved, began, _, delta, _ = group.displacement()
        size = group.config.width**2
        count = min(points, size)
        chosen = torch.arange(count) * size // count
        return {
            "delta_rms": flat(moved),
            "first_rms": flat(began),
            "first": flat(group.first[2][layer - 1].flatten(1)[:, chosen]),
            "delta": flat(delta[layer - 1].flatten(1)[:, chosen]),
        }


COMMANDS: dict[str, Callable[[Kernel, dict[str, Any]], dict[str, Any]]] = {
    "start": Kernel.start,
    "steps": Kernel.steps,
    "evaluate": Kernel.evaluate,
    "mix": Kernel.mix,
    "displacement": Kernel.displacement,
}
