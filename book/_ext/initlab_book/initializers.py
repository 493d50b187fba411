"""`{initializers}`: an entry for every rule or scheme of the package, drawn by the package itself.

Formula, purpose and source stand on the rules; the pictures are measured while the page is built,
on small networks at a fixed seed.
"""

from __future__ import annotations

import dataclasses
import html
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from torch import Tensor, nn
from torch.func import functional_call

import initlab
from initlab.init import (
    GPT2,
    RULES,
    SCHEMES,
    DeepNorm,
    Rule,
    Scheme,
    TFixup,
    initialize,
)
from initlab.measure.jacobian import jacobian, singular_values
from initlab.measure.propagation import forward_backward
from initlab.models import MLP, Model, ResidualMLP, ResNet18
from initlab.plot import COLORS

REGISTRIES = {"rules": RULES, "schemes": SCHEMES}
#: Networks to draw, in the order in which they are tried: not every scheme is for every network.
NETWORKS: dict[str, Model] = {
    "a fully connected ReLU network of 8 layers": MLP.constant(8, 32, inputs=32, outputs=32),
    "a residual network of 8 modules": ResidualMLP(8, 32, matrices=2, inputs=32, outputs=32),
    "a residual network of 8 modules with trained factors": ResidualMLP(
        8, 32, matrices=2, inputs=32, outputs=32, multiplier=True
    ),
    "a small ResNet-18 with batch normalization": ResNet18(width=4, input_shape=(3, 8, 8)),
}
#: What is fitted in many steps is fitted in this many for its picture.
STEPS = 20
#: Powers of ten between which lengths are drawn; what is beyond stands on the edge.
DECADES = (-4, 4)
SIZE = (230, 130)
MARGIN = (40, 8, 10, 22)  # left, right, top, bottom


class Block(nn.Module):
    """Attention and a feed-forward network, each added to a shortcut that is times `alpha`."""

    def __init__(self, width: int, heads: int, norm: str, alpha: float) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.norm, self.alpha = norm, alpha
        if norm != "none":
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, h: Tensor) -> Tensor:
        def attention(h: Tensor) -> Tensor:
            return self.self_attn(h, h, h, need_weights=False)[0]

        def both(h: Tensor) -> Tensor:
            return self.linear2(torch.relu(self.linear1(h)))

        for branch, norm in ((attention, "norm1"), (both, "norm2")):
            if self.norm == "before":
                h = self.alpha * h + branch(getattr(self, norm)(h))
            else:
                h = self.alpha * h + branch(h)
                h = getattr(self, norm)(h) if self.norm == "after" else h
        return h


@dataclass(frozen=True)
class Transformer:
    """Blocks of a transformer on sequences of vectors, normalized "before", "after" or "none"."""

    norm: str
    alpha: float = 1.0
    depth: int = 8
    input_shape: tuple[int, ...] = (4, 16)

    def build(self, device: str) -> nn.Module:
        """See `initlab.models.Model`."""
        with torch.device(device):
            return nn.Sequential(
                *(Block(self.input_shape[1], 4, self.norm, self.alpha) for _ in range(self.depth))
            )

    def forward(self, params: dict[str, Tensor], x: Tensor, tap: Callable) -> Tensor:
        """One network's outputs, (1, B, T, width); the tap sees them after each block."""
        h = x[0]
        tap(x)
        for i, block in enumerate(self.build("meta")):
            own = {n[2:]: t[0] for n, t in params.items() if n.startswith(f"{i}.")}
            out = functional_call(block, own, (h,)).unsqueeze(0)
            tap(out)
            h = out[0]
        return out


#: What schemes for transformers are drawn on.
TRANSFORMERS: dict[type, dict[str, Transformer]] = {
    GPT2: {"a transformer of 8 blocks, normalized before each branch": Transformer("before")},
    TFixup: {"a transformer of 8 blocks without normalization": Transformer("none")},
    DeepNorm: {
        "a transformer of 8 blocks, normalized after each sum, the shortcut times 2": Transformer(
            "after", alpha=(2 * 8) ** 0.25
        )
    },
}


class Picture(NamedTuple):
    """What is drawn of one initializer."""

    network: str
    fitted: str
    lengths: dict[str, np.ndarray]
    weights: np.ndarray
    singular: np.ndarray


