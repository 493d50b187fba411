"""How far weights travel from where they started, link by link.

Δ = w_final − w_initial of each link. Jesus et al. 2020 look at the distribution of w_final given
w_initial: where its peak lies, how wide it is, and to which side it leans.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

import numpy as np
import scipy
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from initlab.spec import spec

#: Percentiles of w_final that are reported for each bin of w_initial.
PERCENTILES = (2, 25, 50, 75, 98)
#: Side of the box over which |w| is averaged before a mark is looked for.
BOX = 9


def mode(x: ArrayLike) -> float:
    """The half-sample mode (Bickel & Frühwirth 2006): where the points lie most densely.

    Again and again the shortest interval that holds half of the points is kept.

    >>> mode([0.0, 1.0, 1.1, 1.15, 5.0, 9.0])
    1.125
    """
    x = np.sort(np.asarray(x, dtype=float))
    if not len(x):
        raise ValueError("nothing has no mode")
    while len(x) > 2:
        half = ceil(len(x) / 2)
        begin = int(np.argmin(x[half - 1 :] - x[: len(x) - half + 1]))
        x = x[begin : begin + half]
    return float(x.mean())


def conditional(start: ArrayLike, end: ArrayLike, bins: int = 50) -> dict[str, np.ndarray]:
    """The distribution of the final weight given the initial one, in bins of equal count.

    `start` and `end` are weights of the same links, of any shape. Each value is (bins,): `count`;
    `start`, the mean of w_initial; of Δ `mean`, `std` and `skew`; of w_final `mode` and `p2`,
    `p25`, `p50`, `p75`, `p98`.

    Raises `ValueError` for arrays of different shapes and for fewer than 10 links in a bin.
    """
    w, v = np.asarray(start, dtype=float), np.asarray(end, dtype=float)
    if w.shape != v.shape:
        raise ValueError(f"start and end are the same links, not {w.shape} and {v.shape}")
    if bins < 1 or w.size < 10 * bins:
        raise ValueError(f"{bins} bins need 10 links each, but there are {w.size} links")
    order = np.argsort(w, axis=None, kind="stable")
    found: dict[str, list[float]] = {}
    for chosen in np.array_split(order, bins):
        a, b = w.ravel()[chosen], v.ravel()[chosen]
        row = {"count": len(chosen), "start": a.mean(), **moments(b - a), "mode": mode(b - a)}
        row["mode"] += row["start"]
        row |= {f"p{q}": p for q, p in zip(PERCENTILES, np.percentile(b, PERCENTILES), strict=True)}
        for name, value in row.items():
            found.setdefault(name, []).append(float(value))
    return {name: np.array(values) for name, values in found.items()}


def moments(delta: ArrayLike) -> dict[str, float]:
    """Mean, standard deviation and skewness of Δ over links (skewness 0 if none has moved)."""
    d = np.asarray(delta, dtype=float).ravel()
    std = float(d.std())
    return {
        "mean": float(d.mean()),
        "std": std,
        "skew": float(scipy.stats.skew(d)) if std > 0 else 0.0,
    }


def correlation(start: ArrayLike, end: ArrayLike) -> float:
    """Pearson's correlation of the weights of the same links (not a number if one is constant)."""
    a, b = (np.asarray(v, dtype=float).ravel() for v in (start, end))
    a, b = a - a.mean(), b - b.mean()
    length = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / length) if length > 0 else float("nan")


def cosine(start: ArrayLike, end: ArrayLike) -> float:
    """Cosine of the angle between two sets of weights (not a number if one is zero)."""
    a, b = (np.asarray(v, dtype=float).ravel() for v in (start, end))
    length = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / length) if length > 0 else float("nan")


def travelled(start: ArrayLike, end: ArrayLike) -> dict[str, float]:
    """How far the same links, in any shape, have gone from their start.

    `delta_mean`, `delta_std` and `delta_skew` of Δ, `correlation` and `cosine` of start and end,
    and the relative distance `relative` = ‖Δ‖/‖θ₀‖ (not a number if the start is zero).
    """
    w, v = (np.asarray(x, dtype=float) for x in (start, end))
    length = float(np.linalg.norm(w))
    return {f"delta_{k}": value for k, value in moments(v - w).items()} | {
        "correlation": correlation(w, v),
        "cosine": cosine(w, v),
        "relative": float(np.linalg.norm(v - w)) / length if length else float("nan"),
    }


def spectrum(delta: ArrayLike) -> np.ndarray:
    """Singular values of Δ, largest first; a kernel is read as a matrix with a row per channel."""
    d = np.asarray(delta, dtype=float)
    return np.linalg.svd(d.reshape(len(d), -1), compute_uv=False)


def stable_rank(values: ArrayLike) -> float:
    """Σ s² / max s² of singular values s: 1 for a single direction, n for n equal ones."""
    s = np.square(np.asarray(values, dtype=float))
    return float(s.sum() / s.max()) if s.max() > 0 else 0.0


