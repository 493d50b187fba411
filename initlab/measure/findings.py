"""What a report says, in plain words: what stands in the way of training, the worst first."""

from __future__ import annotations

from math import isfinite, isnan
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from initlab.measure.report import Report

#: A signal, or a gradient, whose mean square changes by more than this from end to end is told of.
SPAN = 1e4
#: Shares of units from which on they are told of.
DEAD, SATURATED = 0.5, 0.9
#: An update is small or large relative to its weight outside of these.
SMALL, LARGE = 1e-5, 0.1
#: Attention on one key, or on all alike; tokens that are all one.
SHARP, ALIKE = 0.05, 0.95


def findings(report: Report) -> list[str]:
    """Sentences for somebody who trains networks; see `Report.findings`."""
    signal = _span(report, "forward")
    told = [
        *_not_finite(report),
        *signal,
        *_span(report, "backward"),
        *_loss(report, alone=not signal),
        *_units(report),
        *_without_gradient(report),
        *_attention(report),
        *_update(report),
    ]
    if told:
        return told
    return [
        "Nothing here stops training: all numbers are finite, signal and gradient pass every layer "
        f"with a mean square within a factor of {SPAN:,.0f}, and the loss is {report.loss:.3g}"
        + ("." if isnan(report.guessing) else f", where guessing costs {report.guessing:.3g}.")
    ]


def _where(layer: int, path: str, kind: str) -> str:
    if not layer:
        return "the input"
    return f'layer {layer} ({kind} in "{path}")' if path else f"layer {layer} ({kind})"


def _not_finite(report: Report) -> list[str]:
    bad = report.parameters[~report.parameters.weight.map(isfinite)]
    if len(bad):
        names = ", ".join(bad.parameter.head(3))
        return [
            f"The weights themselves are not finite: {names}. Build the network anew, or load an "
            "earlier state of it."
        ]
    if report.first is None:
        if isfinite(report.loss):
            return []
        return [f"All layers are finite, but the loss is {report.loss}: look at the targets."]
    way, layer, path, kind = report.first
    if way == "backward":
        return [
            f"First non-finite value: {_where(layer, path, kind)}, in the backward pass. The loss "
            f"is {report.loss:.3g}, but its gradient overflows on the way down from there."
        ]
    if layer == 0:
        return [
            "First non-finite value: the input. It holds NaN or infinity before any layer: look "
            "for missing values and divisions by zero in the data."
        ]
    before = report.layers[(report.layers.statistic == "forward") & (report.layers.layer < layer)]
    last = before.value.iloc[-1] if len(before) else float("nan")
    grows = before.value.iloc[0] * SPAN < last if len(before) else False
    why = (
        f" The mean square grows from {before.value.iloc[0]:.3g} to {last:.3g} before it: the "
        "weights are too large for this depth. Start with he_normal, normalize the layers, or use "
        "a residual scheme."
        if grows
        else " What enters it is finite: look at this layer's own computation and weights."
    )
    return [f"First non-finite value: {_where(layer, path, kind)}, in the forward pass.{why}"]


def _span(report: Report, way: str) -> list[str]:
    """How a mean square changes from the first layer to the last."""
    rows = report.layers[(report.layers.statistic == way) & (report.layers.layer > 0)]
    rows = rows[rows.value.map(isfinite)].sort_values("layer", kind="stable")
    if report.first is not None or len(rows) < 2:
        return []
    rows = rows if way == "forward" else rows.iloc[::-1]
    start, end = rows.value.iloc[0], rows.value.iloc[-1]
    if rows.value.eq(0).any():
        zero = rows[rows.value == 0].iloc[0]
        what = "signal" if way == "forward" else "gradient"
        return [
            f"The {what} is exactly zero at {_where(zero.layer, zero.path, zero.kind)}: nothing "
            "gets past it."
        ]
    ratio = end / start
    if 1 / SPAN < ratio < SPAN:
        return []
    factor = ratio ** (1 / (len(rows) - 1))
    verb = "grows" if ratio > 1 else "shrinks"
    what, along = (
        ("signal", "from the first layer to the last")
        if way == "forward"
        else ("gradient", "from the last layer down to the first")
    )
    cure = "smaller" if ratio > 1 else "larger"
    return [
        f"The {what}'s mean square {verb} {along}, from {start:.2g} to {end:.2g}, a factor of "
        f"{factor:.2g} a layer. With {cure} weights it would stay level (for ReLU those of "
        "he_normal), as with normalization between the layers."
    ]


