"""`{chapter-card}` opens a chapter; `{chapter-figure}` and `{chapter-live}` show it elsewhere.

The repository's address is read from the book's configuration, the one place that names it.
"""

from __future__ import annotations

import json
import re
from urllib.parse import quote

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from initlab_book.executed import copy_path

log = logging.getLogger(__name__)


def launch_links(options: dict, path: str) -> dict[str, str]:
    """Where a notebook opens: service → address, from the theme's options.

    >>> options = {
    ...     "repository_url": "https://github.com/a/b",
    ...     "launch_buttons": {"colab_url": "https://colab.example"},
    ... }
    >>> launch_links(options, "notebooks/1.ipynb")
    {'Colab': 'https://colab.example/github/a/b/blob/main/notebooks/1.ipynb'}
    """
    repository = options["repository_url"].split("://", 1)[1].split("/", 1)[1].strip("/")
    branch = options.get("repository_branch", "main")
    services = options.get("launch_buttons", {})
    links = {}
    if colab := services.get("colab_url"):
        links["Colab"] = f"{colab}/github/{repository}/blob/{branch}/{path}"
    if binder := services.get("binderhub_url"):
        tree = quote(f"lab/tree/{path}", safe="")
        links["Binder"] = f"{binder}/v2/gh/{repository}/{branch}?urlpath={tree}"
    return links


class ChapterCard(SphinxDirective):
    """The card that opens a chapter: its body is Markdown, the badges are added."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Give the card."""
        card = nodes.container(classes=["chapter-card"])
        self.state.nested_parse(self.content, self.content_offset, card)
        card += nodes.raw("", self._badges(), format="html")
        return [card]

    def _badges(self) -> str:
        docname = self.env.docname
        links = launch_links(self.config.html_theme_options, f"{docname}.ipynb")
        badges = [
            f"<a class='badge-link' href='{target}'>Open in {name}</a>"
            for name, target in links.items()
        ]
        # Sphinx copies every page's source, here the notebook without outputs.
        source = f"{'../' * docname.count('/')}_sources/{docname}.ipynb"
        badges.append(f"<a class='badge-link' href='{source}' download>Download .ipynb</a>")
        return f"<p class='badges'>{''.join(badges)}</p>"


class FromChapter(SphinxDirective):
    """Something that a cell of an executed chapter shows, on another page."""

    required_arguments = 1

    def wanted(self) -> tuple[str, str]:
        """What is wanted, in words and as a regular expression of its HTML."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Give what the first cell shows that fits."""
        chapter, (what, pattern) = self.arguments[0], self.wanted()
        file = copy_path(self.env.app, chapter)
        self.env.note_dependency(str(file))
        markup = find(json.loads(file.read_text("utf8")), pattern) if file.is_file() else None
        if markup is None:
            log.warning(
                "no %s in the executed copy of %s",
                what,
                chapter,
                type="initlab",
                subtype="figure",
                location=self.get_location(),
            )
            return []
        return [nodes.raw("", markup, format="html")]


class ChapterFigure(FromChapter):
    """A figure of an executed chapter, by the name it has there."""

    option_spec = {"name": directives.unchanged_required}  # noqa: RUF012

    def wanted(self) -> tuple[str, str]:
        """A figure of that name."""
        name = self.options["name"]
        return f"figure {name!r}", rf"<figure[^>]* id=['\"]{re.escape(name)}['\"]"


class ChapterLive(FromChapter):
    """The live section of an executed chapter."""

    def wanted(self) -> tuple[str, str]:
        """The place that the page's script brings to life."""
        return "live section", r"<div class=['\"]initlab-live['\"]"


def find(executed: dict, pattern: str) -> str | None:
    """The HTML that fits, if a cell of the copy shows some."""
    for cell in executed["cells"]:
        for output in cell.get("outputs", ()):
            markup = "".join(output.get("data", {}).get("text/html", ""))
            if re.search(pattern, markup):
                return markup
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("chapter-card", ChapterCard)
    app.add_directive("chapter-figure", ChapterFigure)
    app.add_directive("chapter-live", ChapterLive)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
