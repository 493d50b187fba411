"""The still figure of the live section: links of one small network as dots."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch

from initlab import init, plot
from initlab.data import Data, load
from initlab.models import MLP
from initlab.train import SGD, Budget, fit

#: About so many links are drawn.
DOTS = 150


def travel(
    width: int, rate: float, scale: float, epochs: Sequence[int], seed: int = 0
) -> list[np.ndarray]:
    """Weights between the hidden layers of a network that learns to read digits.

    Args:
        width: of both hidden layers.
        rate: learning rate of plain SGD.
        scale: factor on Glorot's first weights.
        epochs: at which to look, the first of them 0.
        seed: of the weights.

    Returns:
        The weights at each of the epochs, (width²,).
    """
    digits = load(Data("digits", train=512, test=100))
    model = MLP((width, width), inputs=digits.features)
    fresh = torch.Generator().manual_seed(seed)
    rule = init.GlorotUniform(scale=scale**2)
    now = init.stacked(model.build("meta"), rule, fresh, 1)
    seen = [now["layer2.weight"].flatten()]
    for last, epoch in pairwise(epochs):
        [outcome] = fit(
            model,
            now,
            digits,
            optimizer=SGD(lr=rate),
            budget=Budget(epochs=epoch - last, batch_size=128),
            order=torch.Generator().manual_seed(epoch),
        )
        now = {n: t.unsqueeze(0) for n, t in outcome.params.items()}
        seen.append(now["layer2.weight"].flatten())
    return [w.numpy() for w in seen]


def cloud(seen: Sequence[np.ndarray], width: int, epoch: int) -> str:
    """Links as dots, first value across and last value up, as bare SVG.

    Args:
        seen: weights at the epochs of `travel`; the last of them are drawn.
        width: for the title.
        epoch: of the last.
    """
    w, v = seen[0], seen[-1]
    a = float(np.abs(w).max())
    b = max([a] + [float(np.nanmax(np.abs(u))) for u in seen if np.isfinite(u).any()])
    text, dots = "the weights are no longer finite", ""
    if np.isfinite(v).all():
        r, far = np.corrcoef(w, v)[0, 1], np.abs(v - w).max()
        text = f"correlation with the start {r:.2f}, farthest |Δ| {far:.2f}".replace("-", "−")
        every = max(1, len(w) // DOTS)
        dots = "".join(
            f"<circle cx='{30 + 165 * (1 + s / a):.0f}' cy='{60 + 105 * (1 - e / b):.0f}' r='2'/>"
            for s, e in zip(w[::every], v[::every], strict=True)
        )
    top, low = (60 + 105 * (1 - s / b) for s in (a, -a))
    return (
        f"<svg viewBox='0 0 390 300' role='img' aria-label='{text}' "
        "style='width:100%;max-width:520px' font-size='13' fill='currentColor'>"
        f"<text x='6' y='17' font-size='14'>width {width}, epoch {epoch}</text>"
        f"<text x='6' y='36' font-size='12' fill-opacity='.75'>{text}</text>"
        "<path d='M30 60V270H360M30 165H360M195 60V270' stroke='#808080' stroke-opacity='.4' "
        "fill='none'/>"
        f"<path d='M30 {low:.0f}L360 {top:.0f}' stroke='{plot.COLORS['orange']}' "
        "stroke-dasharray='4 4'/>"
        f"<g fill='{plot.COLORS['blue']}' fill-opacity='.6'>{dots}</g>"
        f"<text x='26' y='64' text-anchor='end' font-size='11'>{b:.1f}</text>"
        "<text x='195' y='290' text-anchor='middle'>first value</text></svg>"
    )