def recovery(weights: ArrayLike, mask: ArrayLike, box: int = BOX) -> float:
    """How well a mark can still be seen: the area under the ROC curve of its recovery.

    A mark is planted by setting the weights outside of `mask` to zero. It is looked for in the
    mean of |w| over boxes of `box` × `box` links: 1 if all of it can be told from the rest, 0.5 if
    nothing can.

    Raises `ValueError` for another shape, and for a mask of all or of nothing.
    """
    w, m = np.abs(np.asarray(weights, dtype=float)), np.asarray(mask, dtype=bool)
    if w.shape != m.shape or w.ndim != 2:
        raise ValueError(f"a mark lies on a matrix of its shape, not {m.shape} on {w.shape}")
    if m.all() or not m.any():
        raise ValueError("a mark needs links inside of it and outside")
    score = scipy.ndimage.uniform_filter(w, box, mode="nearest")
    inside = int(m.sum())
    ranks = scipy.stats.rankdata(score.ravel())[m.ravel()].sum()
    return float((ranks - inside * (inside + 1) / 2) / (inside * (m.size - inside)))


def counts(start: ArrayLike, end: ArrayLike, cells: int) -> tuple[np.ndarray, float, float]:
    """How many links lie in each cell of the plane of initial and final weight.

    (`cells`, `cells`) counts, the first axis w_initial, from −a to a and from −b to b; a and b, the
    largest sizes of an initial and of a final weight.
    """
    w, v = (np.asarray(x, dtype=float).ravel() for x in (start, end))
    a, b = (float(np.abs(x).max()) or 1.0 for x in (w, v))
    found, _, _ = np.histogram2d(w, v, bins=cells, range=((-a, a), (-b, b)))
    return found, a, b


def picture(weights: ArrayLike, side: int) -> np.ndarray:
    """A matrix as a small picture: the mean of |w| over `side` × `side` parts of it."""
    w = torch.from_numpy(np.abs(np.asarray(weights, dtype=float)))
    return F.adaptive_avg_pool2d(w[None, None], side)[0, 0].numpy()


@spec
class Displacement:
    """What a run reports of the way that its weights have gone.

    At step 0, at every step that is 1 + `resolution` times the one before, and at the end, for
    each weight matrix (`layers`, from 1; by default all, and all links together as layer −1):
    what `travelled` says; and of each matrix the `stable_rank` of Δ. With a `mark`, the `recovery`
    of it in layer 2, looked for in boxes of side `box`. With a `side`, a picture of that side of
    each matrix, as statistics such as `picture/03/11`.

    At the end also, of each matrix: the conditional distribution in `bins` bins, as statistics such
    as `mode/07`, if bins > 0; the `singular` largest singular values of Δ, as `singular/00` and so
    on; and if cells > 0 the counts of links in the plane of initial and final weight, as
    `cell/03/11` where there are any, and the ends of its axes, `reach_start` and `reach_end`.
    """

    resolution: float = 0.25
    layers: tuple[int, ...] = ()
    bins: int = 0
    mark: bool = False
    box: int = BOX
    side: int = 0
    cells: int = 0
    singular: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible resolutions and bins."""
        if not self.resolution > 0:
            raise ValueError(f"resolution must be > 0, not {self.resolution}")
        if self.bins < 0 or any(layer < 1 for layer in self.layers):
            raise ValueError(
                f"bins must be ≥ 0 and layers count from 1, not {self.bins} and {self.layers}"
            )
        if self.box < 1 or min(self.side, self.cells, self.singular) < 0:
            raise ValueError(
                "box must be ≥ 1, side, cells and singular ≥ 0, not "
                f"{self.box}, {self.side}, {self.cells} and {self.singular}"
            )

    def see(
        self, start: Mapping[str, Tensor], now: Mapping[str, Tensor], last: bool, network=None
    ) -> list[tuple[int, str, float]]:
        """(layer, statistic, value) of one network, from its parameters at the start and now."""
        rows: list[tuple[int, str, float]] = []
        pairs = [
            tuple(p[n].detach().to("cpu", torch.float64).numpy() for p in (start, now))
            for n, p in start.items()
            if p.dim() > 1
        ]
        for layer, (w, v) in enumerate(pairs, 1):
            if not self.layers or layer in self.layers:
                found = travelled(w, v) | self._matrix(layer, w, v, last)
                rows += [(layer, k, value) for k, value in found.items()]
        if not self.layers:
            w, v = (np.concatenate([a.ravel() for a in side]) for side in zip(*pairs, strict=True))
            rows += [(-1, k, value) for k, value in travelled(w, v).items()]
        return rows

    def _matrix(self, layer: int, w: np.ndarray, v: np.ndarray, last: bool) -> dict[str, float]:
        """What is asked of one matrix beyond the way that its links have gone."""
        found: dict[str, float] = {}
        if self.mark and layer == 2:
            found["recovery"] = recovery(v, w != 0, self.box)
        if not np.isfinite(v).all():
            return found | {"stable_rank": float("nan")}
        values = spectrum(v - w)
        found["stable_rank"] = stable_rank(values)
        if self.side:
            found |= _cells("picture", picture(v, self.side))
        if last:
            found |= {f"singular/{i:02d}": float(s) for i, s in enumerate(values[: self.singular])}
        if last and self.cells:
            n, found["reach_start"], found["reach_end"] = counts(w, v, self.cells)
            found |= {k: x for k, x in _cells("cell", n).items() if x}
        if last and self.bins:
            for k, many in conditional(w, v, self.bins).items():
                found |= {f"{k}/{i:02d}": float(x) for i, x in enumerate(many)}
        return found


def _cells(name: str, table: np.ndarray) -> dict[str, float]:
    return {f"{name}/{i:02d}/{j:02d}": float(x) for (i, j), x in np.ndenumerate(table)}
