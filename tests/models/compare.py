"""A network of ours against one written by others, with the same weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def copied(ours: nn.Module, names: dict[str, str] | None = None) -> dict[str, Tensor]:
    """Random values for the state of `ours`, and what `names` calls them elsewhere.

    Batch normalization gets weights and running variances away from zero.
    """
    generator = torch.Generator().manual_seed(5)
    for name, value in ours.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        if value.dim() > 1:
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
        elif name.endswith(("weight", "running_var")):
            value.uniform_(0.5, 1.5, generator=generator)
        else:
            value.normal_(0, 0.2, generator=generator)
    return {k if names is None else names[k]: v for k, v in ours.state_dict().items()}


@torch.no_grad()
def assert_same_outputs(ours: nn.Module, theirs, x: Tensor) -> None:
    """Equal in evaluation and in training, and not trivially so."""
    for training in (False, True):
        ours.train(training)
        if isinstance(theirs, nn.Module):
            theirs.train(training)
            expected = theirs(x)
        else:
            expected = theirs(x, training)
        size = float(expected.abs().max())
        assert float(expected.std(0).min()) > 1e-3 * size, "the outputs do not depend on the input"
        torch.testing.assert_close(ours(x) / size, expected / size, rtol=1e-5, atol=1e-5)


def images(count: int = 3, side: int = 16, channels: int = 3) -> Tensor:
    """Random images, (count, channels, side, side)."""
    x = torch.empty(count, channels, side, side)
    return x.normal_(generator=torch.Generator().manual_seed(6))
