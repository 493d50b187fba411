"""Steps on a CUDA device, captured once and replayed.

A step of small networks is dozens of small kernels, each of which the processor has to start. A
CUDA graph starts all of them at once.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

#: Steps that are computed before one is captured: libraries set themselves up in the first.
WARM_UP = 3


class Replayed:
    """Work on tensors that is always the same but for their values.

    `work` takes tensors on the device and changes others in place; what it returns is overwritten
    by its next call. It is captured once for each set of shapes, and called where it cannot be.
    """

    def __init__(self, work: Callable[..., Tensor]) -> None:
        """Nothing is captured before the work has been done a few times."""
        self.work = work
        self.capturable = True
        self.forget()

    def forget(self) -> None:
        """Capture anew, after tensors that the work changes were replaced by others."""
        self.calls: dict[tuple[torch.Size, ...], int] = {}
        self.graphs: dict[
            tuple[torch.Size, ...], tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], Tensor]
        ] = {}

    def __call__(self, *given: Tensor) -> Tensor:
        """Do the work with these tensors."""
        shapes = tuple(t.shape for t in given)
        if shapes not in self.graphs:
            self.calls[shapes] = self.calls.get(shapes, 0) + 1
            if not self.capturable or self.calls[shapes] <= WARM_UP:
                return self.work(*given)
            self._capture(shapes, given)
            if not self.capturable:
                return self.work(*given)
        graph, inputs, output = self.graphs[shapes]
        for here, value in zip(inputs, given, strict=True):
            here.copy_(value)
        graph.replay()
        return output

    def _capture(self, shapes: tuple[torch.Size, ...], given: tuple[Tensor, ...]) -> None:
        inputs, graph = tuple(t.clone() for t in given), torch.cuda.CUDAGraph()
        collecting = gc.isenabled()
        gc.disable()  # a graph that is freed while another is captured ends the capture
        try:
            with torch.cuda.device(inputs[0].device), torch.cuda.graph(graph):
                output = self.work(*inputs)
        except RuntimeError as error:
            warnings.warn(f"steps are not captured as a CUDA graph: {error}", stacklevel=2)
            self.capturable = False
            _settle(inputs[0])
            return
        finally:
            if collecting:
                gc.enable()
        self.graphs[shapes] = graph, inputs, output


def _settle(t: Tensor) -> None:
    """Bring the device's random numbers back from a capture that failed, by one that does not."""
    for _ in range(3):  # the first may still hear of the failure
        try:
            with torch.cuda.device(t.device), torch.cuda.graph(torch.cuda.CUDAGraph()):
                t.clone()
        except RuntimeError:
            continue
        return
