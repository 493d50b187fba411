"""Random changes of images that keep their class, for a whole batch at once, on its device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from initlab.spec import spec


@spec
class Augment:
    """Shift by up to `crop` pixels (zeros move in), `flip` left to right in half of the cases, and
    blank a square of `cutout` pixels (DeVries & Taylor 2017), clipped at the border.

    The random numbers are drawn on the CPU, so that every device sees the same images.
    """

    crop: int = 0
    flip: bool = False
    cutout: int = 0

    def __post_init__(self) -> None:
        """Refuse sizes below zero, and an augmentation that does nothing."""
        for name in ("crop", "cutout"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is a number of pixels ≥ 0, not {getattr(self, name)}")
        if not (self.crop or self.flip or self.cutout):
            raise ValueError("an augmentation needs crop, flip or cutout; for none give None")

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Changed copies of images (B, C, H, W); raises `ValueError` for another shape."""
        if x.dim() != 4:
            raise ValueError(f"only images (B, C, H, W) can be augmented, not {tuple(x.shape)}")
        B, _, H, W = x.shape

        def draw(most: int) -> Tensor:
            return torch.randint(most, (B,), generator=generator).to(x.device)

        rows, columns = torch.arange(H, device=x.device), torch.arange(W, device=x.device)
        if self.crop:
            top, left = draw(2 * self.crop + 1), draw(2 * self.crop + 1)
            padded = F.pad(x, (self.crop,) * 4)
            here = torch.arange(B, device=x.device)[:, None, None]
            i, j = (top[:, None] + rows)[:, :, None], (left[:, None] + columns)[:, None, :]
            x = padded[here, :, i, j].movedim(-1, 1)
        if self.flip:
            x = torch.where(draw(2).view(B, 1, 1, 1) == 1, x.flip(-1), x)
        if self.cutout:
            half = self.cutout / 2
            i = (rows - draw(H)[:, None] + 0.5).abs() < half
            j = (columns - draw(W)[:, None] + 0.5).abs() < half
            x = x.masked_fill((i[:, :, None] & j[:, None, :]).unsqueeze(1), 0.0)
        return x
