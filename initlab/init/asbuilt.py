"""A network as its own code starts it."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from initlab.init.contract import Part, Scheme
from initlab.spec import spec


@spec
class AsBuilt(Scheme):
    """Every parameter as the network's own code starts it, from the seed of the run."""

    name: ClassVar[str] = "As built"
    preserves: ClassVar[str] = "whatever its author chose"
    use: ClassVar[str] = "A user's own network, to compare with other starts"
    leaves_all: ClassVar[bool] = True

    def plan(self, module: nn.Module) -> dict[str, Part]:
        """See `Scheme.plan`."""
        why = "it is as the network was built"
        return {name: Part(None, None, why) for name, _ in module.named_parameters()}
