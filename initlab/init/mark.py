"""A picture planted in a weight matrix, to see whether training wipes it out."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from initlab.init.contract import Part, Rule, Scheme
from initlab.init.fans import Fans
from initlab.init.plan import plan
from initlab.init.variance_scaling import GlorotUniform
from initlab.spec import spec

#: The letter a on a grid; the strokes are what is kept.
LETTER = (
    "................",
    "................",
    "....#######.....",
    "...#########....",
    "..........###...",
    "...........##...",
    "....#########...",
    "...##########...",
    "..###......##...",
    "..##.......##...",
    "..##......###...",
    "..###....####...",
    "...#######.##...",
    "....#####..##...",
    "................",
    "................",
)


def mark(shape: tuple[int, int]) -> Tensor:
    """The letter stretched over a matrix: True on its strokes, (rows, columns)."""
    grid = torch.tensor([[c == "#" for c in line] for line in LETTER])
    rows, columns = (torch.arange(n) * len(LETTER) // n for n in shape)
    return grid[rows][:, columns]


@spec
class Marked(Rule):
    """Another rule's matrix, with zeros wherever the letter has no stroke."""

    rule: Rule = GlorotUniform()
    name: ClassVar[str] = "Marked"

    @property
    def label(self) -> str:
        """The rule, and that it is marked."""
        return f"{self.rule.label}, marked"

    def stack(self, fans, shape, generator, count) -> Tensor:
        """See `Rule.stack`; raises `ValueError` for a shape that is no matrix."""
        if len(shape) != 2:
            raise ValueError(f"a mark is planted in a matrix, not in a weight of shape {shape}")
        return self.rule.stack(fans, shape, generator, count).mul_(mark(shape))

    def variance(self, fans: Fans) -> float:
        """The rule's variance times the share of links on a stroke, of a large matrix."""
        return self.rule.variance(fans) * float(mark((160, 160)).float().mean())


@spec
class MarkedLayer(Scheme):
    """`rule` everywhere, with the letter in the weight of one `layer` (counted from 1).

    Jesus et al. 2020, Figure 1: of the weights between the two hidden layers only those on the
    strokes of an a are kept.
    """

    rule: Rule = GlorotUniform()
    layer: int = 2
    name: ClassVar[str] = "Marked"
    source: ClassVar[str] = "jesus_2021"
    formula: ClassVar[str] = r"W_{ij} \leftarrow W_{ij}\,[(i, j) \in \text{letter}]"
    preserves: ClassVar[str] = "a picture, for as long as weights stay near their start"
    use: ClassVar[str] = "To see how far training moves weights."

    @property
    def label(self) -> str:
        """The rule, and that it is marked."""
        return f"{self.rule.label}, marked"

    def plan(self, module: nn.Module) -> dict[str, Part]:
        """See `Scheme.plan`; raises `ValueError` for a layer that there is not."""
        parts = plan(module, self.rule)
        matrices = [n for n, p in module.named_parameters() if p.dim() == 2]
        if not 1 <= self.layer <= len(matrices):
            raise ValueError(
                f"layer must be from 1 to {len(matrices)}, the number of weight matrices, not "
                f"{self.layer}"
            )
        name = matrices[self.layer - 1]
        parts[name] = parts[name]._replace(rule=Marked(self.rule))
        return parts
