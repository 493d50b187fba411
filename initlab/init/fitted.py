"""Schemes that look at how data pass each layer, and rescale the layer: one forward pass each."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from initlab.init.contract import Rule, Scheme
from initlab.init.fans import Fans
from initlab.init.functional import Call, FunctionalModule, Seen, check_batch, seeded
from initlab.init.plan import plan
from initlab.init.structured import Orthogonal
from initlab.init.variance_scaling import HeNormal
from initlab.spec import spec


@spec
class LayerByLayer(Scheme):
    """Base of the schemes that fix one layer after the other while a batch passes through.

    A layer is seen when all before it are done, so that one pass is enough. Layers are those
    that call a linear map or a convolution; attention's own product is not among them.
    """

    rule: Rule = HeNormal()

    needs_batch: ClassVar[bool] = True

    def plan(self, module):
        """See `Scheme.plan`: the rule for every weight."""
        return plan(module, self.rule)

    def fit(self, module, params, batch, generator) -> dict[str, Tensor]:
        """See `Scheme.fit`; raises `ValueError` for a layer whose outputs cannot be rescaled."""
        x, _ = check_batch(batch)
        network = FunctionalModule(module, params)
        new = {name: p.detach().clone() for name, p in params.items()}
        called = {name: p.detach().clone() for name, p in params.items()}

        def visit(call: Call) -> Tensor:
            out = self.adjust(call, new, generator)
            bias = new.get(call.bias, call.shift)
            return out if bias is None else out + _along(bias, out, call.axis)

        with torch.no_grad(), seeded(generator, network.device), Seen(called, visit):
            network(called, x)
        return new

    def adjust(self, call: Call, new: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        """Change the layer's values in `new`; its output with them, without the bias."""
        raise NotImplementedError


@spec
class LSUV(LayerByLayer):
    """Orthonormal weights, each layer then divided by the standard deviation of its outputs.

    Layer-sequential unit variance (Mishkin & Matas 2016). The outputs of a linear map are
    proportional to its weight, so that the paper's loop ends after one correction.
    """

    rule: Rule = Orthogonal()

    name: ClassVar[str] = "LSUV"
    source: ClassVar[str] = "mishkin_2016"
    formula: ClassVar[str] = r"W_l \leftarrow W_l / \sqrt{\operatorname{Var}[W_l x_{l-1}]}"
    preserves: ClassVar[str] = "unit variance of every layer's outputs, on the data"
    use: ClassVar[str] = "Deep networks without normalization, any activation, at one forward pass."

    def adjust(self, call, new, generator) -> Tensor:
        """Scale the whole layer to unit variance."""
        factor = 1 / _std(call, call.out.float().std(unbiased=False).unsqueeze(0))
        _rescale(call, new, factor)
        return call.out * factor


@spec
class DataDependent(LayerByLayer):
    """Every unit's outputs shifted and scaled to mean 0 and variance 1 on the batch.

    The within-layer step of Krähenbühl et al. 2016 (the paper's second step, which equalizes
    rates between layers, is not taken). A layer without a bias is only scaled.
    """

    name: ClassVar[str] = "Data-dependent"
    source: ClassVar[str] = "krahenbuhl_2016"
    formula: ClassVar[str] = (
        r"w_i \leftarrow w_i / \sigma_i, \quad b_i \leftarrow -\mu_i / \sigma_i"
    )
    preserves: ClassVar[str] = "mean 0 and variance 1 of every unit, on the data"
    use: ClassVar[str] = "Where units of one layer start at very unequal scales; fine-tuning too."

    def adjust(self, call, new, generator) -> Tensor:
        """Normalize each unit of the layer."""
        return _normalize(call, new)


@spec
class Whitening(LayerByLayer):
    """Every layer's outputs white on the batch: a random rotation of its inputs' main components.

    With the covariance C = U Λ Uᵀ of a layer's inputs (patches, for a convolution),
    W = R Λ^(−1/2) Uᵀ over the largest components, where R is uniform over the (semi-)orthogonal
    matrices (the PCA initialization of Krähenbühl et al. 2016, with that rotation). A layer with
    more units than components has unit variance on average. Biases take the mean away. At most
    `samples` inputs of a layer are looked at. Transposed convolutions, and weights that are made
    from others, keep the rule and are only normalized unit by unit.
    """

    samples: int = 4096

    name: ClassVar[str] = "Whitening"
    source: ClassVar[str] = "krahenbuhl_2016"
    formula: ClassVar[str] = (
        r"W = R \Lambda^{-1/2} U^\top, \quad \operatorname{Cov}[x] = U \Lambda U^\top"
    )
    preserves: ClassVar[str] = "identity covariance of every layer's outputs, on the data"
    use: ClassVar[str] = "Strongly correlated inputs such as raw pixels; small layers."

    def __post_init__(self) -> None:
        """Refuse too few samples for a covariance."""
        if not isinstance(self.samples, int) or self.samples < 2:
            raise ValueError(f"samples must be a whole number ≥ 2, not {self.samples!r}")

    def adjust(self, call, new, generator) -> Tensor:
        """Whiten the layer, group by group."""
        weight = new[call.weight]
        if call.transposed or ".parametrizations." in call.weight:
            return _normalize(call, new)
        patches = _patches(call, weight)  # (groups, samples, inputs · taps)
        groups, count, _ = patches.shape
        if count > self.samples:
            chosen = torch.randperm(count, generator=generator)[: self.samples]
            patches = patches[:, chosen.to(patches.device)]
        units = weight.shape[0] // groups
        rows, shifts = [], []
        for seen in patches.double():
            mean = seen.mean(0)
            _, lengths, basis = torch.linalg.svd(seen - mean, full_matrices=False)
            # A singular vector's sign is the library's choice, and not each library's the same.
            largest = basis.gather(1, basis.abs().argmax(1, keepdim=True))
            basis = basis * largest.sign()
            std = lengths / len(seen) ** 0.5
            kept = min(units, int((std > 1e-4 * std[0]).sum()))
            if not kept or not torch.isfinite(std[0]):
                raise ValueError(
                    f"{call.weight} sees the same input in every example of the batch (or one "
                    "that is not finite): there is nothing to whiten"
                )
            turn = Orthogonal()(Fans(kept, units), (units, kept), generator).to(seen)
            turn = turn * max(1.0, units / kept) ** 0.5
            whole = (turn / std[:kept]) @ basis[:kept]
            rows.append(whole)
            shifts.append(-whole @ mean)
        new[call.weight] = torch.cat(rows).reshape(weight.shape).to(weight.dtype)
        if call.bias:
            new[call.bias] = torch.cat(shifts).to(weight.dtype)
        return _repeat(call, new[call.weight])


