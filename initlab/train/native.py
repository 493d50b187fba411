"""Steps of small fully connected networks in C, where the machine has a compiler.

A step of PyTorch operations hands every layer of every network through the memory, and Python
between them. `dense.c` takes one network after the other through a whole step, with the same
products of a BLAS. It is compiled when it is first needed, and kept in the user's cache.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from ctypes import POINTER, c_char_p, c_float, c_int, c_void_p
from functools import lru_cache
from pathlib import Path

import torch
from scipy.linalg import cython_blas
from torch import Tensor

from initlab import folders
from initlab.train.loss import LEAST

SOURCE = Path(__file__).with_name("dense.c")
FLAGS = (
    "-O3",
    "-std=c11",
    "-fPIC",
    "-shared",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fopenmp-simd",
)
#: Environment variable; "0": train without compiled steps.
SWITCH = "INITLAB_COMPILE"
ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid")
#: How the arguments of a BLAS begin whose integers have 32 bits.
SIGNATURE = b"void (char *, char *, int *, int *, int *,"

_Tensors = POINTER(c_void_p)


class _Step(ctypes.Structure):
    _fields_ = (
        ("sgemm", c_void_p),
        ("networks", c_int),
        ("batch", c_int),
        ("layers", c_int),
        ("activation", c_int),
        ("shared", c_int),
        ("update", c_int),
        ("widths", POINTER(c_int)),
        ("weights", _Tensors),
        ("biases", _Tensors),
        ("weight_out", _Tensors),
        ("bias_out", _Tensors),
        ("times", c_void_p),
        ("scratch", c_void_p),
        ("losses", c_void_p),
    )


def compiler() -> str | None:
    """The C compiler of this machine, if it has one."""
    return shutil.which(os.environ.get("CC") or "cc") or shutil.which("gcc")


def available() -> bool:
    """Whether steps are compiled here."""
    return os.environ.get(SWITCH) != "0" and _library() is not None and _sgemm() is not None


@lru_cache
def _library() -> ctypes.CDLL | None:
    """`dense.c`, from the cache or compiled now; None where that is impossible."""
    source = SOURCE.read_bytes()
    of = repr((source, FLAGS, platform.system(), platform.machine())).encode()
    kept = None
    try:
        kept = folders.cache() / f"dense-{hashlib.sha256(of).hexdigest()[:16]}.so"
        if _whole(kept):
            return _loaded(kept)
    except OSError:  # made for another system, or no folder is this user's alone
        pass
    command = compiler()
    if command is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "dense.so"
        try:
            arguments = [command, *FLAGS, str(SOURCE), "-o", str(fresh), "-lm"]
            subprocess.run(arguments, check=True, capture_output=True)
            return _loaded(fresh if kept is None else _keep(fresh, kept))
        except (OSError, subprocess.CalledProcessError):
            return None


def _whole(kept: Path) -> bool:
    """Whether a library is there as `_keep` left it: to load half of one would end the process."""
    content = kept.read_bytes() if kept.is_file() else b""
    return hashlib.sha256(content[:-32]).digest() == content[-32:]


def _keep(fresh: Path, kept: Path) -> Path:
    """Where the library is from now on: in the cache, with its hash at its end, if that can be
    written.
    """
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as beside:
            content = fresh.read_bytes()
            beside.write(content + hashlib.sha256(content).digest())
        Path(beside.name).replace(kept)  # in one piece, whoever else compiles now
    except OSError:
        return fresh
    return kept


def _loaded(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    library.step.argtypes = [POINTER(_Step), c_void_p, c_void_p, c_void_p, c_int, c_float]
    library.step.restype = c_int
    return library


@lru_cache
def _sgemm() -> int | None:
    """Address of the matrix product of scipy's BLAS."""
    capsule = getattr(cython_blas, "__pyx_capi__", {}).get("sgemm")
    if capsule is None:
        return None
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, c_char_p]
    name = api.PyCapsule_GetName(capsule)
    return api.PyCapsule_GetPointer(capsule, name) if name.startswith(SIGNATURE) else None


class Steps:
    """Compiled steps of one group: parameters stay where they are, and are read or moved there."""

    def __init__(
        self,
        activation: str,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor | None],
        weight_out: Sequence[Tensor],
        bias_out: Sequence[Tensor | None],
        *,
        update: bool,
    ) -> None:
        """Layer by layer, (R, n, k) and (R, n) or None, contiguous. `update`: results are added to
        what is in `…_out`, else they take its place.
        """
        self.tensors = (weights, biases, weight_out, bias_out)
        self.networks = len(weights[0])
        self.widths = [weights[0].shape[2], *(W.shape[1] for W in weights)]
        self.losses = torch.zeros(self.networks)
        self.steps: dict[tuple[int, bool], tuple[_Step, list[object]]] = {}
        self.fixed = (len(weights), ACTIVATIONS.index(activation), int(update))

    def _step(self, B: int, shared: bool) -> _Step:
        """What is the same at all steps of one size."""
        if (B, shared) not in self.steps:
            n = self.widths
            room = B * (n[0] + sum(n[1:]) + 2 * max(n[1:]) + 2)
            scratch = torch.empty(room + (self.networks * n[1] * B if shared else 0))
            widths = (c_int * len(n))(*n)
            lists = [
                (c_void_p * len(some))(*(None if t is None else t.data_ptr() for t in some))
                for some in self.tensors
            ]
            layers, activation, update = self.fixed
            step = _Step(
                _sgemm(), self.networks, B, layers, activation, int(shared), update, widths,
                *(ctypes.cast(pointers, _Tensors) for pointers in lists),
                None, scratch.data_ptr(), self.losses.data_ptr(),
            )  # fmt: skip
            self.steps[B, shared] = step, [scratch, widths, *lists]
        return self.steps[B, shared][0]

    def __call__(self, x: Tensor, chosen: Tensor | None, y: Tensor, times: Tensor) -> Tensor:
        """The losses (R,), overwritten by the next call; gradients times `times`, (R,), go out.

        The batch is `x`, (B, in) or (R, B, in), or of all samples (N, in) those that are `chosen`,
        (B,) or (R, B). `y` are classes, (B,) or (R, B). Raises `IndexError` for a class that there
        is none of.
        """
        shared = (x.dim() if chosen is None else chosen.dim() + 1) == 2
        B = x.shape[-2] if chosen is None else chosen.shape[-1]
        step = self._step(B, shared)
        step.times = times.data_ptr()
        where = None
        if chosen is not None:
            chosen = chosen.contiguous()
            where = chosen.data_ptr()
        x, y = x.float().contiguous(), y.long().contiguous()
        apart = B if y.dim() == 2 and len(y) > 1 else 0
        library = _library()
        assert library is not None
        if library.step(step, x.data_ptr(), where, y.data_ptr(), apart, LEAST):
            raise IndexError(
                f"classes must be from 0 to {self.widths[-1] - 1}, not from {int(y.min())} to "
                f"{int(y.max())}"
            )
        return self.losses
