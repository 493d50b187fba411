"""`{speed}`: what `make bench` measured, as tables and figures; no number is typed into a page."""

from __future__ import annotations

import html
import json
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from docutils import nodes
from docutils.parsers.rst import directives
from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from initlab import plot

#: Where programs find the measurements on the site.
FILE = "_static/benchmarks.json"
ORDERS = {"shared": "blue", "own": "orange"}
Measured = dict[str, Any]
#: What a whole run has measured, by where its networks were computed.
WHOLE = {
    "cpu": ("about", "rows", "parts", "growth", "memory", "plan", "diagnosis"),
    "cuda": ("about", "rows", "growth"),
}


def path(app: Sphinx, device: str = "cpu") -> Path:
    """The file that `make bench` writes, or beside it the one of a run with `--device`."""
    file = Path(app.confdir, app.config.initlab_benchmarks)
    return file if device == "cpu" else file.with_name(f"{device}.json")


def read(file: Path, device: str = "cpu") -> Measured:
    """What was measured; raises `ExtensionError` when the file is missing or not a whole run."""
    try:
        measured = json.loads(file.read_text(encoding="utf8"))
        missing = [name for name in WHOLE[device] if not measured.get(name)]
    except (OSError, ValueError) as error:
        raise ExtensionError(
            f"the measurements of speed in {file} cannot be read ({error}); "
            "`make bench` writes them"
        ) from error
    if missing:
        raise ExtensionError(
            f"{file} has no {', '.join(missing)}; `make bench` without options writes all"
        )
    return measured


def number(value: float) -> str:
    """Three digits, in groups.

    >>> number(1234567), number(0.01234), number(12.345)
    ('1,230,000', '0.0123', '12.3')
    """
    return f"{float(f'{value:.3g}'):,.10f}".rstrip("0").rstrip(".")


def ratio(row: Measured) -> str:
    """A ratio with its spread.

    >>> ratio({"ratio": 2.0, "spread": [1.5, 3.0]})
    '2× (1.5 to 3)'
    """
    low, high = row["spread"]
    return f"{number(row['ratio'])}× ({number(low)} to {number(high)})"


