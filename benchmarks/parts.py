"""Where the time of our training steps goes: what is saved when a part of them does nothing."""

from __future__ import annotations

import ctypes
import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.cases import Training
from benchmarks.ours import Ours
from initlab.train import native

PRODUCTS = "matrix products, and the weights' update in them"
STEP = "batch, biases, activations, loss"
REST = "Python around the step"


def parts(case: Training, rounds: int) -> dict[str, Any]:
    """Milliseconds of each part of a step of the networks that one of two threads trains.

    For native steps: see `initlab.train.native`.
    """
    case = case.of(max(1, case.networks // 2))
    run, threads = Ours().prepare(case), torch.get_num_threads()
    # What each round times: all of it, and with parts that do nothing.
    ways: tuple[Callable[[], AbstractContextManager[Any]], ...] = (
        nullcontext,
        lambda: patch.object(native, "_sgemm", _nothing),
        lambda: patch.object(native.Steps, "__call__", lambda steps, *_: steps.losses),
    )
    torch.set_num_threads(1)
    try:
        run()
        spent = [[_seconds(run, way) for way in ways] for _ in range(rounds)]
    finally:
        torch.set_num_threads(threads)
    whole, without, around = (
        1000 * statistics.median(t) / case.steps for t in zip(*spent, strict=True)
    )
    return {
        "case": case.title,
        "letter": case.letter,
        "order": case.order,
        "networks": case.networks,
        "milliseconds": {PRODUCTS: whole - without, STEP: without - around, REST: around},
    }


def _seconds(run: Callable[[], Any], way: Callable[[], AbstractContextManager[Any]]) -> float:
    with way():
        begun = perf_counter()
        run()
        return perf_counter() - begun


def _nothing() -> int | None:
    """Address of a function that leaves its arguments alone."""
    return ctypes.cast(ctypes.pythonapi.Py_IsInitialized, ctypes.c_void_p).value
