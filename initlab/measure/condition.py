"""What state a network is in while it trains: dead units, features, and how its loss bends."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from initlab.init.functional import FunctionalModule
from initlab.measure.curvature import top_eigenvalue
from initlab.measure.layers import units
from initlab.spec import spec


def effective_rank(features: Tensor) -> float:
    """exp of the entropy of the shares of the singular values (Roy & Vetterli 2007).

    Of (B, n) features, centred: 1 where all examples lie on a line, n where they spread alike in
    all directions, and 0 where all are the same.

    >>> round(effective_rank(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])), 6)
    2.0
    """
    s = torch.linalg.svdvals(features.double() - features.double().mean(0))
    if s[0] <= 0:
        return 0.0
    share = s / s.sum()
    return float(torch.exp(-(share * share.clamp_min(1e-300).log()).sum()))


def features(module: nn.Module, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """What enters the child `head` of a module with other parameters, (B, …), detached."""
    entered: list[Tensor] = []
    hook = module.get_submodule("head").register_forward_pre_hook(
        lambda _, inputs: entered.append(inputs[0].detach())
    )
    try:
        with torch.no_grad():
            FunctionalModule(module, params)(params, x)
    finally:
        hook.remove()
    return entered[0]


@spec
class Condition:
    """The state of a network on its first `examples` training samples, with the labels it learns.

    At step 0, at every step that is 1 + `resolution` times the one before, at the ends of stages
    and at the end, of the whole network: `dead`, the share of units without a slope on any example
    (mean over activations); `rank`, the effective rank of what enters the head; and `sharpness`,
    the largest eigenvalue of the Hessian of the mean cross-entropy, after at most `products` steps
    of Lanczos. Networks with normalization normalize by these examples.
    """

    resolution: float = 1.0
    examples: int = 256
    products: int = 20

    def __post_init__(self) -> None:
        """Refuse impossible resolutions and numbers."""
        if not self.resolution > 0:
            raise ValueError(f"resolution must be > 0, not {self.resolution}")
        if self.examples < 2 or self.products < 1:
            raise ValueError(
                f"examples must be ≥ 2 and products ≥ 1, not {self.examples} and {self.products}"
            )

    def see(
        self,
        start: Mapping[str, Tensor],
        now: Mapping[str, Tensor],
        last: bool,
        network: Callable[[int, str], tuple[nn.Module, Tensor, Tensor]] | None = None,
    ) -> list[tuple[int, str, float]]:
        """(layer, statistic, value) of one network, which is asked for by `network`."""
        assert network is not None
        module, x, y = network(self.examples, "train")
        params = {name: p.detach() for name, p in module.named_parameters()}
        mode = module.training
        module.train()
        try:
            return [(-1, name, value) for name, value in self.values(module, params, x, y).items()]
        finally:
            module.train(mode)

    def values(
        self, module: nn.Module, params: Mapping[str, Tensor], x: Tensor, y: Tensor
    ) -> dict[str, float]:
        """`dead`, `rank` and `sharpness` of a module that has a child called `head`."""
        told = units(module, params, x, batch_size=len(x))
        dead = told[told.statistic == "dead"].value
        entered = features(module, params, x)
        finite = bool(torch.isfinite(entered).all())
        top = top_eigenvalue(module, params, (x, y), products=self.products)
        return {
            "dead": float(dead.mean()) if len(dead) else 0.0,
            "rank": effective_rank(entered) if finite else float("nan"),
            "sharpness": top.value,
        }
