"""Sliders move the frames: in the browser by links, with a kernel by drawing anew."""

from __future__ import annotations

import ipywidgets as widgets

from initlab.live import linked

AXES = {"depth": [10, 30], "factor": [0.5, 1.0, 2.0]}


def parts(box):
    sliders, frames = box.children
    return sliders.children, frames


def visible(stack):
    while isinstance(stack, widgets.Stack):
        stack = stack.children[stack.selected_index]
    return stack


def test_every_point_has_its_frame():
    drawn = []
    box = linked(lambda **point: drawn.append(point) or str(point), AXES)
    assert len(drawn) == 6
    (_, factor), frames = parts(box)
    assert [o[0] for o in factor.options] == ["0.5", "1", "2"]
    for i in range(2):
        for j in range(3):
            frame = frames.children[i].children[j]
            assert frame.value == str({"depth": AXES["depth"][i], "factor": AXES["factor"][j]})


def test_every_stack_is_linked_to_its_slider(monkeypatch):
    made = []
    monkeypatch.setattr(widgets, "jslink", lambda source, target: made.append((source, target)))
    (depth, factor), frames = parts(linked(lambda **point: "", AXES))
    expected = [((factor, "index"), (inner, "selected_index")) for inner in frames.children]
    assert made == [*expected, ((depth, "index"), (frames, "selected_index"))]


def test_it_starts_where_it_is_told():
    box = linked(lambda **point: str(point), AXES, start={"factor": 2.0})
    assert visible(parts(box)[1]).value == str({"depth": 10, "factor": 2.0})


def test_a_kernel_draws_anew():
    box = linked(lambda **p: "old", AXES, redraw=lambda **p: f"new {p}")
    (depth, _), frames = parts(box)
    depth.index = 1
    assert frames.children[1].children[0].value == f"new { ({'depth': 30, 'factor': 0.5}) }"
    assert frames.children[0].children[0].value == "old"
