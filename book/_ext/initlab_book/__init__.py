"""What the book needs of Sphinx beyond Jupyter Book: executed copies, scorecard, chapter cards."""

from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, bool]:
    """Load the parts."""
    for part in ("executed", "scorecard", "chapter"):
        app.setup_extension(f"{__name__}.{part}")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