def _along(values: Tensor, out: Tensor, axis: int) -> Tensor:
    """One value per unit (or one for all), shaped to meet the units' axis of `out`."""
    shape = [1] * out.dim()
    shape[axis] = -1
    return values.view(shape)


def _std(call: Call, std: Tensor) -> Tensor:
    """`std`, if there is something to divide by."""
    if not bool(torch.isfinite(std).all()) or not bool((std > 0).all()):
        raise ValueError(
            f"outputs of {call.weight} are all equal on this batch, or not finite: nothing scales "
            "them to variance 1; give another batch, or a rule that is neither zero nor too large"
        )
    return std


def _normalize(call: Call, new: dict[str, Tensor]) -> Tensor:
    """Mean 0 and variance 1 of each unit; the output, without the bias."""
    flat = call.out.float().movedim(call.axis, 0).flatten(1)
    factor = 1 / _std(call, flat.std(1, unbiased=False))
    _rescale(call, new, factor)
    if call.bias:
        new[call.bias] = -flat.mean(1) * factor
    return call.out * _along(factor, call.out, call.axis)


def _rescale(call: Call, new: dict[str, Tensor], factor: Tensor) -> None:
    """Multiply the units of a layer, (units,), or all of them, (1,), by `factor`."""
    name = call.weight
    if name.endswith("original1"):  # a direction: its length takes the factor
        name = name.removesuffix("1") + "0"
    weight = new[name]
    if call.transposed and len(factor) > 1:  # (inputs, units/groups, …): units along two axes
        groups = call.options["groups"]
        parts = weight.unflatten(0, (groups, -1))
        by_unit = factor.view(groups, 1, -1, *[1] * (weight.dim() - 2))
        new[name] = (parts * by_unit).flatten(0, 1)
    else:
        new[name] = weight * factor.view(-1, *[1] * (weight.dim() - 1))


def _patches(call: Call, weight: Tensor) -> Tensor:
    """What each group of units sees: (groups, positions, inputs · taps)."""
    if weight.dim() == 2:
        return call.x.flatten(0, -2).unsqueeze(0)
    x, sides, taps = call.x, weight.dim() - 2, weight.shape[2:]
    steps, gaps = _each(call.options["stride"], sides), _each(call.options["dilation"], sides)
    padding, groups = call.options["padding"], call.options["groups"]
    if padding == "same":
        spans = [g * (k - 1) for g, k in zip(gaps, taps, strict=True)]
        x = F.pad(x, [n for s in reversed(spans) for n in (s // 2, s - s // 2)])
    elif padding != "valid":
        x = F.pad(x, [n for p in reversed(_each(padding, sides)) for n in (p, p)])
    for axis, (tap, step, gap) in enumerate(zip(taps, steps, gaps, strict=True), 2):
        x = x.unfold(axis, gap * (tap - 1) + 1, step)[..., ::gap]
    # (B, channels, *positions, *taps) → (groups, B · positions, channels/groups · taps)
    x = x.unflatten(1, (groups, -1)).movedim(1, 0).movedim(2, 2 + sides)
    return x.flatten(1, 1 + sides).flatten(2)


def _each(value: int | tuple[int, ...], sides: int) -> tuple[int, ...]:
    return (value,) * sides if isinstance(value, int) else tuple(value)


def _repeat(call: Call, weight: Tensor) -> Tensor:
    """The layer's output with another weight, without its bias."""
    if weight.dim() == 2:
        return F.linear(call.x, weight)
    if weight.dim() == 3:
        return torch.conv1d(call.x, weight, **call.options)
    conv = torch.conv2d if weight.dim() == 4 else torch.conv3d
    return conv(call.x, weight, **call.options)
