"""Muon: momentum that is made orthogonal, for hidden matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from math import prod, sqrt
from typing import ClassVar

import torch
from torch import Tensor

from initlab.spec import spec
from initlab.train.optim.adam import Adam
from initlab.train.optim.contract import (
    POSITIVE,
    SHARE,
    Numbers,
    Optimizer,
    Shapes,
    add,
    shrink,
)

#: By name, what the rate of a matrix (m, n) is multiplied by. As in `torch.optim.Muon`.
ADJUST_LR = {
    "original": lambda m, n: sqrt(max(1, m / n)),  # Jordan et al. 2024
    "match_rms_adamw": lambda m, n: 0.2 * sqrt(max(m, n)),  # Liu et al. 2025
    "spectral_unclamped": lambda m, n: sqrt(m / n),  # Bernstein 2025
}
#: Of the polynomial that one step of Newton–Schulz applies to singular values (Jordan et al. 2024).
COEFFICIENTS = 3.4445, -4.7750, 2.0315


@spec
class Muon(Optimizer):
    """Momentum, orthogonalized by Newton–Schulz steps (Jordan et al. 2024); the rest by AdamW.

    For a hidden matrix: m ← μ m + (1 − μ) g, O = `orthogonalized` m (with `nesterov`, that of
    μ m + (1 − μ) g), θ ← (1 − lr·λ) θ − lr·a(shape) O. As `torch.optim.Muon` does it, but in
    float32 in place of bfloat16. A kernel is a matrix with a row for each output channel.

    By AdamW, at `adam_lr`, go all parameters that are no hidden matrices: those with a single row
    or column (biases, gains, a class token); of the others, if `ends`, the first and the last in
    the network's order, its input and output layer; and those whose name a pattern of `adam`
    matches, by default embeddings. A network whose head shares the matrix of its embedding needs
    `ends=False`.

    Args:
        lr: learning rate of hidden matrices, > 0.
        momentum: μ, in [0, 1).
        nesterov: whether the newest gradient counts once more.
        weight_decay: λ ≥ 0, decoupled, for all parameters.
        ns_steps: steps of Newton–Schulz, ≥ 1.
        adjust_lr: a(shape), one of "original", √max(1, m/n); "match_rms_adamw", 0.2 √max(m, n);
            "spectral_unclamped", √(m/n), for a matrix (m, n).
        adam_lr: learning rate of all other parameters, > 0.
        beta1: of AdamW, see `Adam`.
        beta2: of AdamW.
        eps: of AdamW.
        adam: patterns of names, as `fnmatch` has them, of more parameters for AdamW.
        ends: whether the first and the last matrix are for AdamW.

    Raises:
        ValueError: for numbers outside of their bounds, no steps and an unknown `adjust_lr`.
    """

    lr: float = 0.02
    momentum: float = 0.95
    nesterov: bool = True
    weight_decay: float = 0.0
    ns_steps: int = 5
    adjust_lr: str = "original"
    adam_lr: float = 0.0003
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-10
    adam: tuple[str, ...] = ("*embed*", "*wte*", "*wpe*")
    ends: bool = True

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "momentum": SHARE,
        "weight_decay": POSITIVE,
        "beta1": SHARE,
        "beta2": SHARE,
        "eps": POSITIVE,
    }
    rates: ClassVar[tuple[str, ...]] = ("lr", "adam_lr")

    def __post_init__(self) -> None:
        """Refuse no steps and unknown adjustments, beside what `Optimizer` refuses."""
        super().__post_init__()
        if self.ns_steps < 1:
            raise ValueError(f"Muon: ns_steps must be ≥ 1, not {self.ns_steps}")
        if self.adjust_lr not in ADJUST_LR:
            raise ValueError(
                f"Muon: unknown adjust_lr {self.adjust_lr!r}; known: {', '.join(ADJUST_LR)}"
            )

    def slots(self, shapes: Shapes) -> list[int]:
        """See `Optimizer.slots`: m of a hidden matrix, the two means of `Adam` of all else."""
        matrices = [name for name, shape in shapes.items() if min(_flat(shape)) > 1]
        hidden = set(matrices[1:-1] if self.ends else matrices)
        hidden -= {n for n in hidden if any(fnmatchcase(n, pattern) for pattern in self.adam)}
        return [1 if name in hidden else 2 for name in shapes]

    @staticmethod
    def update(
        theta: Tensor, grad: Tensor, slots: Sequence[Tensor], n: Numbers, count: int | Tensor
    ) -> None:
        """See `Optimizer.update`."""
        if len(slots) == 2:  # no hidden matrix
            Adam.update(theta, grad, slots, {**n, "lr": n["adam_lr"], "decoupled": True}, count)
            return
        (m,) = slots
        m.lerp_(grad, 1 - n["momentum"])
        along = grad.lerp_(m, n["momentum"]) if n["nesterov"] else m
        step = orthogonalized(along.flatten(2), n["ns_steps"]).view(theta.shape)
        shrink(theta, n)
        add(theta, step, -n["lr"] * ADJUST_LR[n["adjust_lr"]](*_flat(theta.shape[1:])))


def orthogonalized(matrices: Tensor, steps: int) -> Tensor:
    """Newton–Schulz iteration: of matrices U S Vᵀ about U Vᵀ.

    After five steps singular values are 0.68 to 1.20, but for those that were less than 0.3 % of
    their matrix's Frobenius norm: they are smaller still.

    Args:
        matrices: (R, m, n).
        steps: of the iteration.

    Returns:
        A new tensor (R, m, n).
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).contiguous()


def _flat(shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of a parameter whose axes after the first are flattened."""
    return (shape[0], prod(shape[1:])) if shape else (1, 1)
