"""A live section of the book: in a notebook the kernel trains, on a page the page itself does."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from initlab.live.answers import Kernel
from initlab.live.export import described, versions
from initlab.live.sections import settings
from initlab.live.steps import STATES

try:
    import anywidget
    import traitlets
except ModuleNotFoundError as error:  # pragma: no cover - tested in a process of its own
    raise ModuleNotFoundError(
        f"{error}; a live section needs it: pip install anywidget, then restart the kernel",
        name=error.name,
    ) from error

#: What stands on a page until the live section has come to life.
SENTENCE = (
    "This figure comes to life in the page: it then draws and trains the networks where you read."
)


def script() -> str:
    """The front end for notebooks, one ES module: as it has just been built, else as it ships."""
    package = Path(__file__).parent
    new = package.parent.parent / "book" / "_static" / "live" / "widget.js"
    return (new if new.is_file() else package / "widget.js").read_text(encoding="utf8")


def drawing(figure: Any) -> str:
    """A still figure as markup: HTML or SVG as it is, figures and axes as the book draws them.

    Raises `TypeError` for anything else.
    """
    if figure is None:
        return ""
    if isinstance(figure, str):
        return figure
    from initlab.plot import Shown, svg

    if isinstance(figure, Shown):
        return figure.markup
    found = getattr(figure, "figure", None)
    if found is None:
        raise TypeError(
            f"figure must be markup, an Axes, a Figure or what show gives, not {figure!r}"
        )
    return svg(found)


class Live(anywidget.AnyWidget):
    """A section that draws and trains networks as its sliders move.

    `section` is one of "start", "scale", "travel", "reinit" and "memory"; `initial` gives settings
    other than its own, such as `depth=50`. `figure`, an Axes, a Figure or markup, is what a page
    shows until it has come to life, and what stays if that fails.

    In a notebook the kernel answers, with the functions of `initlab.live` that are exported for
    the page.

    Raises `ValueError` for a section or a setting that there is not.
    """

    _esm = script()
    section = traitlets.Unicode().tag(sync=True)
    initial = traitlets.Dict().tag(sync=True)
    figure = traitlets.Unicode().tag(sync=True)
    about = traitlets.Dict().tag(sync=True)

    def __init__(self, section: str, *, figure: Any = None, **initial: Any) -> None:
        """Nothing is drawn before the front end asks for it."""
        super().__init__(
            section=section,
            initial=settings(section, initial),
            figure=drawing(figure),
            about=about(),
        )
        self.kernel = Kernel()
        self.on_msg(self._asked)

    def _asked(self, _widget: Any, message: Any, _buffers: Any) -> None:
        self.send(self.kernel(message))

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        """What a notebook shows, and beside it what a page without a kernel does."""
        made = super()._repr_mimebundle_(**kwargs)
        data, metadata = made if isinstance(made, tuple) else (made, {})
        data = dict(data or {})
        data["text/html"] = placeholder(self.section, self.initial, self.figure)
        data["text/plain"] = repr(self)
        return data, dict(metadata)

    def __repr__(self) -> str:
        """The section and its settings, the same at every run."""
        given = "".join(f", {name}={value!r}" for name, value in self.initial.items())
        return f"Live({self.section!r}{given})"


def placeholder(section: str, initial: Mapping[str, Any], figure: str) -> str:
    """What the page's script brings to life: the settings, a still figure and a sentence."""
    given = html.escape(json.dumps({"section": section, **initial}), quote=True)
    return (
        f'<div class="initlab-live" data-live="{given}">{figure}'
        f'<p class="initlab-live-note">{SENTENCE}</p></div>'
    )


def about() -> dict[str, Any]:
    """What the manifest of the exported graphs says of rules, activations and optimizers."""
    return {
        **described(),
        "optimizers": list(STATES),
        "versions": versions(["torch"]),
        "commit": os.environ.get("INITLAB_COMMIT", ""),
    }
