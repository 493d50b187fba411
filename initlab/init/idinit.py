"""IDInit: every layer passes on what it gets, whatever its shape."""

from __future__ import annotations

from math import prod
from typing import ClassVar

import torch
from torch import Tensor

from initlab.init.branches import branches
from initlab.init.contract import Rule, Scheme, check_number
from initlab.init.fans import Fans
from initlab.init.plan import plan
from initlab.spec import spec


@spec
class PaddedIdentity(Rule):
    """Every unit copies one input: W_mn = `tau` if m ≡ n (mod fan-in), else 0.

    A layer that widens repeats the identity instead of leaving units without input, so that its
    rank is full. The weight is read as a matrix (outputs, inputs · kernel): units of a convolution
    copy one tap each, first all those of the first channel. It draws nothing. For what of this is
    in the paper see `IDInit`.
    """

    tau: float = 1.0
    name: ClassVar[str] = "Padded identity"
    states: ClassVar[str] = "fixed"
    source: ClassVar[str] = "pan_2025"
    formula: ClassVar[str] = r"W_{mn} = \tau \,[\, m \equiv n \!\!\pmod{n_{in}} \,]"
    preserves: ClassVar[str] = "the inputs that it copies, exactly"
    use: ClassVar[str] = "A part of IDInit."
    note: ClassVar[str] = "See IDInit."

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

    Checked against the paper's abstract and the caption of its Figure 3, which is what could be
    seen of it: identities on both paths, padded where a weight is not square; a small number in
    place of zeros; τ = 1 and ε = 10⁻⁶; convolutions "patch-maintain". Our reading, not checked
    against its equations or its code: the padding as m ≡ n modulo the fan-in, the order in which a
    kernel's taps are copied, and ε on the whole padded identity of a branch's last layer. The paper
    is said to loosen the identity of convolutions by a little noise as well; that is left out.
    """

    tau: float = 1.0
    epsilon: float = 1e-6

    name: ClassVar[str] = "IDInit"
    layers: ClassVar[str] = "residual networks"
    source: ClassVar[str] = "pan_2025"
    formula: ClassVar[str] = (
        r"W_{mn} = \tau \,[\, m \equiv n \,],"
        r" \quad \text{last of a branch: } \epsilon \,[\, m \equiv n \,]"
    )
    preserves: ClassVar[str] = "the signal: layers and blocks start as the identity"
    use: ClassVar[str] = "Residual networks trained with momentum; plain ones of one width."
    note: ClassVar[str] = (
        "Checked against the paper's abstract and the caption of its Figure 3: identities on both "
        "paths, padded where a weight is not square, a small number in place of zeros, τ = 1 and "
        "ε = 10⁻⁶. Our reading, not checked against its equations or code: padding by the "
        "congruence, the order in which taps of a kernel are copied, ε on the whole last layer of "
        "a branch, and no noise."
    )

    def __post_init__(self) -> None:
        """Refuse what is no finite number."""
        check_number("tau", self.tau, negative=True)
        check_number("epsilon", self.epsilon)

    def plan(self, module):
        """See `Scheme.plan`."""
        parts = plan(module, PaddedIdentity(self.tau))
        for branch in branches(module):
            last = branch.weights[-1]
            parts[last] = parts[last].by(PaddedIdentity(self.epsilon))
        return parts
