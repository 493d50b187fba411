"""The methods, with their authors' defaults."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from initlab.init.contract import check_number
from initlab.init.fans import NORMS
from initlab.reinit.blocks import blocks
from initlab.reinit.contract import Change, Method
from initlab.spec import spec

_NEW = Change(0.0, 1.0)


def _learnable(module: nn.Module) -> list[str]:
    return [name for name, p in module.named_parameters() if p.requires_grad]


def _from_block(module: nn.Module, number: int) -> list[str]:
    """Names of the parameters from that block (from 0) to the end."""
    learnable = set(_learnable(module))
    return [n for block in blocks(module)[number:] for n in block.parameters if n in learnable]


@spec
class ShrinkPerturb(Method):
    """Every parameter shrinks and is mixed with a fresh draw: θ ← keep·θ + mix·θ′.

    The code of Ash & Adams 2020 (run.py), with its defaults: biases and the weights of
    normalization are parameters like others, so that a γ becomes keep·γ + mix and a β keep·β, and
    running statistics and the optimizer start anew. With `noise` σ it is the rule of their paper,
    θ ← keep·θ + N(0, σ²); `mix` must then be 0. They use keep 0.6 with noise 0.01 (their Figure 7).
    """

    keep: float = 0.4
    mix: float = 0.1
    noise: float | None = None

    name: ClassVar[str] = "Shrink & Perturb"
    source: ClassVar[str] = "ash_2020"
    formula: ClassVar[str] = r"\theta \leftarrow \lambda\,\theta + \gamma\,\theta'"

    def __post_init__(self) -> None:
        """Refuse shares outside [0, 1], and noise beside mixing."""
        for name in ("keep", "mix"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], not {getattr(self, name)}")
        if self.noise is not None:
            check_number("noise", self.noise)
            if self.mix:
                raise ValueError(
                    f"noise takes the place of mixing: give mix=0.0 with it, not {self.mix}"
                )

    def changes(self, module: nn.Module, stage: int, stages: int) -> dict[str, Change]:
        """See `Method.changes`."""
        each = Change(self.keep, self.mix if self.noise is None else self.noise)
        return dict.fromkeys(_learnable(module), each)

    def draw(self, module, rule, generator, **how) -> dict[str, Tensor]:
        """See `Method.draw`; with `noise` all of θ′ is standard normal, whatever the rule."""
        if self.noise is None:
            return super().draw(module, rule, generator, **how)
        return {
            name: torch.empty(module.get_parameter(name).shape).normal_(generator=generator)
            for name in _learnable(module)
        }


@spec
class LayerWise(Method):
    """Blocks settle one after the other, from the input on (Alabdulmohsin et al. 2021).

    At stage g of G, block l = ⌊g·B/G⌋ of B and all after it are drawn anew. Each parameter before
    it is scaled back to the norm that it started with (to zero if that was below 1e-6, as of
    biases), and the output of block l − 1 is normalized from then on by the mean and standard
    deviation of each channel over the first batch, which stay frozen, as do those of earlier
    stages. Running statistics are kept. As in the code of Zhou et al. 2022 (train_KE_cls_LW.py),
    since the original's is not public; there the first stage also draws its blocks twice, which
    changes nothing but the seed.
    """

    rescale: bool = True
    normalize: bool = True

    name: ClassVar[str] = "Layer-wise"
    source: ClassVar[str] = "alabdulmohsin_2021"
    formula: ClassVar[str] = (
        r"\theta_{<l} \leftarrow \theta_{<l}\,\|\theta_{<l}^0\|/\|\theta_{<l}\|,\;"
        r" \theta_{\ge l} \leftarrow \theta'_{\ge l}"
    )
    buffers: ClassVar[str] = "kept"

    def changes(self, module: nn.Module, stage: int, stages: int) -> dict[str, Change]:
        """See `Method.changes`."""
        new = dict.fromkeys(_from_block(module, self._boundary(module, stage, stages)), _NEW)
        if not self.rescale:
            return new
        before = [name for name in _learnable(module) if name not in new]
        return dict.fromkeys(before, Change(None, 0.0)) | new

    def normalized(self, module: nn.Module, stage: int, stages: int) -> str | None:
        """See `Method.normalized`."""
        boundary = self._boundary(module, stage, stages)
        if not self.normalize or boundary == 0:
            return None
        return blocks(module)[boundary - 1].end

    @property
    def normalizes(self) -> bool:
        """See `Method.normalizes`."""
        return self.normalize

    @staticmethod
    def _boundary(module: nn.Module, stage: int, stages: int) -> int:
        return stage * len(blocks(module)) // stages


@spec
class LaterLayers(Method):
    """Later-layer forgetting (Zhou et al. 2022): the weights from one block on are drawn anew.

    `from_block` counts from 0 after the stem (see `blocks`); they use the blocks 4 and 6 of
    ResNet-18, where its third and fourth stage begin. Their code leaves normalization alone, its
    weights and its running statistics; with `norms` its weights start anew too. It draws from
    He's uniform distribution with a slope of √5 whatever the network started from; here θ′ is of
    the rule that the network started from.
    """

    from_block: int
    norms: bool = False

    name: ClassVar[str] = "Later layers"
    source: ClassVar[str] = "zhou_2022"
    formula: ClassVar[str] = r"\theta_{\ge l} \leftarrow \theta'_{\ge l}"
    buffers: ClassVar[str] = "kept"

    def __post_init__(self) -> None:
        """Refuse blocks that no network has."""
        if self.from_block < 0:
            raise ValueError(f"from_block must be ≥ 0, not {self.from_block}")

    def changes(self, module: nn.Module, stage: int, stages: int) -> dict[str, Change]:
        """See `Method.changes`."""
        count = len(blocks(module))
        if self.from_block >= count:
            raise ValueError(
                f"from_block must be from 0 to {count - 1}, a block of {type(module).__name__} "
                f"after its stem, not {self.from_block}"
            )
        names = _from_block(module, self.from_block)
        if not self.norms:
            names = [
                name
                for name in names
                if not isinstance(module.get_submodule(name.rpartition(".")[0]), NORMS)
            ]
        return dict.fromkeys(names, _NEW)


@spec
class Head(Method):
    """The last block alone, the classifier, is drawn anew."""

    name: ClassVar[str] = "Head"
    source: ClassVar[str] = "alabdulmohsin_2021"
    formula: ClassVar[str] = r"\theta_{B} \leftarrow \theta'_{B}"
    buffers: ClassVar[str] = "kept"

    def changes(self, module: nn.Module, stage: int, stages: int) -> dict[str, Change]:
        """See `Method.changes`."""
        return dict.fromkeys(_from_block(module, -1), _NEW)


@spec
class Full(Method):
    """Everything is drawn anew; with a teacher, born-again networks (Furlanello et al. 2018)."""

    name: ClassVar[str] = "Full"
    source: ClassVar[str] = "furlanello_2018"
    formula: ClassVar[str] = r"\theta \leftarrow \theta'"

    def changes(self, module: nn.Module, stage: int, stages: int) -> dict[str, Change]:
        """See `Method.changes`."""
        return dict.fromkeys(_learnable(module), _NEW)
