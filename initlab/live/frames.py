"""Sliders over frames that are drawn beforehand, so that they move without a kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets


def linked(
    draw: Callable[..., str],
    axes: Mapping[str, Sequence[Any]],
    *,
    redraw: Callable[..., str] | None = None,
    start: Mapping[str, Any] | None = None,
) -> widgets.VBox:
    """One slider per axis over `draw(**point)`, an HTML string, for every point of the grid.

    The sliders are linked to the frames in the browser: a static page moves them with no
    kernel. Where there is a kernel, each move also calls `redraw(**point)` and puts its answer
    into the frame, so that what is seen is new.

    Raises `ValueError` for no axes, an axis without values, and a start that is not on the grid.

    >>> box = linked(lambda a: f"<b>{a}</b>", {"a": [1, 2]})
    >>> [type(w).__name__ for w in box.children]
    ['VBox', 'Stack']
    """
    names = list(axes)
    if not names or not all(len(values) for values in axes.values()):
        raise ValueError(f"axes must be one or more, each with values, not {dict(axes)}")
    for name, value in (start or {}).items():
        if name not in axes or value not in axes[name]:
            raise ValueError(f"start {name}={value!r} is not on the grid {dict(axes)}")
    sliders = []
    for name, values in axes.items():
        options = [(f"{v:g}" if isinstance(v, float) else str(v), i) for i, v in enumerate(values)]
        slider = widgets.SelectionSlider(
            options=options,
            index=list(values).index(start[name]) if start and name in start else 0,
            description=name,
            style={"description_width": "7em"},
            layout={"width": "min(30em, 98%)"},
        )
        sliders.append(slider)
    leaves: dict[tuple[int, ...], widgets.HTML] = {}

    def stack(prefix: tuple[int, ...]) -> widgets.Widget:
        level = len(prefix)
        if level == len(names):
            point = {n: axes[n][i] for n, i in zip(names, prefix, strict=True)}
            leaves[prefix] = widgets.HTML(draw(**point), layout={"width": "min(520px, 98%)"})
            return leaves[prefix]
        children = [stack((*prefix, i)) for i in range(len(axes[names[level]]))]
        box = widgets.Stack(children, selected_index=sliders[level].index)
        widgets.jslink((sliders[level], "index"), (box, "selected_index"))
        return box

    frames = stack(())
    if redraw is not None:

        def moved(_change: Any) -> None:
            where = tuple(s.index for s in sliders)
            point = {n: axes[n][i] for n, i in zip(names, where, strict=True)}
            leaves[where].value = redraw(**point)

        for slider in sliders:
            slider.observe(moved, "index")
    box = widgets.VBox([widgets.VBox(sliders), frames])
    box.add_class("initlab-live")
    return box