def picture(start: Rule | Scheme) -> Picture:
    """Measure the first network of `NETWORKS` that the initializer is for."""
    fitted = ""
    if getattr(start, "steps", 0) > STEPS:
        start = dataclasses.replace(start, steps=STEPS)  # type: ignore[arg-type]
        fitted = f", after {STEPS} steps of fitting"
    for said, model in TRANSFORMERS.get(type(start), NETWORKS).items():
        generator = torch.Generator().manual_seed(0)
        x = torch.empty(64, *model.input_shape).normal_(generator=generator)
        shape = (int(model.outputs or 1),) if hasattr(model, "outputs") else model.input_shape
        batch = x, torch.arange(64) % shape[-1]
        module = model.build("meta")
        try:
            params = initialize(module, start, generator, batch=batch)
        except ValueError:  # not for such a network
            continue
        names = [name for name, _ in module.named_parameters()]
        stacked = {name: params[name].unsqueeze(0) for name in names if name in params}
        v = torch.empty(1, 64, *shape).normal_(generator=generator)
        forward, backward = forward_backward(model, stacked, x, v)
        lengths = {"forward": forward[0].numpy(), "backward": backward[0].numpy()}
        matrices = [p for p in params.values() if p.dim() > 1]
        return Picture(
            said,
            fitted,
            lengths,
            _numbers(matrices[len(matrices) // 2]),
            singular_values(jacobian(module, params, x, examples=1))[0].numpy(),
        )
    raise ValueError(f"{start.label} is for none of {', '.join(NETWORKS)}")


def _numbers(t: Tensor) -> np.ndarray:
    return t.flatten().double().numpy()


def _frame(title: str, marks: str, ticks: Sequence[tuple[float, str]], below: str) -> str:
    """A small chart; ticks of the vertical axis are (place in pixels, label)."""
    (width, height), (left, right, _, _) = SIZE, MARGIN
    grid = "".join(
        f"<path d='M{left} {y:.1f}H{width - right}' stroke='#808080' stroke-opacity='.3'/>"
        f"<text x='{left - 4}' y='{y + 4:.1f}' text-anchor='end'>{label}</text>"
        for y, label in ticks
    )
    return (
        f"<svg viewBox='0 0 {width} {height}' role='img' aria-label='{html.escape(title)}' "
        "font-size='11' fill='currentColor'>"
        f"{grid}{marks}<text x='{(left + width - right) / 2}' y='{height - 6}' "
        f"text-anchor='middle'>{html.escape(below)}</text></svg>"
    )


def _place(x: np.ndarray, y: np.ndarray) -> str:
    """Points of shares 0 … 1 of the chart, as SVG has them."""
    (width, height), (left, right, top, bottom) = SIZE, MARGIN
    px = left + x * (width - left - right)
    py = height - bottom - np.clip(y, 0, 1) * (height - top - bottom)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(px, py, strict=True))


def _height(share: float) -> float:
    return float(_place(np.zeros(1), np.array([share])).split(",")[1])


def signal_chart(lengths: dict[str, np.ndarray]) -> str:
    """Mean squares by layer or block, on a logarithmic axis."""
    low, high = DECADES
    marks = ""
    for name, color in (("forward", "blue"), ("backward", "orange")):
        with np.errstate(divide="ignore"):
            share = (np.log10(lengths[name]) - low) / (high - low)
        at = np.linspace(0, 1, len(share))
        marks += (
            f"<polyline points='{_place(at, share)}' fill='none' stroke='{COLORS[color]}' "
            "stroke-width='2'/>"
        )
    ticks = [
        (_height((e - low) / (high - low)), f"10<tspan dy='-4' font-size='8'>{said}</tspan>")
        for e, said in ((low, f"−{-low}"), (0, "0"), (high, str(high)))
    ]
    return _frame("mean square of activations and gradients by layer", marks, ticks, "layer")


def histogram(weights: np.ndarray) -> str:
    """The weights of one layer."""
    spread = float(np.abs(weights).max()) or 1.0
    counts, edges = np.histogram(weights, bins=31, range=(-spread, spread))
    x, y = (edges + spread) / (2 * spread), counts / counts.max()
    points = _place(np.repeat(x, 2), np.concatenate([[0], np.repeat(y, 2), [0]]))
    marks = f"<polygon points='{points}' fill='{COLORS['teal']}' fill-opacity='.75'/>"
    return _frame("histogram of weights", marks, [], f"weights, within ±{spread:.2g}")


def spectrum(values: np.ndarray) -> str:
    """Singular values, largest first, with a line at 1."""
    top = max(1.0, float(values.max())) * 1.05
    points = _place(np.linspace(0, 1, len(values)), values / top)
    marks = (
        f"<path d='M{MARGIN[0]} {_height(1 / top):.1f}H{SIZE[0] - MARGIN[1]}' "
        "stroke='currentColor' stroke-dasharray='3 3'/>"
        f"<polyline points='{points}' fill='none' stroke='{COLORS['purple']}' stroke-width='2'/>"
    )
    largest = top / 1.05
    ticks = [(_height(0), "0"), (_height(1), f"{largest:.{0 if largest >= 10 else 1}f}")]
    return _frame("singular values of the Jacobian", marks, ticks, "singular values")


def figure(name: str, label: str, drawn: Picture) -> str:
    """The charts of one initializer, and what they show."""
    charts = [signal_chart(drawn.lengths), histogram(drawn.weights), spectrum(drawn.singular)]
    panels = "".join(f"<div class='chart'>{chart}</div>" for chart in charts)
    said = f"{label}: {drawn.network}{drawn.fitted}."
    return (
        f"<figure class='initlab start' id='start-{name}' role='figure' "
        f"aria-label='{html.escape(said)}'><div class='charts'>{panels}</div>"
        f"<figcaption>In {html.escape(drawn.network + drawn.fitted)}.</figcaption></figure>"
    )


def code_link(options: dict, start: Rule | Scheme) -> str:
    """Address of the class in the repository."""
    file = Path(inspect.getsourcefile(type(start)) or "")
    inside = file.relative_to(Path(initlab.__file__).parents[1]).as_posix()
    line = inspect.getsourcelines(type(start))[1]
    branch = options.get("repository_branch", "main")
    return f"{options['repository_url']}/blob/{branch}/{inside}#L{line}"


def entry(name: str, start: Rule | Scheme, options: dict) -> list[str]:
    """Markdown of one initializer."""
    kind = type(start).__name__
    lines = [f"### {start.label}", ""]
    if start.formula:
        lines += ["$$", start.formula, "$$", ""]
    said = [f"*When:* {start.use}"] if start.use else []
    if start.preserves:
        said.append(f"It preserves {start.preserves}.")
    if getattr(start, "needs_batch", False):
        said.append("It looks at a batch of data.")
    if start.source:
        said.append(f"Source: {{cite:t}}`{start.source}`.")
    if start.note:
        said.append(start.note)
    said.append(
        f'In the package: {{py:class}}`~initlab.init.{kind}`, by name `"{name}"` '
        f"([code]({code_link(options, start)}))."
    )
    lines += [" ".join(said), "", "```{raw} html"]
    return [*lines, figure(name, start.label, picture(start)), "```", ""]


@contextmanager
def _on_one_thread() -> Iterator[None]:
    """Networks so small are done ten times sooner without threads that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


#: Columns of the table that one can choose by, and what they are called.
FILTERS = {"kind": "what it is", "layers": "for", "cost": "costs"}


def cost(start: Rule | Scheme) -> str:
    """What it takes beside drawing."""
    if not getattr(start, "needs_batch", False):
        return "drawing"
    steps = getattr(start, "steps", 0)
    return f"{steps} training steps" if steps else "one forward pass"


def row(name: str, start: Rule | Scheme) -> dict[str, str]:
    """What the table says of an initializer."""
    return {
        "name": name,
        "label": start.label,
        "kind": "scheme" if isinstance(start, Scheme) else "rule",
        "layers": start.layers,
        "preserves": start.preserves,
        "cost": cost(start),
        "source": start.source,
    }


def table() -> str:
    """All rules and schemes side by side, with choices that a script puts to work."""
    rows = [row(name, start) for name, start in (RULES | SCHEMES).items()]
    fields = ""
    for field, label in FILTERS.items():
        values = dict.fromkeys(r[field] for r in rows)
        options = "".join(f"<option>{html.escape(v)}</option>" for v in values)
        fields += (
            f"<label>{label} <select name='{field}'><option value=''>all</option>{options}"
            "</select></label>"
        )
    body = ""
    for r in rows:
        said = {key: html.escape(value, quote=True) for key, value in r.items()}
        data = " ".join(f"data-{field}='{said[field]}'" for field in FILTERS)
        cells = "".join(f"<td>{said[key]}</td>" for key in ("preserves", "layers", "cost"))
        body += (
            f"<tr {data}><th scope='row'><a href='#start-{r['name']}'>{said['label']}</a><br>"
            f"<code>{said['name']}</code></th>{cells}<td><a href='bibliography.html'>"
            f"{said['source'].replace('_', ' ')}</a></td></tr>"
        )
    return (
        "<div><form class='table-filter' data-table='starts' data-things='initializers' hidden>"
        f"{fields}<output>{len(rows)} initializers</output></form>"
        "<div class='claims-scroll'><table class='starts'><caption>All rules and schemes; each "
        "leads to its formula and its picture.</caption><thead><tr><th scope='col'>initializer</th>"
        "<th scope='col'>it preserves</th><th scope='col'>for</th><th scope='col'>costs</th>"
        f"<th scope='col'>source</th></tr></thead><tbody>{body}</tbody></table></div>"
        "<script type='module' src='../_static/table-filter.js'></script></div>"
    )


class Initializers(SphinxDirective):
    """All rules, or all schemes, a section each; or a table of all of them."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Give the sections."""
        wanted = directives.choice(self.arguments[0], (*REGISTRIES, "table"))
        for file in Path(initlab.__file__).parent.joinpath("init").glob("*.py"):
            self.env.note_dependency(str(file))
        if wanted == "table":
            return [nodes.raw("", table(), format="html")]
        lines: list[str] = []
        with _on_one_thread():
            for name, start in REGISTRIES[wanted].items():
                lines += entry(name, start, self.config.html_theme_options)
        holder = nodes.Element()
        with torch.random.fork_rng([]):
            self.state.nested_parse(
                StringList(lines, self.env.docname), self.content_offset, holder, match_titles=True
            )
        return holder.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("initializers", Initializers)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
