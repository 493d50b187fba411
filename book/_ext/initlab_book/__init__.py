"""What the book needs beyond Jupyter Book: executed copies, scorecard, cards, docstrings, pages."""

from typing import Any

from sphinx.application import Sphinx


def _without_thebe(app: Sphinx, page: str, template: str, context: dict[str, Any], *_: Any) -> None:
    """Drop the scripts of thebe, which Jupyter Book loads though its button is off.

    They name a content network, and stand there twice, which is an error on every page.
    """
    context["script_files"] = [
        script
        for script in context["script_files"]
        if "thebe" not in f"{script}{getattr(script, 'attributes', '')}".lower()
    ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Load the parts."""
    parts = ("executed", "scorecard", "chapter", "docstrings", "speed", "initializers", "policy")
    for part in parts:
        app.setup_extension(f"{__name__}.{part}")
    app.connect("html-page-context", _without_thebe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
