"""Which devices this machine has."""

from __future__ import annotations

import torch


def present() -> list[str]:
    """The kinds of device that can compute here: "cpu", and "cuda" or "mps" where there is one."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def check(device: str) -> str:
    """`device`, such as "cpu" or "cuda:1"; raises `ValueError` unless this machine has it."""
    kind, _, number = device.partition(":") if isinstance(device, str) else ("", "", "")
    known = kind in present() and (number == "" or number.isdigit())
    if known and kind == "cuda" and number:
        known = int(number) < torch.cuda.device_count()
    if not known:
        raise ValueError(
            f"this machine has no device {device!r}; it has {', '.join(present())}. "
            "`python -m initlab doctor` says more"
        )
    return device
