"""What a user would take instead: one file a library, all with one contract."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from torch import Tensor

from benchmarks.cases import Signal, Training


class UnavailableError(Exception):
    """Someone who cannot do a case here; the message says why."""

    def __init__(self, name: str, why: str) -> None:
        """Name who cannot and say why."""
        super().__init__(f"{name} is left out: {why}")


class Peer(Protocol):
    """Someone who does the work of a case.

    `letters` are the cases that are taken on. Who takes networks `one_by_one` may be measured
    on fewer of them: time per network is what is compared.
    """

    name: str
    letters: str
    one_by_one: bool

    def prepare(self, case: Any) -> Callable[[], Tensor]:
        """Make all that is not timed, and give the work that is.

        The work of a `Training` gives the loss of each network at its last step, (networks,);
        that of a `Signal` the lengths of each, (networks, depth + 1). It starts afresh at every
        call and gives the values only when all is computed. Raises `UnavailableError`.
        """


#: Module and class of each, with the distribution it needs beyond the package's own.
PEERS = (
    ("loop", "Loader", None),
    ("loop", "Tensors", None),
    ("trainer", "Lightning", "lightning"),
    ("jax_vmap", "Jax", "jax"),
    ("jax_resnet", "JaxResNet", "jax"),
    ("torch_func", "Eager", None),
    ("torch_func", "Compiled", None),
    ("signal", "Hooks", None),
    ("signal", "Vmapped", None),
    ("jax_signal", "JaxSignal", "jax"),
    ("own_loop", "OwnLoop", None),
    ("own_func", "OwnFunc", None),
    ("own_jax", "OwnJax", "jax"),
)


# JAX reads its devices here, before it is imported: everyone computes where the case says.
os.environ.setdefault("JAX_PLATFORMS", "cpu")


def peers() -> tuple[list[Peer], list[str]]:
    """Everyone who is installed, and a line for each who is not."""
    found, missing = [], []
    for module, name, needs in PEERS:
        try:
            found.append(getattr(import_module(f"benchmarks.peers.{module}"), name)())
        except ModuleNotFoundError as error:
            if needs is None or error.name != needs:
                raise
            missing.append(f"{name} is left out: {needs} is not installed")
    return found, missing


__all__ = ["PEERS", "Peer", "Signal", "Training", "UnavailableError", "peers"]
