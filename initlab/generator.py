"""PyTorch's global generator, lent for a while and given back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

#: One at a time: the generator is of all threads together.
LOCK = RLock()


@contextmanager
def drawing_from(seed: int, device: torch.device) -> Iterator[None]:
    """Whatever draws from PyTorch's global generator draws from `seed`; no state is left behind.

    For code of others, such as a network's Dropout or its constructor.
    """
    with LOCK, torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)  # manual_seed would reach every device
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
