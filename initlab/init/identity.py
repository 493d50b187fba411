"""IDInit: every layer passes on what it gets, whatever its shape."""

from __future__ import annotations

from math import prod
from typing import ClassVar

import torch
from torch import Tensor

from initlab.init.branches import branches
from initlab.init.contract import Part, Rule, Scheme, check_number
from initlab.init.fans import Fans
from initlab.init.plan import plan
from initlab.spec import spec


@spec
class PaddedIdentity(Rule):
    """Every unit copies one input: W_mn = `tau` if m ≡ n (mod fan-in), else 0.

    A layer that widens repeats the identity instead of leaving units without input, so that its
    rank is full. The weight is read as a matrix (outputs, inputs · kernel): units of a convolution
    copy one tap each, first all those of the first channel (the patch-maintain form). It draws
    nothing.
    """

    tau: float = 1.0
    name: ClassVar[str] = "Padded identity"
    states: ClassVar[str] = "fixed"
    source: ClassVar[str] = "pan_2025"
    formula: ClassVar[str] = r"W_{mn} = \tau \,[\, m \equiv n \!\!\pmod{n_{in}} \,]"
    preserves: ClassVar[str] = "the inputs that it copies, exactly"
    use: ClassVar[str] = "A part of IDInit."

    def __post_init__(self) -> None:
        """Refuse what is no finite number."""
        check_number("tau", self.tau, negative=True)

    def stack(self, fans, shape, generator, count) -> Tensor:
        """See `Rule.stack`; raises `ValueError` for a shape that is no matrix."""
        if len(shape) < 2:
            raise ValueError(f"an identity needs two or more dimensions, not {shape}")
        rows, columns = shape[0], prod(shape[1:])
        copied = torch.arange(rows) % columns
        matrix = self.tau * (copied.unsqueeze(1) == torch.arange(columns)).float()
        return matrix.reshape(shape).expand(count, *shape).clone()

    def variance(self, fans: Fans) -> float:
        """tau²/fan-in: the mean square of the entries."""
        return self.tau**2 / fans.fan_in


@spec
class IDInit(Scheme):
    """Padded identities everywhere; in the last layer of a residual branch almost zero ones.

    Pan et al. 2025: `tau` on the main path and inside branches, `epsilon` instead of zero in the
    last layer of each branch, so that its units are not dead. Nothing is random.
    """

    tau: float = 1.0
    epsilon: float = 1e-6

    name: ClassVar[str] = "IDInit"
    source: ClassVar[str] = "pan_2025"
    formula: ClassVar[str] = (
        r"W_{mn} = \tau \,[\, m \equiv n \,],"
        r" \quad \text{last of a branch: } \epsilon \,[\, m \equiv n \,]"
    )
    preserves: ClassVar[str] = "the signal: layers and blocks start as the identity"
    use: ClassVar[str] = "Residual networks trained with momentum; plain ones of one width."

    def __post_init__(self) -> None:
        """Refuse what is no finite number."""
        check_number("tau", self.tau, negative=True)
        check_number("epsilon", self.epsilon)

    def plan(self, module):
        """See `Scheme.plan`."""
        parts = plan(module, PaddedIdentity(self.tau))
        for branch in branches(module):
            last = branch.weights[-1]
            parts[last] = Part(PaddedIdentity(self.epsilon), parts[last].fans)
        return parts