def _loss(report: Report, alone: bool) -> list[str]:
    """Whether the outputs are too large: `alone`, without a signal that grows towards them."""
    if isnan(report.guessing) or not isfinite(report.loss) or report.loss < 2 * report.guessing + 1:
        return []
    return [
        f"The loss is {report.loss:.3g} where guessing costs {report.guessing:.3g}: the outputs "
        "are too large, and the first steps will only make them smaller."
        + (" Start the last layer smaller." if alone else "")
    ]


def _units(report: Report) -> list[str]:
    told = []
    for statistic, bound, sentence, cure in (
        (
            "dead",
            DEAD,
            "pass no gradient on any example of this batch and cannot learn from it",
            "Their inputs lie on its flat side: start with zero biases and a smaller rate, or take "
            "leaky_relu.",
        ),
        (
            "saturated",
            SATURATED,
            "are saturated, where their activation is nearly flat",
            "Their inputs are too large: start with smaller weights, or scale the inputs.",
        ),
    ):
        rows = report.layers[
            (report.layers.statistic == statistic) & (report.layers.value >= bound)
        ]
        if statistic == "saturated":
            dead = report.layers[report.layers.statistic == "dead"].set_index("layer").value
            rows = rows[rows.value - rows.layer.map(dead).fillna(0) >= bound]
        if len(rows):
            worst: pd.Series = rows.loc[rows.value.idxmax()]
            more = f", and most of those of {len(rows) - 1} more," if len(rows) > 1 else ""
            told.append(
                f"{100 * worst.value:.0f} % of the units of "
                f"{_where(worst.layer, worst.path, worst.kind)}{more} {sentence}. {cure}"
            )
    return told


def _without_gradient(report: Report) -> list[str]:
    if report.first is not None:
        return []
    rows = report.parameters[report.parameters.gradient == 0]
    if not len(rows):
        return []
    names = ", ".join(rows.parameter.head(3)) + (
        f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    )
    return [f"The gradient of {names} is exactly zero on this batch: they do not move."]


def _attention(report: Report) -> list[str]:
    told = []
    entropy = report.layers[report.layers.statistic == "entropy"]
    if len(entropy) and (entropy.value < SHARP).any():
        row = entropy[entropy.value < SHARP].iloc[0]
        told.append(
            f"Attention after layer {row.layer} rests on one key almost alone (entropy "
            f"{row.value:.2g} of what equal weights have): queries and keys are too large."
        )
    alike = report.layers[report.layers.statistic == "similarity"]
    if len(alike) and alike.value.iloc[-1] > ALIKE and alike.value.iloc[0] < ALIKE:
        row = alike[alike.value > ALIKE].iloc[0]
        told.append(
            f"From {_where(row.layer, row.path, row.kind)} on all tokens of an example are nearly "
            f"one (mean cosine {row.value:.2f}): their rank has collapsed."
        )
    return told


def _update(report: Report) -> list[str]:
    rows = report.parameters[report.parameters["update"].map(isfinite)]
    rows = rows[(rows.numbers > 1) & (rows.weight > 0)]
    told = []
    for chosen, what, cure in (
        (rows[rows["update"] > LARGE], "more than a tenth", "smaller"),
        (rows[(rows["update"] < SMALL) & (rows.gradient > 0)], "less than 1e-5", "larger"),
    ):
        if len(chosen) > len(rows) / 2:
            told.append(
                f"The first step changes {len(chosen)} of {len(rows)} tensors by {what} of their "
                f"norm: the learning rate should be {cure}."
            )
    return told