def table(head: list[str], rows: list[list[str]]) -> str:
    """An HTML table that scrolls in itself; cells are texts."""

    def line(cells: list[str]) -> str:
        # On a phone there is no head: each cell says which column it is of.
        return "".join(
            f"<td data-label='{html.escape(name)}'>{html.escape(cell)}</td>"
            for name, cell in zip(head, cells, strict=True)
        )

    names = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{line(row)}</tr>" for row in rows)
    return (
        "<div class='claims-scroll'><table class='claims speed'>"
        f"<thead><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def about(measured: Measured) -> str:
    """A sentence on the machine and the versions."""
    made = measured["about"]
    versions = ", ".join(f"{name} {number}" for name, number in made["versions"].items())
    card = f"{html.escape(made['card'])}, beside it " if "card" in made else ""
    return (
        f"<p>Measured on {html.escape(made['date'][:10])}: {card}{html.escape(made['machine'])}, "
        f"{made['threads']} threads; {html.escape(versions)}. The load of the machine when "
        f"measuring began was {made['load']}.</p>"
    )


def ratio_table(measured: Measured) -> str:
    """Every row."""
    return table(
        ["Case", "Order", "Beside", "initlab", "The other", "Ratio"],
        [
            [
                f"({row['letter']}) {row['case']}",
                row["order"],
                row["peer"] + ("*" if row["scaled"] else ""),
                f"{number(row['ours'])} {row['unit']}",
                f"{number(row['theirs'])} {row['unit']}",
                ratio(row),
            ]
            for row in measured["rows"]
        ],
    )


def ratio_bars(rows: pd.DataFrame, ax: Axes) -> Axes:
    """Ratio to every peer in one case as bars from 1 on a logarithmic axis, a colour an order."""
    names = list(dict.fromkeys(rows.peer))
    orders = [order for order in ORDERS if order in set(rows.order)]
    height = 0.8 / len(orders)
    with plot.style():
        for index, order in enumerate(orders):
            part = rows[rows.order == order]
            at = [names.index(n) + (index - (len(orders) - 1) / 2) * height for n in part.peer]
            ax.barh(
                at,
                part.ratio - 1,
                left=1,
                height=0.9 * height,
                color=plot.COLORS[ORDERS[order]],
                xerr=[part.ratio - part.low, part.high - part.ratio],
                error_kw={"elinewidth": 1, "capsize": 2, "ecolor": plot.COLORS["grey"]},
                label=f"{order} order",
            )
        ax.axvline(1, color=plot.COLORS["grey"], linewidth=1.2)
        ax.set_xscale("log")
        low, high = rows.low.min(), rows.high.max()
        low, high = min(0.5, low / 1.2), max(2.0, high * 1.2)
        ax.set_xlim(low, high)
        if high / low < 50:  # powers of ten would leave one number on the axis
            ax.set_xticks([t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if low <= t <= high])
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.xaxis.set_minor_formatter("")
        ax.set_yticks(range(len(names)), names)
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
    return ax


def ratio_figure(measured: Measured) -> str:
    """One panel of bars per case."""
    frame = pd.DataFrame(measured["rows"])
    frame[["low", "high"]] = frame.pop("spread").to_list()
    panels = []
    for (letter, case), rows in frame.groupby(["letter", "case"], sort=False):
        title = textwrap.fill(f"({letter}) {case}", 40)
        ax = plot.axes(title, "times as fast", size=(5.0, 1.0 + 0.3 * len(rows)))
        ratio_bars(rows, ax)
        if rows.order.nunique() > 1:
            plot.legend(ax)
        panels.append(ax)
    caption = (
        "How many times as fast initlab is as what stands on the left: right of the line at 1 "
        "initlab is faster, left of it the other is. Bars are medians over rounds, whiskers the "
        "smallest and largest round."
    )
    name = "speed-ratios-gpu" if "card" in measured["about"] else "speed-ratios"
    return plot.show(panels, name=name, caption=caption, data=frame).markup


def growth_figure(measured: Measured) -> str:
    """Time per network against the number of networks."""
    frame = pd.DataFrame(measured["growth"])
    frame[["low", "high"]] = frame.pop("spread").to_list()
    ax = plot.axes("", "networks trained as one", "seconds per network")
    plot.curves(frame, ax, x="networks", y="seconds_per_network", color=plot.COLORS["blue"])
    with plot.style():
        ax.set(xscale="log", yscale="log")
    gpu = "card" in measured["about"]
    steps = "256 steps of case (a), with what is set up once" if gpu else "eight steps of case (a)"
    caption = (
        f"Time per network for {steps}: a stack shares the cost of every call "
        "until the arithmetic itself is what takes the time."
    )
    name = "speed-growth-gpu" if gpu else "speed-growth"
    return plot.show(ax, name=name, caption=caption, data=frame).markup


def memory_table(measured: Measured) -> str:
    """Peak memory of each."""
    rows = [[row["peer"], f"{number(row['mib'])} MiB"] for row in measured["memory"]]
    return table(["", "Peak memory of the process"], rows)


def peak_table(measured: Measured) -> str:
    """Our share of one large matrix product's speed."""
    return table(
        ["Case", "Order", "Matrix product", "Its speed", "Our share of it"],
        [
            [
                f"({row['letter']}) {row['case']}",
                row["order"],
                f"{row['library']}, {row['shape']}",
                f"{number(row['gflops'])} GFLOP/s",
                f"{row['share']:.0%} ({row['spread'][0]:.0%} to {row['spread'][1]:.0%})",
            ]
            for row in measured["peak"]
        ],
    )


def parts_table(measured: Measured) -> str:
    """Where a step goes."""
    rows = measured["parts"]
    return table(
        ["Case", "Order", "Networks", *(f"{name}, ms" for name in rows[0]["milliseconds"])],
        [
            [
                f"({row['letter']}) {row['case']}",
                row["order"],
                str(row["networks"]),
                *(
                    f"{spent:.2f} ({spent / sum(row['milliseconds'].values()):.0%})"
                    for spent in row["milliseconds"].values()
                ),
            ]
            for row in rows
        ],
    )


def plan_table(measured: Measured) -> str:
    """What the 15,000 models of the re-initialization study would cost."""
    return table(
        ["Plan", "Models", "Epochs × samples", "One core here", "One GPU, assumed"],
        [
            [
                row["plan"],
                f"{row['models']:,}",
                f"{row['epochs']:,} × {row['samples']:,}",
                f"{number(row['core_days'])} days",
                f"{number(row['gpu_days'])} days at {row['assumed_gpu_tflops']:g} TFLOP/s",
            ]
            for row in measured["plan"]
        ],
    )


def diagnosis_table(measured: Measured) -> str:
    """What a diagnosis costs, in training steps."""
    return table(
        ["Network and batch", "One training step", "diagnose", "Steps that it costs"],
        [
            [
                row["network"],
                f"{1000 * row['step']:.3g} ms",
                f"{1000 * row['diagnose']:.3g} ms",
                f"{row['steps']:.2f} ({row['spread'][0]:.2f} to {row['spread'][1]:.2f})",
            ]
            for row in measured["diagnosis"]
        ],
    )


def cluster_table(measured: Measured) -> str:
    """The same sweeps on one and on two nodes of a Ray cluster."""
    rows = measured.get("cluster")
    if not rows:
        return "<p>Not measured in this run.</p>"
    return table(
        ["Epochs of each network", "Seconds on one node", "Seconds on two", "Speed-up"],
        [
            [
                str(row["epochs"]),
                number(row["seconds_on_one_node"]),
                number(row["seconds_on_two_nodes"]),
                ratio(row),
            ]
            for row in rows
        ],
    )


#: What the directive can show.
PARTS: dict[str, Callable[[Measured], str]] = {
    "about": about,
    "ratios": ratio_figure,
    "table": ratio_table,
    "growth": growth_figure,
    "memory": memory_table,
    "peak": peak_table,
    "parts": parts_table,
    "plan": plan_table,
    "diagnosis": diagnosis_table,
    "cluster": cluster_table,
}


class Speed(SphinxDirective):
    """One part of the measurements, by name, or the link to their file; `:device: cuda` shows
    those of a GPU.
    """

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {
        "device": lambda given: directives.choice(given, tuple(WHOLE))
    }

    def run(self) -> list[nodes.Node]:
        """Give the part."""
        wanted = directives.choice(self.arguments[0], (*PARTS, "file"))
        device = self.options.get("device", "cpu")
        file = path(self.env.app, device)
        self.env.note_dependency(str(file))
        if wanted == "file":
            up = "../" * self.env.docname.count("/")
            markup = f"<p><a href='{up}{FILE}'>benchmarks.json</a></p>"
        else:
            markup = PARTS[wanted](read(file, device))
        return [nodes.raw("", markup, format="html")]


def _publish_file(app: Sphinx, exception: Exception | None) -> None:
    file = path(app)
    if exception is None and app.builder.format == "html" and file.is_file():
        target = app.outdir / FILE
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive, the setting and the file."""
    app.add_config_value("initlab_benchmarks", "benchmarks/latest.json", "env")
    app.add_directive("speed", Speed)
    app.connect("build-finished", _publish_file)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
