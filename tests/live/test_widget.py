"""The widget: a kernel behind the front end's messages, a placeholder for a page without one."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from initlab import live, plot
from initlab.live import Live
from initlab.live.sections import sections


@pytest.mark.parametrize("section", sections())
def test_every_section_has_a_widget_and_a_placeholder(section):
    widget = Live(section, figure="<svg role='img'></svg>", seed=5)
    data, _ = widget._repr_mimebundle_()
    page = data["text/html"]
    given = json.loads(html.unescape(re.search(r'data-live="([^"]*)"', page)[1]))
    assert given == {"section": section, **widget.initial}
    assert given["seed"] == 5
    assert page.startswith('<div class="initlab-live" ') and "<svg role='img'></svg>" in page
    assert "application/vnd.jupyter.widget-view+json" in data
    assert set(widget.about) >= {"rules", "activations", "optimizers", "gains", "versions"}


def test_its_text_is_the_same_at_every_run():
    """An executed copy of a notebook that shows one does not change by itself."""
    one, two = (Live("start", depth=7)._repr_mimebundle_()[0]["text/plain"] for _ in range(2))
    assert one == two
    assert one.startswith("Live('start', ") and "depth=7" in one
    assert " at 0x" not in one


def test_messages_are_answered(monkeypatch):
    widget, sent = Live("start", depth=3, width=8), []
    monkeypatch.setattr(widget, "send", lambda content, buffers=None: sent.append(content))
    network = {"rule": "orthogonal", "seed": 1}
    config = {"depth": 3, "width": 8, "networks": [network]}
    widget._handle_custom_msg({"id": 1, "command": "start", "config": config}, [])
    widget._handle_custom_msg({"id": 2, "command": "steps", "count": 2}, [])
    widget._handle_custom_msg({"id": 3, "command": "fly"}, [])
    assert [answer["id"] for answer in sent] == [1, 2, 3]
    assert sent[1]["result"]["step"] == 2
    assert "unknown command 'fly'" in sent[2]["error"]


def test_a_figure_may_be_axes():
    _, ax = plt.subplots()
    ax.plot([1, 2])
    widget = Live("scale", figure=ax)
    assert widget.figure.startswith("<svg")
    shown = plot.show(ax, name="a-figure", caption="A figure.")
    assert Live("scale", figure=shown).figure == shown.markup
    with pytest.raises(TypeError, match="markup, an Axes, a Figure or what show gives, not 3"):
        Live("scale", figure=3)


def test_what_there_is_not_is_refused():
    with pytest.raises(ValueError, match="unknown section 'end'; known: start"):
        Live("end")
    with pytest.raises(ValueError, match="start has no setting 'depht'"):
        Live("start", depht=3)


def test_settings_cannot_break_out_of_the_page():
    page = Live("start", rule='"><script>')._repr_mimebundle_()[0]["text/html"]
    assert "<script>" not in page


def test_without_anywidget_there_is_a_sentence():
    code = (
        "import sys; sys.modules['anywidget'] = None\n"
        "import initlab.live\n"
        "try: initlab.live.Live\n"
        "except ModuleNotFoundError as e: sys.exit('pip install anywidget' not in str(e))\n"
        "sys.exit(2)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_package_loads_no_torch_before_it_is_asked_for_a_section():
    code = "import sys, initlab.live; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="Nonsense"):
        _ = live.Nonsense


def test_the_front_end_that_ships_is_the_one_that_is_built():
    package = Path(live.__file__).parent
    built = package.parent.parent / "book" / "_static" / "live"
    if not (built / "widget.js").is_file():
        pytest.skip("the scripts have not been built: make vendor")
    for name in ("widget.js", "LICENSES.txt"):
        same = (built / name).read_bytes() == (package / name).read_bytes()
        assert same, f"initlab/live/{name} is out of date: make widget"


def test_every_package_in_a_bundle_comes_with_the_text_of_its_licence():
    package = Path(live.__file__).parent
    vendor = package.parent.parent / "book" / "_static" / "vendor" / "cells" / "LICENSES.txt"
    for notices in (package / "LICENSES.txt", *([vendor] if vendor.is_file() else [])):
        of_each = notices.read_text(encoding="utf8").split("-" * 72)
        assert len(of_each) > 1
        for text in of_each:
            heading, _, terms = text.strip().partition("\n")
            assert re.search(r"copyright", terms, re.IGNORECASE), f"{heading} has none"
            assert len(terms) > 700, f"{heading} has none"
