"""Why does it not train? One forward and one backward pass, and what they say in plain words."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import inf, isfinite, log, nan
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from initlab.init import Rule, Scheme
from initlab.init.functional import (
    FunctionalModule,
    batch_loss,
    check_batch,
    seeded,
    unwrapped,
)
from initlab.measure.findings import findings
from initlab.measure.layer_hooks import Seen, watching
from initlab.measure.layers import SATURATED, leaf
from initlab.tree import apply, leaves

#: What can be looked at.
PARTS = ("units", "attention", "update")
LAYERS = ("layer", "path", "kind", "statistic", "value")
PARAMETERS = ("parameter", "numbers", "weight", "gradient", "update")
SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax)
#: Examples on which units, and the angles between tokens, are looked at.
EXAMPLES, TOKENS = 64, 8

#: A mean over examples of (outputs, targets).
LossFunction = Callable[[Tensor, Tensor], Tensor]
#: A `torch.optim` optimizer, or what makes one of a list of parameters.
AnyOptimizer = torch.optim.Optimizer | Callable[[list[Tensor]], torch.optim.Optimizer]


@dataclass(frozen=True, eq=False)
class Report:
    """What one step of training looks like from inside.

    `loss` is that of the batch, and `guessing` that of equal probabilities for all classes,
    ln(classes); NaN where targets are no classes.

    `layers` is a tidy frame with `layer` (in the order of calls; 0 is the input), `path`, `kind`,
    `statistic` and `value`: `forward` and `backward`, the mean squares of outputs and of the
    gradient with respect to them of the sum of the losses; `dead` and `saturated` shares of units
    of activations; `entropy` of attention over that of equal weights; `similarity`, the mean cosine
    between two tokens of an example.

    `parameters` has one row for each: `parameter`, `numbers`, root mean squares of `weight` and
    `gradient`, and `update`, the norm of an optimizer's first step over the weight's.

    `first` is the first value that is not finite: (pass, layer, path, kind), or None. `left_out`
    says why a part could not be had, by part.
    """

    loss: float
    guessing: float
    layers: pd.DataFrame
    parameters: pd.DataFrame
    first: tuple[str, int, str, str] | None
    left_out: dict[str, str]

    @property
    def findings(self) -> list[str]:
        """What stands in the way of training, the worst first; one sentence where nothing does."""
        return findings(self)

    def __str__(self) -> str:
        """The three that matter most, and what could not be had."""
        told = self.findings[:3]
        told += [f"{name} could not be had: {why}" for name, why in self.left_out.items()]
        return "\n".join(told)

    def _repr_html_(self) -> str:
        told = "".join(f"<p>{sentence}</p>" for sentence in str(self).splitlines())
        return told + self.parameters.to_html(index=False, float_format="{:.3g}".format)


def diagnose(
    module: nn.Module,
    batch: tuple[Any, Tensor],
    *,
    loss: LossFunction | None = None,
    optimizer: AnyOptimizer | None = None,
    parts: Collection[str] = PARTS,
    seed: int = 0,
) -> Report:
    """Look at a network as it is, on one batch: why does it not train?

    One forward and one backward pass. The module is only read: no parameter, buffer, gradient, hook
    or flag of it is changed, nor the global random state. It computes in its own mode (training or
    evaluation) and type of number. `inspect` draws new starts by a rule, and looks at curvature.

    Args:
        module: Any module; compiled and parallel ones are looked into.
        batch: Inputs (a tensor, a tuple or a mapping of tensors) and targets.
        loss: A mean over examples of (outputs, targets); by default cross-entropy for classes, also
            at every place of a text or an image, else the squared error.
        optimizer: For the size of its first step: one of `torch.optim` with these parameters, or
            what makes one of a list of parameters, such as `torch.optim.AdamW`.
        parts: Some of "units", "attention" and "update"; layers and gradients are always there.
        seed: Of dropout.

    Returns:
        The report; `print` tells what matters most.

    Raises:
        TypeError: For what is no module.
        ValueError: For what is no batch, an unknown part, and targets that the loss does not take.

    >>> net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> report = diagnose(net, (torch.ones(4, 8), torch.tensor([0, 1, 1, 0])))
    >>> round(report.guessing, 3)
    0.693
    """
    if isinstance(batch, Rule | Scheme) or batch is None:
        raise TypeError("diagnose takes a module and a batch; inspect(module, rule, batch) draws")
    if not isinstance(module, nn.Module):
        raise TypeError(f"diagnose takes a torch module, not {module!r}")
    x, y = check_batch(batch)
    if unknown := sorted(set(parts) - set(PARTS)):
        raise ValueError(f"unknown part {', '.join(unknown)}; known: {', '.join(PARTS)}")
    module = unwrapped(module)
    own = {n: p.detach().clone() for n, p in module.named_parameters()}
    for name, p in module.named_parameters():
        own[name].requires_grad_(p.requires_grad)
    look = _Look(len(y), parts)
    network = FunctionalModule(module, own)
    generator = torch.Generator().manual_seed(seed)
    start = apply(leaf, x)
    learned = {n: p for n, p in own.items() if p.requires_grad}
    with torch.enable_grad(), seeded(generator, network.device):
        for t in leaves(start):
            if t.requires_grad:
                look.tensor(0, "", "input", t)
        with watching(module, look.visit), _Attention(look):
            outputs = network(own, start)
        value = (loss or batch_loss)(outputs, y)
        look.output(outputs)
        gradients: dict[str, Tensor | None] = dict.fromkeys(learned)
        if value.requires_grad:
            inputs = [t for t in leaves(start) if t.requires_grad]
            wanted = [*learned.values(), *inputs]
            found = torch.autograd.grad(value, wanted, allow_unused=True)
            gradients = dict(zip(learned, found, strict=False))
    updates = _updates(module, own, gradients, optimizer, look) if "update" in parts else {}
    return Report(
        float(value.detach()),
        _guessing(outputs, y, loss),
        look.frame(),
        _parameters(own, gradients, updates),
        look.first,
        look.left_out,
    )


def mean_square(t: Tensor) -> float:
    """In float32 as long as that holds it."""
    t = t.detach()
    if t.numel() == 0:
        return nan
    found = float(torch.linalg.vector_norm(t.float())) ** 2 / t.numel()
    if isfinite(found) and found > 1e-30:
        return found
    return float(torch.linalg.vector_norm(t.double())) ** 2 / t.numel()


class _Look:
    """What is seen on the way."""

    def __init__(self, examples: int, parts: Collection[str]) -> None:
        self.examples, self.parts = examples, parts
        self.rows: list[tuple[int, str, str, str, float]] = []
        self.first: tuple[str, int, str, str] | None = None
        self.left_out: dict[str, str] = {}
        self.layer = 0

    def visit(self, seen: Seen) -> None:
        self.layer = seen.layer
        self.tensor(seen.layer, seen.path, seen.kind, seen.out)
        if "units" in self.parts and seen.slope is not None:
            self._units(seen)

    def tensor(self, layer: int, path: str, kind: str, out: Tensor) -> None:
        value = mean_square(out)
        self.rows.append((layer, path, kind, "forward", value))
        self._note("forward", layer, path, kind, value)
        several = out.dim() == 3 and len(out) == self.examples and out.shape[1] > 1
        if several and "attention" in self.parts and kind not in ("activation", "input"):
            self.rows.append((layer, path, kind, "similarity", _similarity(out)))
        if out.requires_grad:

            def hook(g: Tensor) -> None:
                # The loss is a mean: an example's share is its own gradient times their number.
                value = mean_square(g) * self.examples**2
                self.rows.append((layer, path, kind, "backward", value))
                self._note("backward", layer, path, kind, value)

            out.register_hook(hook)

    def output(self, out: Tensor) -> None:
        """The output itself, where the last layer is none that is shown."""
        self._note("forward", self.layer + 1, "", "output", mean_square(out))

    def _note(self, way: str, layer: int, path: str, kind: str, value: float) -> None:
        if self.first is None and not isfinite(value):
            self.first = (way, layer, path, kind)

    def _units(self, seen: Seen) -> None:
        try:
            assert seen.slope is not None
            few = EXAMPLES if len(seen.out) == self.examples else None
            slope = seen.slope(few=few).abs().float().movedim(seen.axis, 0).flatten(1)
        except RuntimeError as error:
            self.left_out["units"] = str(error).splitlines()[0]
            return
        mean = slope.mean(1)
        where = (seen.layer, seen.path, seen.kind)
        self.rows.append((*where, "dead", float((mean == 0).float().mean())))
        small = mean < SATURATED * seen.steepest
        self.rows.append((*where, "saturated", float(small.float().mean())))

    def attention(self, weights: Tensor, keys: Tensor) -> None:
        """Entropies of attention (…, queries, keys) over those of equal weights on `keys`."""
        several = keys > 1
        if not bool(several.any()):
            return
        entropy = -(weights * weights.clamp_min(1e-30).log()).sum(-1)
        share = entropy / keys.clamp_min(2).log()
        value = float(share[several.expand_as(share)].mean())
        self.rows.append((self.layer, "", "attention", "entropy", value))

    def frame(self) -> pd.DataFrame:
        rows = sorted(self.rows, key=lambda row: row[0])
        return pd.DataFrame(rows, columns=list(LAYERS))


def _similarity(out: Tensor) -> float:
    """Mean cosine between two tokens of an example."""
    some = F.normalize(out.detach()[:TOKENS].float(), dim=-1)
    n = some.shape[1]
    total = some.sum(1).square().sum(-1)  # the sum of all cosines, with those of a token itself
    return float(((total - n) / (n * (n - 1))).mean())


class _Attention(TorchFunctionMode):
    """Sees the weights of attention, computed as they are or by torch's own function."""

    def __init__(self, look: _Look) -> None:
        super().__init__()
        self.look = look

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """See `torch.overrides.TorchFunctionMode`."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if "attention" not in self.look.parts:
            return out
        with torch.no_grad(), torch._C.DisableTorchFunction():
            if func is F.scaled_dot_product_attention:
                self._product(*args, **kwargs)
            elif func is F.multi_head_attention_forward:
                self._whole(*args, **kwargs)
            elif func in SOFTMAX and out.dim() == 4 and out.shape[-1] > 1:
                scores = args[0].detach()[:TOKENS]
                seen = scores > torch.finfo(scores.dtype).min / 2  # what is masked is not
                self.look.attention(out.detach()[:TOKENS].float(), seen.sum(-1))
        return out

    def _whole(self, query, key, value, *args, **kwargs) -> None:
        """The weights of `nn.MultiheadAttention`, which keeps its product to itself."""
        mask = kwargs.get("attn_mask")
        if mask is not None and mask.dim() == 3:
            return
        padding = kwargs.get("key_padding_mask")
        asked = {"need_weights": True, "average_attn_weights": False, "training": False}
        if padding is not None:
            asked["key_padding_mask"] = padding[:TOKENS]
        few = (t[:, :TOKENS].detach() for t in (query, key, value))
        _, weights = F.multi_head_attention_forward(*few, *args, **kwargs | asked)
        assert weights is not None
        self.look.attention(weights.float(), (weights > 0).sum(-1))

    def _product(
        self, query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, **_
    ) -> None:
        q, k = query[:TOKENS].float(), key[:TOKENS].float()
        if q.dim() != 4 or q.shape[1] % k.shape[1]:
            return
        k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
        scores = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
        if is_causal:
            allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
            scores = scores.masked_fill(~allowed, -inf)
        if attn_mask is not None:
            mask = attn_mask[:TOKENS] if attn_mask.dim() == 4 else attn_mask
            masked = scores.masked_fill(~mask, -inf) if mask.dtype == torch.bool else scores + mask
            scores = masked.float()
        self.look.attention(scores.softmax(-1), torch.isfinite(scores).sum(-1))


def _updates(
    module: nn.Module,
    own: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor | None],
    optimizer: AnyOptimizer | None,
    look: _Look,
) -> dict[str, float]:
    """The norm of an optimizer's first step over the norm of the weight, by name."""
    if optimizer is None:
        return {}
    leaves_ = {name: own[name].detach().clone() for name, g in gradients.items() if g is not None}
    for name, p in leaves_.items():
        p.grad = gradients[name]
    try:
        if isinstance(optimizer, torch.optim.Optimizer):
            memo: dict[int, Any] = {
                id(p): leaves_.get(name, own[name]) for name, p in module.named_parameters()
            }
            descent = copy.deepcopy(optimizer, memo)
        else:
            descent = optimizer(list(leaves_.values()))
        with torch.no_grad():
            descent.step()
    except (RuntimeError, TypeError, ValueError) as error:
        look.left_out["update"] = str(error).splitlines()[0]
        return {}
    found = {}
    for name, p in leaves_.items():
        size = float(torch.linalg.vector_norm(own[name].detach().float()))
        moved = float(torch.linalg.vector_norm((p - own[name].detach()).float()))
        found[name] = moved / size if size else (inf if moved else 0.0)
    return found


def _parameters(
    own: Mapping[str, Tensor],
    gradients: Mapping[str, Tensor | None],
    updates: Mapping[str, float],
) -> pd.DataFrame:
    rows = []
    for name, p in own.items():
        g = gradients.get(name)
        size = nan if g is None else mean_square(g) ** 0.5
        rows.append((name, p.numel(), mean_square(p) ** 0.5, size, updates.get(name, nan)))
    return pd.DataFrame(rows, columns=list(PARAMETERS))


def _guessing(outputs: Tensor, y: Tensor, loss: LossFunction | None) -> float:
    """ln(classes), where the loss is the default cross-entropy."""
    if loss is not None or y.is_floating_point() or y.is_complex():
        return nan
    if outputs.shape == y.shape or outputs.shape[-1] == 1:
        return log(2)
    places = outputs.shape[:-1] == y.shape
    return log(outputs.shape[-1] if places else outputs.shape[1])
